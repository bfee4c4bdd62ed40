"""Programs that others wrote read what Precinct serves and writes: those of OpenJPIP, as Debian packages them.

    interop.py --precinct BINARY [--only TEXT]

- `opj_jpip_transcode` turns JPT-streams that Precinct answered into codestreams that decode to the original's pixels,
  as the file is laid out and as virtual precincts lay it out anew.
- `opj_dec_server`, spoken to as its viewer does, decodes a session of growing windows exactly: of JPT-streams, and of
  JPP-streams in its own dialect, as the file is laid out and anew, at reduced sizes too.
- `opj_jpip_test` finds in a file of `precinct index --embed` every tile-part and packet where an independent reading does,
  and `opj_server`, behind spawn-fcgi and nginx, serves that file by those boxes, byte for byte.
- OpenJPIP's Java viewer, all but its window, opens sessions, asks for regions and XML, over http and http-tcp;
  regions that `opj_jpip_addxml` wrote can be asked for by name. It cannot add a field to a request, but to the name of
  the target, which it sends as it is: `NAME&dialect=openjpip`.

What needs a program or a file that is not there is skipped and counted; with CI=true it fails. The last line counts.
"""

import argparse
import http.client
import itertools
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse
from pathlib import Path

import codestream as cs
import examine
import jpp
import numpy as np
import oracle
import originals

SHARED = Path(os.environ.get("PRECINCT_TESTDATA", Path(__file__).resolve().parents[1] / "../shared/testdata"))
STRICT = os.environ.get("CI") == "true"
# OpenJPIP's programs spin on what they do not expect: nothing is waited for longer than this.
PATIENCE = 30

# One tile and many (b1, f1), tile-parts by resolution (issue208) and interleaved (small_world), POC (e1), PPM (g1, p1_03),
# SOP and EPH (p1_07), grey and colour, sub-sampled components, several orders and layers, 8 to 16 bits.
# Not p0_13: opj_jpip_transcode aborts on its 257 components; nor HT codestreams, which OpenJPIP is older than.
REAL = [
    "opj/conformance/a1_mono.j2c",
    "opj/conformance/b1_mono.j2c",
    "opj/conformance/d1_colr.j2c",
    "opj/conformance/e1_colr.j2c",
    "opj/conformance/f1_mono.j2c",
    "opj/conformance/g1_colr.j2c",
    "opj/conformance/file1.jp2",
    "opj/conformance/file3.jp2",
    "opj/conformance/file6.jp2",
    "opj/conformance/p0_04.j2k",
    "opj/conformance/p0_06.j2k",
    "opj/conformance/p0_10.j2k",
    "opj/conformance/p0_14.j2k",
    "opj/conformance/p1_03.j2k",
    "opj/conformance/p1_07.j2k",
    "opj/nonregression/issue208.jp2",
    "opj/nonregression/small_world_non_consecutive_tilepart_tlm.jp2",
    "csjs/openjpeg/j2k/CT1-0decomp.j2k",
]
# Large ones with one precinct a resolution level.
RELAID = ["csjs/openjpeg/j2k/EE0E3825_1003good_dat.j2k", "opj/conformance/subsampling_1.jp2"]
# Those of one or three components of 8 bits and one size, which opj_dec_server can show without loss.
EIGHT_BITS = ["a1_mono.j2c", "b1_mono.j2c", "f1_mono.j2c", "g1_colr.j2c", "file1.jp2", "p0_04.j2k"]
# Those whose COD states precincts, with one layer: what opj_dec_server can read in its dialect, as they are stored.
STATED = ["recommended.jp2", "recommended-colour.jp2", "one-tile.jp2"]
# Those that can be presented so: not f1, a tile of which has a coding style of its own, nor g1, whose tiles begin between
# the edges of small precincts: the decoder counts them by the size of a tile alone.
FIT = [name for name in EIGHT_BITS if name not in ("f1_mono.j2c", "g1_colr.j2c")]
# Those whose packet headers stand apart from the bodies, which index tables of packets cannot say.
PACKED = ["g1_colr.j2c", "p1_03.j2k"]
# opj_server takes the coding style of the main header for every tile (e1, f1 have others), and the size of the tile for
# that of each component when it counts precincts: p1_07, with tiny precincts and sub-sampling, kills it.
NOT_BY_OPENJPIP = ["e1_colr.j2c", "f1_mono.j2c", "p1_07.j2k"]


class Tally:
    """Counts checks and says what was wrong with those that failed."""

    def __init__(self, only):
        self.only = only
        self.passed = self.failed = self.skipped = 0

    def check(self, name, work, *arguments, needs=()):
        """Runs `work`, which returns what is wrong or None. `needs`: programs and files without which it cannot run."""
        if self.only and self.only not in name:
            return
        missing = [str(n) for n in needs if not (n.exists() if isinstance(n, Path) else find(n))]
        if missing:
            self.leave_out(name, "no " + ", ".join(missing))
            return
        try:
            wrong = work(*arguments)
        except Absent as why:
            self.leave_out(name, why)
            return
        except Exception:
            wrong = traceback.format_exc(limit=-4)
        if wrong:
            self.failed += 1
            print(f"FAILED {name}: {wrong}", flush=True)
        else:
            self.passed += 1
            print(f"passed {name}", flush=True)

    def leave_out(self, name, why):
        if STRICT:
            self.failed += 1
            print(f"FAILED {name}: {why}, and CI=true", flush=True)
        else:
            self.skipped += 1
            print(f"skipped {name}: {why}", flush=True)


class Absent(Exception):
    """Something on this machine that a check cannot do without."""


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def run(*words, cwd=None):
    """Exit status (None for one that had to be killed), standard output and standard error."""
    try:
        done = subprocess.run(
            list(map(str, words)), cwd=cwd, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return None, b"", b"killed: did not end"
    return done.returncode, done.stdout, done.stderr


class Image:
    """A file, its codestream, and the pixels that OpenJPEG decodes from it."""

    def __init__(self, path, target=None):
        self.path = path
        # opj_dec_server knows a target by the letters "jp2" in its name.
        self.target = target or path.name + ".jp2"
        self._pixels = None

    @property
    def is_jp2(self):
        return self.path.suffix == ".jp2"

    @property
    def has_open_box(self):
        """Whether the codestream's box says "to the end of the file" (LBox = 0)."""
        data = self.path.read_bytes()
        return any(kind == b"jp2c" and data[start - 8 : start - 4] == bytes(4) for kind, start, _ in originals.boxes(data))

    @property
    def codestream(self):
        return originals.Original(self.path.read_bytes(), self.path).codestreams[0]

    @property
    def is_at_origin(self):
        """Whether image and tiles begin where the reference grid does [15444-1 A.5.1]."""
        return self.path.exists() and not any(self.codestream[16:24] + self.codestream[32:40])

    @property
    def pixels(self):
        if self._pixels is None:
            self._pixels = oracle.decode(self.path, [0], oracle.JP2 if self.is_jp2 else oracle.J2K)[0]
        return self._pixels


def made(folder):
    """Images that are computed: in the layout that OpenJPIP's README recommends, and others; the last has one precinct
    a resolution level."""
    y, x = np.mgrid[0:1100, 0:1500]
    noise = np.random.default_rng(4).integers(-6, 7, x.shape)
    grey = ((np.sin(x / 37) + np.cos(y / 23)) * 60 + 128 + noise).clip(0, 255).astype(np.uint8)
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1)[:700, :900]
    (folder / "grey.pgm").write_bytes(b"P5\n1500 1100\n255\n" + grey.tobytes())
    (folder / "colour.ppm").write_bytes(b"P6\n900 700\n255\n" + colour.tobytes())
    # `-jpip` of opj_compress 2.5 writes index boxes of zeros; a server and `index --embed` make their own.
    recommended = ["-p", "RPCL", "-c", "[64,64]", "-t", "640,480", "-TP", "R", "-n", "5"]
    images = []
    for name, source, options in [
        ("recommended.jp2", "grey.pgm", recommended),
        ("recommended-colour.jp2", "colour.ppm", recommended),
        ("one-tile.jp2", "colour.ppm", ["-p", "RPCL", "-c", "[128,128]", "-n", "4"]),
        ("tiles-lrcp.jp2", "colour.ppm", ["-t", "256,256", "-r", "8,2,1"]),
        ("one-precinct.jp2", "grey.pgm", ["-r", "8,2,1"]),
    ]:
        if find("opj_compress"):
            code, _, words = run("opj_compress", "-i", folder / source, "-o", folder / name, *options)
            if code != 0:
                raise RuntimeError(f"opj_compress: {words.decode(errors='replace')}")
        images.append(Image(folder / name, name))
    return images


def imported(server, image):
    """Puts the file into the server; the same bytes a second time are no error."""
    name = urllib.parse.quote(image.target, safe="")
    status, _, answer = server.request("POST", f"/api/v1/import?name={name}", image.path.read_bytes())
    if status not in (200, 201):
        raise RuntimeError(f"import answered {status}: {answer!r}")


def whole(server, image, stream_type):
    """The stream of the whole image at full size."""
    imported(server, image)
    name = urllib.parse.quote(image.target, safe="")
    # Larger than any image here: the answer is the greatest size there is.
    status, _, body = server.request("GET", f"/jpip?target={name}&type={stream_type}&fsiz=100000,100000")
    if status != 200:
        raise RuntimeError(f"JPIP answered {status}: {body[:200]!r}")
    return body


# -- opj_jpip_transcode --------------------------------------------------------------------------


def transcoded(folder, stream, suffix, form):
    """What opj_jpip_transcode makes of a stream: decoded, or why not."""
    source, out = folder / "in.jpt", folder / f"out.{suffix}"
    out.unlink(missing_ok=True)
    source.write_bytes(stream)
    code, _, words = run("opj_jpip_transcode", source, out)
    if code != 0 or not out.exists():
        raise RuntimeError(f"opj_jpip_transcode: exit {code}, {words[-500:]!r}")
    return oracle.decode(out, [0], form)[0]


def transcode_to_j2k(server, image, folder):
    found = transcoded(folder, whole(server, image, "jpt-stream"), "j2k", oracle.J2K)
    return None if found.same_as(image.pixels) else f"other pixels ({found.complaints[:2]})"


def transcode_to_jp2(server, image, folder):
    """JP2 output needs metadata as OpenJPIP's own server cuts it, which the standard leaves free: see `cut_as_openjpip`."""
    found = transcoded(folder, cut_as_openjpip(whole(server, image, "jpt-stream")), "jp2", oracle.JP2)
    return None if found.same_as(image.pixels) else f"other pixels ({found.complaints[:2]})"


def vbas(value):
    out = bytearray([value & 0x7F])
    while value := value >> 7:
        out.insert(0, value & 0x7F | 0x80)
    return bytes(out)


def message(klass, number, offset, body, complete):
    """One message that names class and codestream 0 [15444-9 A.2]."""
    low, rest = number & 0x7F, number >> 7
    if number < 16:
        head = bytes([0x60 | complete << 4 | number])
    else:
        more = [low]
        while rest >= 16:
            more.insert(0, rest & 0x7F | 0x80)
            rest >>= 7
        head = bytes([0xE0 | complete << 4 | rest, *more])
    return head + vbas(klass) + vbas(0) + vbas(offset) + vbas(len(body)) + body


def cut_as_openjpip(stream):
    """The same data-bins, metadata-bin 0 in one message a box, placeholders without their codestream fields.

    opj_jpip_transcode takes one box from each metadata message, and the length of the original's header from what is
    left of the placeholder. Nothing else is changed: boxes, placeholders' order and original headers are as served.
    """
    parts, _ = jpp.messages(stream)
    boxes = bytes(jpp.bins(parts)[8, 0, 0].data)
    out, offset = b"", 0
    for kind, start, end in originals.boxes(boxes):
        body = boxes[start - 8 : end]
        if kind == b"phld":
            body = struct.pack(">I", 28) + body[4:28]
        last = end == len(boxes)
        out += message(8, 0, offset, body, last)
        offset += len(body)
    for part in parts:
        if (part.klass, part.number) != (8, 0):
            out += message(part.klass, part.number, part.offset, part.body, part.complete)
    return out + b"\0\1\0"


def check_transcode(tally, server, images, folder):
    for image in images:
        needs = ("opj_jpip_transcode", image.path)
        tally.check(f"transcode {image.path.name}", transcode_to_j2k, server, image, folder, needs=needs)
        # It makes room for the codestream by the length in the placeholder's original header, and dies where that is 0.
        if image.is_jp2 and not (image.path.exists() and image.has_open_box):
            name = f"transcode {image.path.name} to JP2"
            tally.check(name, transcode_to_jp2, server, image, folder, needs=needs)


def transcode_relaid(server, plain, image, folder):
    """The same image as `server` presents it: with small precincts and tile-parts by resolution, which the file lacks."""
    if whole(server, image, "jpt-stream") == whole(plain, image, "jpt-stream"):
        return "presented as the file has it"
    return transcode_to_j2k(server, image, folder)


def check_virtual(tally, server, plain, images, folder):
    for image in images:
        needs = ("opj_jpip_transcode", image.path)
        tally.check(f"transcode {image.path.name} re-laid", transcode_relaid, server, plain, image, folder, needs=needs)


# -- opj_dec_server ------------------------------------------------------------------------------


class Decoder:
    """opj_dec_server on a free port, in a folder where it may leave its `tmp.j2k`.

    It keeps the messages of all targets in one list and tells them apart by codestream number only, which is 0 for each:
    so one process an image.
    """

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = (self.folder / "decoder.log").open("wb")
        self.process = subprocess.Popen(
            ["opj_dec_server", str(self.port)], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        for _ in range(200):
            try:
                # A connection without a word is passed over.
                self._connect().close()
                return self
            except ConnectionRefusedError:
                time.sleep(0.02)
        self.__exit__()
        raise RuntimeError("opj_dec_server does not listen")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def _connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def _ask(self, head, data=b""):
        """One exchange has one connection; the answer is read to its end."""
        with self._connect() as connection:
            try:
                connection.sendall("".join(f"{line}\n" for line in head).encode() + data)
                answer = b""
                while piece := connection.recv(1 << 16):
                    answer += piece
            except OSError as error:
                answer = str(error).encode()
        if self.process.poll() is not None:
            raise RuntimeError(f"opj_dec_server died of {head[0]!r}: {(self.folder / 'decoder.log').read_bytes()[-300:]!r}")
        return answer

    def take(self, stream, channel=None):
        """Hands over a response; the first one of a target with (name, tid, cid)."""
        answer = self._ask(["JPIP-stream", "version 1.2", *(channel or ()), len(stream)], stream)
        if answer != b"\1":
            raise RuntimeError(f"opj_dec_server did not take the stream: {answer!r}")

    def size(self, tid, cid):
        answer = self._ask(["SIZ request", tid, cid])
        return int.from_bytes(answer[3:6], "big"), int.from_bytes(answer[6:9], "big")

    def picture(self, cid, width, height):
        """Rows, columns and components of what is decoded from all that was taken."""
        answer = self._ask(["PNM request", cid, width, height])
        if len(answer) < 7 or answer[:1] != b"P" or answer[1] not in (5, 6):
            raise RuntimeError(f"opj_dec_server sent no picture: {answer[:20]!r}")
        wide, high = struct.unpack_from(">HH", answer, 2)
        return np.frombuffer(answer, np.uint8, offset=7).reshape(high, wide, 3 if answer[1] == 6 else 1)


def growing_windows(image):
    """Windows at full size whose tiles are each time those from the first up to some one.

    A tile that is missing *before* one that is there becomes an empty tile-part in the codestream that opj_dec_server
    puts together, which OpenJPEG 2.5 refuses to decode; and the decoder dies of every warning and error.
    """
    width, height, *_ = image.pixels.meta[0]
    return [
        (0, 0, width // 4, height // 4),
        (0, 0, width, height // 4),
        (0, height // 8, width // 2, height // 2),
        (0, 0, width, height * 3 // 4),
        (0, 0, width, height),
    ]


# The stream types in which opj_dec_server reads windows: JPP-streams in its own dialect only. It dies of those whose COD
# does not state precincts, which it counts, and of layers that are not innermost, because it puts a precinct's packets
# down in one piece: they are presented in another layout, unless the server shows none but the stored ones. Of an image
# off the origin it makes other precincts and sizes.
JPT, JPP = "type=jpt-stream", "type=jpp-stream&dialect=openjpip"


def decode_windows(server, image, folder, stream_type):
    """A session of windows: each response goes to the decoder, and the window's pixels must be the original's."""
    imported(server, image)
    wanted = np.stack(image.pixels.planes, axis=-1)
    height, width, _ = wanted.shape
    name = urllib.parse.quote(image.target, safe="")
    lengths = []
    with Decoder(folder) as decoder:
        # The channel keeps the dialect that it was opened with.
        field, channel = f"target={name}&cnew=http{stream_type.removeprefix(stream_type.split('&')[0])}", None
        for x, y, wide, high in growing_windows(image):
            status, headers, body = server.request(
                "GET", f"/jpip?fsiz={width},{height}&roff={x},{y}&rsiz={wide},{high}&{field}&{stream_type.split('&')[0]}"
            )
            if status != 200:
                return f"JPIP answered {status}: {body[:200]!r}"
            if channel is None:
                tid, cid = headers["JPIP-tid"], re.match("cid=([^,]+),", headers["JPIP-cnew"]).group(1)
                channel, field = (image.target, tid, cid), f"cid={cid}"
                decoder.take(body, channel)
                # It tells Xsiz and Ysiz, wherever the image begins on the reference grid.
                if decoder.size(tid, cid) != struct.unpack_from(">II", image.codestream, 8):
                    return f"opj_dec_server reads the size as {decoder.size(tid, cid)}"
            else:
                decoder.take(body)
            lengths.append(len(body))
            found = decoder.picture(cid, width, height)
            if found.shape != wanted.shape:
                return f"a picture of shape {found.shape}"
            there = np.s_[y : y + high, x : x + wide]
            if not np.array_equal(found[there], wanted[there]):
                return f"window {x},{y} {wide}×{high} differs; bytes sent: {lengths}"
        server.request("GET", f"/jpip?cclose={cid}")
    # What the session holds is not sent again.
    once = len(whole(server, image, stream_type.removeprefix("type=")))
    return None if sum(lengths) < once * 1.05 + 500 else f"{lengths} bytes for a stream of {once}"


def decode_reduced(server, image, folder):
    """The whole image at each reduced size: the decoder's picture is OpenJPEG's at that size. Of JPP-streams only."""
    imported(server, image)
    name = urllib.parse.quote(image.target, safe="")
    for discard in range(1, 4):
        picture = oracle.decode(image.path, [discard], oracle.JP2 if image.is_jp2 else oracle.J2K)[0]
        if not picture:
            break
        width, height, *_ = picture.meta[0]
        with Decoder(folder) as decoder:
            query = f"target={name}&cnew=http&fsiz={width},{height}&{JPP}"
            status, headers, body = server.request("GET", f"/jpip?{query}")
            if status != 200 or headers["JPIP-fsiz"] != f"{width},{height}":
                return f"JPIP answered {status}, {headers['JPIP-fsiz']} for {width},{height}"
            cid = re.match("cid=([^,]+),", headers["JPIP-cnew"]).group(1)
            decoder.take(body, (image.target, headers["JPIP-tid"], cid))
            found = decoder.picture(cid, width, height)
        if not np.array_equal(found, np.stack(picture.planes, axis=-1)):
            return f"{discard} levels less differ"
    return None


def check_decoder(tally, server, images, folder):
    # It knows grey and colour, and shows the upper 8 bits.
    for image in images:
        needs = ("opj_dec_server", image.path)
        tally.check(f"opj_dec_server {image.path.name}", decode_windows, server, image, folder, JPT, needs=needs)


def check_dialect(tally, server, images, folder, layout=""):
    for image in images:
        needs = ("opj_dec_server", image.path)
        name = f"opj_dec_server {image.path.name}{layout} in its dialect"
        tally.check(name, decode_windows, server, image, folder, JPP, needs=needs)
        tally.check(f"{name}, reduced", decode_reduced, server, image, folder, needs=needs)


# -- index --embed, opj_jpip_test, opj_server ----------------------------------------------------


def embedded(binary, image, folder):
    out = folder / f"indexed-{image.path.stem}.jp2"
    code, _, words = run(binary, "index", "--embed", out, image.path)
    if code != 0:
        raise RuntimeError(f"precinct index: exit {code}, {words[-500:]!r}")
    return out


def places(text, title):
    """(offset, length) of all that opj_jpip_test lists under a title; what is not there has length 0."""
    found = re.search(rf"{title}: *\n(.*?)(?=\n\n?[A-Za-z]+ [a-z]+.* information|\nall metadata)", text, re.DOTALL)
    entries = re.findall(r"off = (\w+), len = (\w+)", found.group(1)) if found else []
    return sorted((int(a, 0), int(b, 0)) for a, b in entries if int(b, 0))


def packet_places(stream):
    """(offset, length) of the packets of a codestream whose packet headers stand in front of their bodies."""
    out = []
    for tile in stream.tiles.values():
        starts = [offset + length - len(body) for (offset, length, _), body in zip(tile.parts, tile.bodies, strict=True)]
        for packet in tile.packets:
            length = len(packet.lead) + len(packet.header) + len(packet.body)
            out.append((starts[packet.part], length))
            starts[packet.part] += length
    return sorted(out)


def list_index(binary, image, folder):
    """opj_jpip_test reads the index boxes, and lists tile-parts and packets where the independent reading finds them."""
    code, _, words = run("opj_jpip_test", embedded(binary, image, folder))
    text = words.decode(errors="replace")
    if code != 0 or re.search("error|broken", text, re.IGNORECASE):
        return f"exit {code}, {text[-500:]}"
    stream = cs.Codestream(image.codestream)
    if int(re.search(r"Main header Length: (\w+)", text).group(1), 0) != stream.main_header_len:
        return "another length of the main header"
    parts = sorted((offset, length) for tile in stream.tiles.values() for offset, length, _ in tile.parts)
    if places(text, "Tile part information") != parts:
        return f"other tile-parts: {places(text, 'Tile part information')[:5]}, not {parts[:5]}"
    packets = packet_places(stream)
    if places(text, "Precinct packet information") != packets:
        return f"other packets: {places(text, 'Precinct packet information')[:5]}, not {packets[:5]}"
    return None


class OpenJpip:
    """opj_server behind spawn-fcgi and nginx, on sockets of the file system, in a folder that holds its files.

    It always listens on port 60000 of all addresses, and ends when that is taken, if only by the near end of somebody's
    connection: it gets a network of its own, where the kernel lets us make one.
    """

    def __init__(self, folder):
        self.folder = folder
        self.processes = []

    def __enter__(self):
        folder = self.folder
        (folder / "nginx.conf").write_text(
            f"{'user root;' if os.getuid() == 0 else ''} worker_processes 1; daemon off; pid {folder}/nginx.pid;\n"
            f"error_log {folder}/error.log warn; events {{ worker_connections 64; }}\n"
            f"http {{ access_log off; client_body_temp_path {folder}/b; fastcgi_temp_path {folder}/f;\n"
            f"proxy_temp_path {folder}/p; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
            f"server {{ listen unix:{folder}/http; location / {{ include /etc/nginx/fastcgi_params;\n"
            f"fastcgi_pass unix:{folder}/fcgi; fastcgi_max_temp_file_size 0; }} }} }}\n"
        )
        self._start(find("nginx"), "-c", folder / "nginx.conf")
        apart = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
        if not find("unshare") or run(*apart, "true")[0] != 0:
            apart = []
        self.server = self._start(*apart, "spawn-fcgi", "-s", folder / "fcgi", "-n", "-f", find("opj_server"))
        for _ in range(200):
            if (folder / "http").exists() and (folder / "fcgi").exists():
                break
            time.sleep(0.02)
        time.sleep(0.2)
        if self.server.poll() is not None:
            self.__exit__()
            raise Absent("opj_server does not start: port 60000 is taken")
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, *words):
        process = subprocess.Popen(
            list(map(str, words)),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def get(self, query):
        connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(PATIENCE)
        connection.sock.connect(str(self.folder / "http"))
        try:
            connection.request("GET", f"/?{query}")
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def bins(self, name, size, stream_type):
        """The data-bins of the whole image, by class and number; it numbers targets, not codestreams."""
        width, height = size
        # Without a channel it ends no response.
        status, body = self.get(f"target={name}&fsiz={width},{height}&cnew=http&type={stream_type}")
        if status != 200:
            raise RuntimeError(f"opj_server answered {status}; it is {'dead' if self.server.poll() else 'alive'}")
        bins = jpp.bins(jpp.messages(body)[0])
        return {(klass, number): bytes(b.data) for (klass, _, number), b in bins.items()}


def serve_index(binary, image, folder):
    """What opj_server finds by our boxes: every tile-part and every packet, byte for byte, and so the pixels."""
    path = embedded(binary, image, folder)
    stream = cs.Codestream(image.codestream)
    header = image.codestream[: stream.main_header_len]
    with OpenJpip(folder) as peer:
        found = peer.bins(path.name, stream.reduced_size(0), "jpp-stream")
        if found[6, 0] != header:
            return "JPP: another main header"
        precincts = {number: data for (klass, number), data in found.items() if klass == 0}
        if precincts != {number: bytes(data) for number, data in stream.precinct_bins().items()}:
            return "JPP: other precincts"
        # Where no tile has several tile-parts it answers JPP whatever was asked.
        if all(len(tile.parts) == 1 for tile in stream.tiles.values()):
            return None
        found = peer.bins(path.name, stream.reduced_size(0), "jpt-stream")
    tiles = {number: data for (klass, number), data in found.items() if klass == 4}
    if found[6, 0] != header or tiles != stream.tile_bins():
        return "JPT: another main header or other tiles"
    assembled = folder / "assembled.j2k"
    assembled.write_bytes(header + b"".join(tiles[n] for n in sorted(tiles)) + b"\xff\xd9")
    return None if oracle.decode(assembled, [0])[0].same_as(image.pixels) else "JPT: other pixels"


def check_index(tally, binary, images, folder):
    for image in images:
        needs = ("opj_jpip_test", image.path)
        tally.check(f"opj_jpip_test {image.path.name}", list_index, binary, image, folder, needs=needs)
    for image in images:
        if image.path.name not in NOT_BY_OPENJPIP:
            needs = ("opj_server", "spawn-fcgi", "nginx", image.path)
            with tempfile.TemporaryDirectory(prefix="precinct-interop-") as own:
                name = f"opj_server {image.path.name}"
                tally.check(name, serve_index, binary, image, Path(own), needs=needs)


# -- the viewer ----------------------------------------------------------------------------------

JAR = Path("/usr/share/opj_jpip_viewer/opj_jpip_viewer.jar")
XML = '<regions>\n<roi name="island" x="700" y="100" w="200" h="150"/>\n<roi name="ship" x="0" y="0" w="64" h="32"/>\n</regions>\n'


def with_regions(binary, image, folder):
    """The image with an XML box, in a file of its own."""
    (folder / "regions.xml").write_text(XML)
    out = folder / f"regions-{image.path.name}"
    code, _, words = run(binary, "add-xml", image.path, folder / "regions.xml", out)
    if code != 0:
        raise RuntimeError(f"precinct add-xml: exit {code}, {words!r}")
    return Image(out, out.name)


def picture(path):
    """The colour components of what ViewerDriver saved."""
    data = path.read_bytes()
    width, height = struct.unpack_from(">II", data)
    return np.frombuffer(data, np.uint8, offset=8).reshape(height, width, 4)[:, :, 1:]


def driver(folder):
    """ViewerDriver, translated once."""
    if not (folder / "ViewerDriver.class").exists():
        source = Path(__file__).resolve().parent / "ViewerDriver.java"
        code, _, words = run("javac", "-cp", JAR, "-d", folder, source)
        if code != 0:
            raise RuntimeError(f"javac: {words.decode(errors='replace')}")
    return folder


def thumbnail(image):
    """The image at a quarter of its size, in three components."""
    planes = oracle.decode(image.path, [2], oracle.JP2)[0].planes
    return np.stack(planes if len(planes) == 3 else planes * 3, axis=-1)


def view(binary, server, image, folder, transport, stream_type):
    """A session of the viewer: a thumbnail, a region, the whole image, and the regions of interest.

    The viewer's window needs a display; what it does for the window does not, and ViewerDriver does it in its place.
    Of the thumbnail only the size counts in a JPT-stream: opj_dec_server puts those together at full size only.
    """
    image = with_regions(binary, image, folder)
    imported(server, image)
    wanted = np.stack(image.pixels.planes, axis=-1)
    height, width, components = wanted.shape
    if components == 1:
        wanted = np.repeat(wanted, 3, axis=2)
    windows = [(0, 0, width // 2, height // 4), (0, 0, width, height)]
    # For http-tcp it takes all between "//" and "/" for the name of a host, the port of HTTP with it: one that exists.
    port = server.address.rsplit(":", 1)[1]
    (folder / "hosts").write_text(f"127.0.0.1 localhost localhost:{port}\n")
    with Decoder(folder) as decoder:
        code, said, words = run(
            "java", "-Djava.awt.headless=true", f"-Djdk.net.hosts.file={folder}/hosts", "-XX:TieredStopAtLevel=1",
            "-cp", f"{JAR}:{driver(folder.parent)}", "ViewerDriver",
            f"http://localhost:{port}/jpip", image.target + JPP.removeprefix("type=jpp-stream") * (stream_type == "jpp"),
            decoder.port, folder, ["http", "http-tcp"].index(transport), stream_type,
            f"{width // 4},{height // 4}", *(f"{width},{height},{x},{y},{w},{h}" for x, y, w, h in windows),
        )  # fmt: skip
    lines = said.decode(errors="replace").split("\n")
    if code != 0 or "Exception" in words.decode(errors="replace"):
        return f"exit {code}, {lines}, {words[:2500].decode(errors='replace')}"
    channels = [re.match(r"channel (\S+) fsiz (\d+,\d+) roff (\d+,\d+) rsiz (\d+,\d+)$", line) for line in lines[:3]]
    if not all(channels) or len({c.group(1) for c in channels}) != 1 or channels[0].group(1) == "null":
        return f"not one channel: {lines[:3]}"
    if transport == "http-tcp" and "transport: http-tcp" not in words.decode(errors="replace"):
        return f"no http-tcp: {words[:1500]!r}"
    if picture(folder / "0.rgb").shape[:2] != tuple(int(v) for v in channels[0].group(4).split(","))[::-1]:
        return "the thumbnail has another size than JPIP-rsiz says"
    if stream_type == "jpp" and not np.array_equal(picture(folder / "0.rgb"), thumbnail(image)):
        return "the thumbnail differs"
    for number, (x, y, w, h) in enumerate(windows, 1):
        if not np.array_equal(picture(folder / f"{number}.rgb"), wanted[y : y + h, x : x + w]):
            return f"window {number} differs"
    rest = [f"size {width},{height}", "roi island 700,100,200,150", "roi ship 0,0,64,32"]
    if [line for line in lines[3:] if line] != rest:
        return f"it read {lines[3:]}, not {rest}"
    return None if XML in (folder / "document.xml").read_text() else "another XML document"


def add_by_openjpip(server, image, folder):
    """A file into which opj_jpip_addxml wrote the regions: they can be asked for by name, and the document comes out."""
    (folder / "regions.xml").write_text(XML)
    path = folder / f"addxml-{image.path.name}"
    shutil.copy(image.path, path)
    code, _, words = run("opj_jpip_addxml", path, folder / "regions.xml")
    if code != 0 or path.stat().st_size != image.path.stat().st_size + 8 + len(XML):
        raise RuntimeError(f"opj_jpip_addxml: exit {code}, {words!r}")
    image = Image(path, path.name)
    imported(server, image)
    status, headers, _ = server.request("GET", f"/jpip?target={image.target}&roi=island&type=jpp-stream")
    if status != 200 or not (headers["JPIP-roi"] or "").startswith("roi=island;"):
        return f"JPIP answered {status} and JPIP-roi: {headers['JPIP-roi']}"
    if (headers["JPIP-roff"], headers["JPIP-rsiz"]) != ("700,100", "200,150"):
        return f"the region is at {headers['JPIP-roff']}, {headers['JPIP-rsiz']}"
    _, _, body = server.request("GET", f"/jpip?target={image.target}&metareq=[xml_]!!&type=jpp-stream")
    found = [bytes(b.data) for (klass, _, number), b in jpp.bins(jpp.messages(body)[0]).items() if klass == 8 and number]
    return None if found == [XML.encode()] else f"the metadata-bins are {found}"


def check_viewer(tally, binary, server, images, folder):
    for image in images:
        name = f"opj_jpip_addxml {image.path.name}"
        tally.check(name, add_by_openjpip, server, image, folder, needs=("opj_jpip_addxml", image.path))
        for transport, stream_type in itertools.product(("http", "http-tcp"), ("jpt", "jpp")):
            name = f"viewer {image.path.name} {transport} {stream_type}"
            own = folder / name.replace(" ", "-")
            own.mkdir()
            needs = ("opj_dec_server", "java", "javac", JAR, image.path)
            tally.check(name, view, binary, server, image, own, transport, stream_type, needs=needs)


def died(tally, server):
    if not server.alive():
        tally.failed += 1
        print(f"FAILED: the server died: {server.last_words()}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--precinct", required=True)
    arguments.add_argument("--only", help="checks whose name contains this text")
    options = arguments.parse_args()
    tally = Tally(options.only)
    real = [Image(SHARED / "real" / name) for name in REAL]
    with (
        tempfile.TemporaryDirectory(prefix="precinct-interop-") as folder,
        examine.Server(Path(options.precinct).resolve()) as server,
    ):
        folder = Path(folder)
        computed = made(folder)
        binary = Path(options.precinct).resolve()
        check_transcode(tally, server, computed + real, folder)
        check_decoder(tally, server, computed + [i for i in real if i.path.name in EIGHT_BITS], folder)
        check_dialect(tally, server, [i for i in computed if i.path.name in STATED], folder)
        check_index(tally, binary, computed + [i for i in real if i.path.name not in PACKED], folder)
        check_viewer(tally, binary, server, computed[:3], folder)
        # Servers present images with one precinct a resolution level in another layout, unless told not to.
        with examine.Server(binary, "auto") as second:
            relaid = [computed[-1], *(Image(SHARED / "real" / name) for name in RELAID)]
            check_virtual(tally, second, server, relaid, folder)
            fit = [image for image in real if image.path.name in FIT and image.is_at_origin]
            check_dialect(tally, second, [*computed, *fit], folder, " presented")
            died(tally, second)
        died(tally, server)
    print(f"interop: {tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
