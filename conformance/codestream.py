"""An independent reading of a JPEG 2000 codestream: markers, geometry, packets, JPIP data-bins.

Shares no code and no author's table with the Rust crates: written from ISO/IEC 15444-1 Annexes A and B and
15444-15 B.3 only, in the plainest form, so that an error would have to be made twice to go unseen.
It reads whole codestreams and raises `Damage` at the first byte that does not fit.
"""

import struct
from dataclasses import dataclass, field

SOC, SOT, SOD, EOC = 0xFF4F, 0xFF90, 0xFF93, 0xFFD9
SIZ, CAP, COD, COC, POC = 0xFF51, 0xFF50, 0xFF52, 0xFF53, 0xFF5F
TLM, PLM, PLT, PPM, PPT = 0xFF55, 0xFF57, 0xFF58, 0xFF60, 0xFF61
ORDERS = ["LRCP", "RLCP", "RPCL", "PCRL", "CPRL"]

BYPASS, TERMALL, HT, HT_MIXED = 0x01, 0x04, 0x40, 0x80


class Damage(Exception):
    """The bytes do not form a whole codestream."""


def ceil_div(a, b):
    return -(-a // b)


@dataclass
class Coding:
    """The coding style of one tile-component [15444-1 A.6.1, A.6.2]."""

    levels: int
    xcb: int
    ycb: int
    style: int
    reversible: bool
    precincts: list


@dataclass
class TileStyle:
    """What COD, COC and POC say for one tile."""

    order: int
    layers: int
    sop: bool
    eph: bool
    mct: int
    default: Coding
    components: dict
    changes: list


@dataclass
class Packet:
    component: int
    resolution: int
    sequence: int  # of the precinct in its tile-component
    layer: int
    lead: bytes  # SOP, where there is one
    header: bytes  # the packet header and EPH
    body: bytes
    part: int  # ordinal of the tile-part in which the body lies


@dataclass
class Tile:
    index: int
    style: TileStyle
    parts: list = field(default_factory=list)  # (offset, length, psot_was_zero)
    segments: list = field(default_factory=list)  # (marker, bytes with the marker code)
    bodies: list = field(default_factory=list)
    packed: list = field(default_factory=list)  # packet headers of PPM or PPT, one entry a tile-part
    packets: list = field(default_factory=list)


def _coding(body):
    levels, xcb, ycb, style, transform = struct.unpack_from(">5B", body)
    if levels > 32:
        raise Damage("more than 32 decomposition levels")
    return levels, xcb + 2, ycb + 2, style, transform == 1


def _precincts(flag, levels, tail):
    if not flag:
        return [(15, 15)] * (levels + 1)
    if len(tail) < levels + 1:
        raise Damage("precinct sizes missing")
    return [(b & 15, b >> 4) for b in tail[: levels + 1]]


# Far above what any file of the collection holds, far below what would exhaust this process.
MOST_PACKETS = 1_000_000


class Codestream:
    """One codestream, from SOC to EOC, `data` may go on behind it. With `header_only` just the main header is read."""

    def __init__(self, data, header_only=False):
        self.data = data
        self.tiles = {}
        self._read_main_header()
        if header_only:
            return
        self._read_tile_parts()
        for tile in self.tiles.values():
            self._read_packets(tile)

    # -- markers ---------------------------------------------------------------------------------

    def _u16(self, at):
        if at + 2 > len(self.data):
            raise Damage(f"ends at {at}")
        return struct.unpack_from(">H", self.data, at)[0]

    def _segment(self, at):
        """Marker, payload and end of the marker segment at `at`."""
        marker = self._u16(at)
        if marker < 0xFF00:
            raise Damage(f"no marker at {at}")
        if 0xFF30 <= marker <= 0xFF3F:
            return marker, b"", at + 2
        length = self._u16(at + 2)
        end = at + 2 + length
        if length < 2 or end > len(self.data):
            raise Damage(f"marker segment at {at} does not fit")
        return marker, self.data[at + 4 : end], end

    def _read_main_header(self):
        if self._u16(0) != SOC:
            raise Damage("no SOC")
        at = 2
        self.main_segments = []
        self.cap = None
        style = None
        components = {}
        changes = []
        self.ppm = {}
        while self._u16(at) != SOT:
            marker, body, end = self._segment(at)
            self.main_segments.append((marker, self.data[at:end]))
            if marker == SIZ:
                self._read_siz(body)
            elif marker == CAP:
                self.cap = body
            elif marker == COD:
                style = self._read_cod(body)
            elif marker == COC:
                c, coding = self._read_coc(body)
                components[c] = coding
            elif marker == POC:
                changes += self._read_poc(body)
            elif marker == PPM:
                self.ppm[body[0]] = body[1:]
            at = end
        if style is None:
            raise Damage("no COD")
        style.components = components
        style.changes = changes
        self.style = style
        self.main_header_len = at

    def _read_siz(self, body):
        (self.rsiz, self.x1, self.y1, self.x0, self.y0, self.tw, self.th, self.tx, self.ty, n) = struct.unpack_from(
            ">HIIIIIIIIH", body
        )
        self.components = []
        for i in range(n):
            ssiz, xr, yr = struct.unpack_from(">3B", body, 36 + 3 * i)
            self.components.append(((ssiz & 0x7F) + 1, bool(ssiz & 0x80), xr, yr))
        if not (self.tw and self.th and self.x1 > self.x0 and self.y1 > self.y0 and n):
            raise Damage("an empty image")
        if any(xr == 0 or yr == 0 for _, _, xr, yr in self.components):
            raise Damage("a sub-sampling of 0")
        self.across = ceil_div(self.x1 - self.tx, self.tw)
        self.down = ceil_div(self.y1 - self.ty, self.th)

    def _read_cod(self, body):
        scod, order, layers, mct = struct.unpack_from(">BBHB", body)
        levels, xcb, ycb, style, reversible = _coding(body[5:])
        coding = Coding(levels, xcb, ycb, style, reversible, _precincts(scod & 1, levels, body[10:]))
        return TileStyle(order, layers, bool(scod & 2), bool(scod & 4), mct, coding, {}, [])

    def _read_coc(self, body):
        wide = len(self.components) > 256
        c = struct.unpack_from(">H" if wide else ">B", body)[0]
        rest = body[2 if wide else 1 :]
        levels, xcb, ycb, style, reversible = _coding(rest[1:])
        return c, Coding(levels, xcb, ycb, style, reversible, _precincts(rest[0] & 1, levels, rest[6:]))

    def _read_poc(self, body):
        wide = len(self.components) > 256
        form = ">BHHBHB" if wide else ">BBHBBB"
        size = struct.calcsize(form)
        out = []
        for at in range(0, len(body) - size + 1, size):
            r0, c0, layers, r1, c1, order = struct.unpack_from(form, body, at)
            out.append((r0, c0, layers, r1, c1 or (16384 if wide else 256), order))
        return out

    # -- tile-parts ------------------------------------------------------------------------------

    def _ppm_chunks(self):
        """The packet headers of each tile-part in codestream order [15444-1 A.7.4]."""
        stream = b"".join(self.ppm[z] for z in sorted(self.ppm))
        at = 0
        while at + 4 <= len(stream):
            n = struct.unpack_from(">I", stream, at)[0]
            yield stream[at + 4 : at + 4 + n]
            at += 4 + n

    def _read_tile_parts(self):
        at = self.main_header_len
        chunks = self._ppm_chunks() if self.ppm else None
        while at < len(self.data) and self._u16(at) == SOT:
            lsot, index, psot, _, _ = struct.unpack_from(">HHIBB", self.data.ljust(at + 12, b"\0"), at + 2)
            if lsot != 10 or index >= self.across * self.down:
                raise Damage(f"SOT at {at}")
            end = at + psot
            if psot == 0:
                end = len(self.data)
                if self.data[-2:] == b"\xff\xd9":
                    end -= 2
                elif self.data[-3:] == b"\xff\xd9\0":  # padded to an even DICOM fragment
                    end -= 3
            if end > len(self.data) or end < at + 14:
                raise Damage(f"tile-part at {at} does not fit")
            tile = self.tiles.get(index)
            if tile is None:
                tile = self.tiles[index] = Tile(index, self.style)
            tile.parts.append((at, end - at, psot == 0))
            head = at + 12
            ppt = {}
            while self._u16(head) != SOD:
                marker, body, next_head = self._segment(head)
                tile.segments.append((marker, self.data[head:next_head]))
                if marker == PPT:
                    ppt[body[0]] = body[1:]
                head = next_head
            if chunks is not None:
                tile.packed.append(next(chunks, b""))
            elif ppt:
                tile.packed.append(b"".join(ppt[z] for z in sorted(ppt)))
            tile.bodies.append(self.data[head + 2 : end])
            at = end
        self.end = at
        self.has_eoc = self.data[at : at + 2] == b"\xff\xd9"
        if self.has_eoc:
            self.end += 2
        if not self.tiles:
            raise Damage("no tile-part")
        for tile in self.tiles.values():
            tile.style = self._style_of(tile)

    def _style_of(self, tile):
        style = self.style
        own = {}
        for marker, segment in tile.segments:
            body = segment[4:]
            if marker == COD:
                new = self._read_cod(body)
                style = TileStyle(new.order, new.layers, new.sop, new.eph, new.mct, new.default, {}, style.changes)
            elif marker == COC:
                c, coding = self._read_coc(body)
                own[c] = coding
        changes = []
        for marker, segment in tile.segments:
            if marker == POC:
                changes += self._read_poc(segment[4:])
        if own or changes or style is not self.style:
            style = TileStyle(
                style.order, style.layers, style.sop, style.eph, style.mct, style.default,
                {**style.components, **own}, changes or style.changes,
            )  # fmt: skip
        return style

    # -- geometry --------------------------------------------------------------------------------

    def tile_rect(self, t):
        p, q = t % self.across, t // self.across
        return (
            max(self.tx + p * self.tw, self.x0), max(self.ty + q * self.th, self.y0),
            min(self.tx + (p + 1) * self.tw, self.x1), min(self.ty + (q + 1) * self.th, self.y1),
        )  # fmt: skip

    def resolutions(self, tile, c):
        """For each resolution level of a tile-component: rectangle, precinct exponents, precincts wide and high."""
        coding = tile.style.components.get(c, tile.style.default)
        _, _, xr, yr = self.components[c]
        x0, y0, x1, y1 = self.tile_rect(tile.index)
        tc = (ceil_div(x0, xr), ceil_div(y0, yr), ceil_div(x1, xr), ceil_div(y1, yr))
        out = []
        for r in range(coding.levels + 1):
            d = 1 << (coding.levels - r)
            rx0, ry0, rx1, ry1 = (ceil_div(v, d) for v in tc)
            ppx, ppy = coding.precincts[r]
            wide = ceil_div(rx1, 1 << ppx) - (rx0 >> ppx) if rx1 > rx0 else 0
            high = ceil_div(ry1, 1 << ppy) - (ry0 >> ppy) if ry1 > ry0 else 0
            out.append(((rx0, ry0, rx1, ry1), ppx, ppy, wide, high))
        return coding, tc, out

    def reduced_size(self, discard):
        d = 1 << discard
        return (
            ceil_div(self.x1, d) - ceil_div(self.x0, d),
            ceil_div(self.y1, d) - ceil_div(self.y0, d),
        )

    def max_levels(self):
        codings = [self.style.default, *self.style.components.values()]
        for tile in self.tiles.values():
            codings += [tile.style.default, *tile.style.components.values()]
        return max(c.levels for c in codings)

    def min_levels(self):
        codings = [self.style.default, *self.style.components.values()]
        for tile in self.tiles.values():
            codings += [tile.style.default, *tile.style.components.values()]
        return min(c.levels for c in codings)

    # -- packet order ----------------------------------------------------------------------------

    def _order(self, tile, grids, change):
        """Packets of one progression: (layer, resolution, component, precinct), every key of the order before it."""
        r0, c0, layers, r1, c1, order = change
        tx0, ty0, _, _ = self.tile_rect(tile.index)
        rows = []
        for c, (coding, _, levels) in enumerate(grids):
            if not c0 <= c < c1:
                continue
            _, _, xr, yr = self.components[c]
            for r, (rect, ppx, ppy, wide, high) in enumerate(levels):
                if not r0 <= r < r1:
                    continue
                shift = coding.levels - r
                for k in range(wide * high):
                    gx = ((rect[0] >> ppx) + k % wide) << ppx
                    gy = ((rect[1] >> ppy) + k // wide) << ppy
                    x = tx0 if gx < rect[0] else (gx << shift) * xr
                    y = ty0 if gy < rect[1] else (gy << shift) * yr
                    rows.append((r, c, k, max(x, tx0), max(y, ty0)))
        layers = range(min(layers, tile.style.layers))
        name = ORDERS[order]
        if name == "LRCP":
            rows.sort(key=lambda p: p[:3])
            return [(l, r, c, k) for l in layers for r, c, k, _, _ in rows]
        if name == "RLCP":
            rows.sort(key=lambda p: p[:3])
            out = []
            for level in sorted({p[0] for p in rows}):
                here = [p for p in rows if p[0] == level]
                out += [(l, r, c, k) for l in layers for r, c, k, _, _ in here]
            return out
        keys = {
            "RPCL": lambda p: (p[0], p[4], p[3], p[1], p[2]),
            "PCRL": lambda p: (p[4], p[3], p[1], p[0], p[2]),
            "CPRL": lambda p: (p[1], p[4], p[3], p[0], p[2]),
        }
        rows.sort(key=keys[name])
        return [(l, r, c, k) for r, c, k, _, _ in rows for l in layers]

    def packet_order(self, tile, grids):
        style = tile.style
        changes = style.changes or [(0, 0, style.layers, 33, 16384, style.order)]
        seen = set()
        for change in changes:
            for packet in self._order(tile, grids, change):
                if len(changes) > 1:
                    if packet in seen:
                        continue
                    seen.add(packet)
                yield packet

    # -- packets ---------------------------------------------------------------------------------

    def _read_packets(self, tile):
        style = tile.style
        grids = [self.resolutions(tile, c) for c in range(len(self.components))]
        starts = []
        if style.layers * sum(wide * high for _, _, levels in grids for *_, wide, high in levels) > MOST_PACKETS:
            raise Damage("more packets than are read here")
        for _, _, levels in grids:
            first, sums = 0, []
            for *_, wide, high in levels:
                sums.append(first)
                first += wide * high
            starts.append(sums)
        bodies = b"".join(tile.bodies)
        ends, total = [], 0
        for body in tile.bodies:
            total += len(body)
            ends.append(total)
        packed = b"".join(tile.packed) if tile.packed else None
        at = head_at = part = 0
        states = {}
        for layer, r, c, k in self.packet_order(tile, grids):
            while part < len(ends) and at >= ends[part]:
                part += 1
            if at >= len(bodies) and (packed is None or head_at >= len(packed)):
                raise Damage(f"tile {tile.index} ends before its last packet")
            key = (c, r, k)
            state = states.get(key)
            if state is None:
                coding, tc, levels = grids[c]
                state = states[key] = Precinct(coding, tc, levels[r], r, k)
            lead = b""
            if bodies[at : at + 4] == b"\xff\x91\0\x04":
                lead = bodies[at : at + 6]
                at += 6
            source, pos = (bodies, at) if packed is None else (packed, head_at)
            used, length = state.read_header(layer, source, pos)
            if style.eph and source[used : used + 2] == b"\xff\x92":
                used += 2
            header = source[pos:used]
            if packed is None:
                at = used
            else:
                head_at = used
            if at + length > len(bodies):
                raise Damage(f"a packet of tile {tile.index} is cut off")
            body = bodies[at : at + length]
            at += length
            tile.packets.append(Packet(c, r, starts[c][r] + k, layer, lead, header, body, min(part, len(ends) - 1)))

    # -- data-bins -------------------------------------------------------------------------------

    def precinct_bins(self):
        """In-class identifier to bytes [15444-9 A.3.2.1], with the offsets at which the layers end."""
        tiles = self.across * self.down
        bins = {}
        for tile in self.tiles.values():
            for p in sorted(tile.packets, key=lambda p: p.layer):
                number = tile.index + (p.component + p.sequence * len(self.components)) * tiles
                bins.setdefault(number, bytearray()).extend(p.lead + p.header + p.body)
        return bins

    def main_header_bin(self):
        """The main header as a JPP-stream delivers it: without PPM, PLM and TLM."""
        return b"\xff\x4f" + b"".join(s for m, s in self.main_segments if m not in (PPM, PLM, TLM))

    def tile_header_bins(self):
        return {
            t: b"".join(s for m, s in tile.segments if m not in (PPT, PLT)) for t, tile in self.tiles.items()
        }

    def tile_bins(self):
        """Tile data-bins of a JPT-stream: whole tile-parts, Psot = 0 replaced by the true length."""
        bins = {}
        for t, tile in self.tiles.items():
            out = bytearray()
            for offset, length, zero in tile.parts:
                part = bytearray(self.data[offset : offset + length])
                if zero:
                    struct.pack_into(">I", part, 6, length)
                out += part
            bins[t] = bytes(out)
        return bins


class TagTree:
    """[15444-1 B.10.2]"""

    def __init__(self, wide, high):
        self.levels = []
        while True:
            self.levels.append((wide, [0] * (wide * high), [False] * (wide * high)))
            if wide * high <= 1:
                break
            wide, high = ceil_div(wide, 2), ceil_div(high, 2)

    def decode(self, bits, x, y, threshold):
        """Whether the leaf's value is below `threshold`, after reading what that takes."""
        low = 0
        for level in range(len(self.levels) - 1, -1, -1):
            wide, values, known = self.levels[level]
            i = (y >> level) * wide + (x >> level)
            if values[i] < low:
                values[i] = low
            while not known[i] and values[i] < threshold:
                if bits.bit():
                    known[i] = True
                else:
                    values[i] += 1
            low = values[i]
        wide, values, known = self.levels[0]
        i = y * wide + x
        return known[i] and values[i] < threshold


class Bits:
    """Packet header bits: after a byte FF the next byte holds seven [15444-1 B.10.1]."""

    def __init__(self, data, at):
        self.data, self.at, self.byte, self.left = data, at, 0, 0

    def bit(self):
        if self.left == 0:
            stuffed = self.byte == 0xFF
            if self.at >= len(self.data):
                raise Damage("a packet header is cut off")
            self.byte = self.data[self.at]
            self.at += 1
            self.left = 7 if stuffed else 8
        self.left -= 1
        return (self.byte >> self.left) & 1

    def bits(self, n):
        value = 0
        for _ in range(n):
            value = value << 1 | self.bit()
        return value

    def end(self):
        if self.byte == 0xFF:
            self.at += 1
        return self.at


class Block:
    __slots__ = ("included", "lblock", "passes", "cleanup")

    def __init__(self):
        self.included, self.lblock, self.passes, self.cleanup = False, 3, 0, False


class Precinct:
    """What the packet headers of one precinct have said so far."""

    def __init__(self, coding, tc, level, r, k):
        rect, ppx, ppy, wide, _ = level
        self.style = coding.style
        self.bands = []
        px, py = (rect[0] >> ppx) + k % wide, (rect[1] >> ppy) + k // wide
        lower = 0 if r == 0 else 1
        if lower and (ppx == 0 or ppy == 0):
            raise Damage("a precinct of exponent 0 above the lowest resolution level")
        bx, by = ppx - lower, ppy - lower
        xcb, ycb = min(coding.xcb, bx), min(coding.ycb, by)
        nb = coding.levels if r == 0 else coding.levels - r + 1
        for xo, yo in [(0, 0)] if r == 0 else [(1, 0), (0, 1), (1, 1)]:
            half = (1 << nb) >> 1
            x0, y0, x1, y1 = (
                ceil_div(v - half * o, 1 << nb) for v, o in zip(tc, (xo, yo, xo, yo), strict=True)
            )
            x0, x1 = max(x0, px << bx), min(x1, (px + 1) << bx)
            y0, y1 = max(y0, py << by), min(y1, (py + 1) << by)
            if x1 <= x0 or y1 <= y0:
                continue
            across = ceil_div(x1, 1 << xcb) - (x0 >> xcb)
            down = ceil_div(y1, 1 << ycb) - (y0 >> ycb)
            blocks = [Block() for _ in range(across * down)]
            self.bands.append((across, down, blocks, TagTree(across, down), TagTree(across, down)))

    def read_header(self, layer, data, at):
        """Where the packet header ends, and the length of the body."""
        bits = Bits(data, at)
        total = 0
        if bits.bit():
            for across, down, blocks, inclusion, planes in self.bands:
                for y in range(down):
                    for x in range(across):
                        total += self._block(bits, layer, x, y, blocks[y * across + x], inclusion, planes)
        return bits.end(), total

    def _block(self, bits, layer, x, y, block, inclusion, planes):
        if block.included:
            if not bits.bit():
                return 0
        else:
            if not inclusion.decode(bits, x, y, layer + 1):
                return 0
            block.included = True
            threshold = 1
            while not planes.decode(bits, x, y, threshold):
                threshold += 1
                if threshold > 200:
                    raise Damage("more bit-planes than there can be")
        passes = self._passes(bits)
        while bits.bit():
            block.lblock += 1
            if block.lblock > 64:
                raise Damage("Lblock runs away")
        if self.style & HT:
            return self._ht_lengths(bits, block, passes)
        total = 0
        for n in self._segments(block.passes, passes):
            total += bits.bits(block.lblock + n.bit_length() - 1)
        block.passes += passes
        return total

    @staticmethod
    def _passes(bits):
        if not bits.bit():
            return 1
        if not bits.bit():
            return 2
        n = bits.bits(2)
        if n < 3:
            return 3 + n
        n = bits.bits(5)
        if n < 31:
            return 6 + n
        return 37 + bits.bits(7)

    def _segments(self, done, passes):
        """The passes of each codeword segment of one contribution [15444-1 B.10.7]."""
        if self.style & TERMALL:
            return [1] * passes
        if not self.style & BYPASS:
            return [passes]
        out = []
        while passes:
            room = 10 - done if done < 10 else (2, 1, 1)[(done - 10) % 3]
            n = min(room, passes)
            out.append(n)
            done += n
            passes -= n
        return out

    def _ht_lengths(self, bits, block, z):
        """[15444-15 B.3], as the digest tells it."""
        total = 0
        done = block.passes
        if not block.cleanup:
            ref = (done + z - 1) % 3
            n = z - ref
            if n < 1:
                if bits.bits(block.lblock + z.bit_length() - 1):
                    raise Damage("bytes for placeholder passes")
                block.passes += z
                return 0
            width = block.lblock + n.bit_length() - 1
            length = bits.bits(width)
            if self.style & HT_MIXED and (length == 1 or block.lblock == 3 or length >> (width - 1) & 1):
                raise Damage("mixed HT and Part 1 code-blocks are not read here")
            if length == 0:
                if bits.bits(z.bit_length() - n.bit_length()):
                    raise Damage("bytes for placeholder passes")
                block.passes += z
                return 0
            block.cleanup = True
            total += length
            if ref:
                total += bits.bits(block.lblock + ref - 1)
            block.passes += z
            return total
        left = z
        while left:
            kind = done % 3  # 0: the next pass is a cleanup pass
            n = 1 if kind == 0 else min(left, 3 - kind)
            total += bits.bits(block.lblock + n - 1)
            done += n
            left -= n
        block.passes += z
        return total
