"""One file through the whole house: imported, served, fetched, and compared with what others read from the original."""

import functools
import hashlib
import http.client
import json
import random
import re
import shutil
import struct
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

import codestream as cs
import jpp
import numpy as np
import oracle
import originals

FRAMES = 5  # at most so many frames of an object
REGIONS = 3  # of each frame
BIGGEST = 1 << 26  # samples of one component that are decoded for comparison


class Server:
    """`precinct serve` on a free port with a data directory of its own."""

    def __init__(self, binary, layout="off"):
        self.binary, self.layout = str(binary), layout

    def __enter__(self):
        return self._start()

    def restart_if_dead(self):
        """One file that kills the server must not take those after it along."""
        if not self.alive():
            self.__exit__()
            self._start()

    def _start(self):
        self.folder = Path(tempfile.mkdtemp(prefix="precinct-conformance-"))
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [self.binary, "serve", "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--data", str(self.folder / "data"),
             # Codestreams as they are stored; tests/black_box/derived.rs tries those that are made.
             "--derive", "off",
             "--virtual-precincts", self.layout],
            stdout=subprocess.PIPE,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
        )
        line = self.process.stdout.readline().decode()
        found = re.search(r"http=(\S+)", line)
        if not line.startswith("ready ") or not found:
            raise RuntimeError(f"no ready line: {line!r} {(self.folder / 'log').read_text()[-2000:]}")
        self.address = found.group(1)
        self.base = f"http://{self.address}"
        self.dicom = re.search(r"dicom=(\S+)", line).group(1)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def request(self, method, path, body=None):
        """Status, headers and body of one exchange."""
        connection = http.client.HTTPConnection(self.address, timeout=120)
        try:
            connection.request(method, path, body=body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def alive(self):
        try:
            return self.process.poll() is None and self.request("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def last_words(self):
        return f"status {self.process.poll()}, {(self.folder / 'log').read_text(errors='replace')[-1500:]}"

    def fetch(self, target, out, *options):
        url = f"{self.base}/jpip?target={urllib.parse.quote(target, safe='')}"
        done = subprocess.run(
            [self.binary, "fetch", url, "-o", str(out), *map(str, options)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=180,
        )
        return done.returncode, done.stderr.decode(errors="replace").strip()


class Row:
    """One line of RESULTS.md, and what was wrong."""

    def __init__(self, name):
        self.name = name
        self.frames = self.codestream = self.decoder = "–"
        self.whole = self.resolutions = self.regions = self.bins = "–"
        self.served, self.reason = False, ""
        self.differ = 0  # comparisons with a damaged original that came out differently
        self.state = "not examined"
        self.failures = []

    def cells(self):
        state = self.state + (f": {self.reason}" if self.reason else "")
        state += " **FAILED**" if self.failures else ""
        return [self.name, str(self.frames), state, self.codestream, self.whole, self.resolutions, self.regions,
                self.bins, self.decoder]  # fmt: skip


class Tally:
    """How many comparisons held."""

    def __init__(self):
        self.good = self.all = 0
        self.damaged = 0

    def __str__(self):
        if not self.all and not self.damaged:
            return "–"
        text = f"{self.good}/{self.all}" if self.all else ""
        return text + (f" ({self.damaged} of a damaged original differ)" if self.damaged else "")

    def note(self, same, damaged=False):
        if damaged and not same:
            self.damaged += 1
        else:
            self.all += 1
            self.good += bool(same)


def expected_bins(files):
    """Name in the table to the entries of expected_bins.json."""
    out = {}
    for name, path in files:
        if name.startswith("real/"):
            source = next(p for p in path.parents if p.name == "real").parent / "expected_bins.json"
            if source.exists():
                for entry in json.loads(source.read_text()):
                    out.setdefault(entry["file"], []).append(entry)
            return out
    return out


def references(files):
    """Files that hold the pixels of another one, which OpenJPEG reads: name to path."""
    out = {}
    for name, path in files:
        table = path.parent / "references.tsv"
        if name.startswith("made/") and table.exists() and not out:
            for line in table.read_text().splitlines():
                made, source = line.split("\t")
                out["made/" + made] = path.parent / source
    return out


class File:
    def __init__(self, server, name, path, expected, reference):
        self.server, self.name, self.path, self.reference = server, name, path, reference
        self.expected = {(e["frame"] or 1): e for e in expected}
        self.row = Row(name)
        self.data = path.read_bytes()

    def examine(self):
        row = self.row
        self.original = originals.Original(self.data, self.path)
        with tempfile.TemporaryDirectory(prefix="precinct-conformance-") as folder:
            self.work = Path(folder)
            status, answer = self._import(self.server)
            if status == 409:
                # Another file of the collection has the same SOP Instance UID: this one gets a house of its own.
                with Server(self.server.binary) as own:
                    self.server = own
                    self._outcome(*self._import(own))
                    self._still_alive()
            else:
                self._outcome(status, answer)
                self._still_alive()
        return row

    def _still_alive(self):
        if not self.server.alive():
            self.row.failures.append("the server died of it: " + self.server.last_words())

    def _import(self, server):
        name = urllib.parse.quote(self.name.removeprefix("made/"), safe="")
        status, _, body = server.request("POST", f"/api/v1/import?name={name}", self.data)
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {"detail": body.decode(errors="replace")}
        return status, answer

    def _outcome(self, status, answer):
        row = self.row
        if status not in (200, 201):
            row.state, row.reason = "refused", str(answer.get("detail") or answer.get("title") or "")
            if status != 422:
                row.failures.append(f"import answered {status}: {answer}")
            if not row.reason:
                row.failures.append("refused without a reason")
            self._nothing_lost()
            return
        self.target = answer["target"]
        # The first request builds the index where it does not stand yet.
        status, headers, body = self._ask("")
        item = self._listed(answer)
        row.state, row.reason = item["state"], item.get("reason") or ""
        if status == 200:
            row.served = True
            if row.state != "indexed":
                row.failures.append(f"served, and listed as {row.state}")
            self._served(item)
            return
        row.state = item["state"]
        if row.state != "unservable" or status != 501:
            row.failures.append(f"JPIP answered {status} {body[:200]!r}, state {row.state}")
        if not re.match(r"(no-pixel-data|not-jpeg2000|damaged|unsupported|failed)(: .+)?$", row.reason):
            row.failures.append(f"no reason of the listed kinds: {row.reason!r}")
        self._nothing_lost()

    def _listed(self, answer):
        if answer.get("sop_instance_uid"):
            uid = answer["sop_instance_uid"]
            status, _, body = self.server.request("GET", f"/api/v1/instances/{urllib.parse.quote(uid)}")
            item = json.loads(body)
            if status != 200 or item["tid"] is None and item["state"] == "indexed":
                self.row.failures.append(f"listed as {status} {item}")
            # The number of frames that the house counts stands in the list of targets.
            item["codestreams"] = self._target_item().get("codestreams")
            return item
        return self._target_item()

    def _target_item(self):
        cursor = ""
        while True:
            _, _, body = self.server.request("GET", f"/api/v1/targets?limit=1000{cursor}")
            page = json.loads(body)
            for item in page["items"]:
                if item["target"] == self.target:
                    return item
            if not page["next"]:
                self.row.failures.append("not in the list of targets")
                return {"state": "?", "reason": None, "codestreams": 0}
            cursor = "&cursor=" + page["next"]

    def _ask(self, fields):
        return self.server.request(
            "GET", f"/jpip?target={urllib.parse.quote(self.target, safe='')}&type=jpp-stream{fields}"
        )

    def _nothing_lost(self):
        """What is not served must not be something that OpenJPEG decodes without complaint."""
        if self.original.kind in ("jp2", "raw"):
            form = oracle.JP2 if self.original.kind == "jp2" else oracle.J2K
            decoded = oracle.decode(self.path, [0], form)[0]
            self._must_not_decode(decoded, "the file")
        elif self.row.state == "refused":
            # An object that is cut, that cannot be identified, or that has no File Meta Information is refused whole.
            if not self.row.reason.startswith(("damaged DICOM object: ", "neither DICOM nor JPEG 2000")):
                self.row.failures.append("a DICOM object is refused for another reason than its own damage")
        elif self.original.problem is None:
            for number, data in enumerate(self.original.codestreams[:FRAMES], 1):
                path = self.work / "frame.j2k"
                path.write_bytes(data)
                self._must_not_decode(oracle.decode(path, [0])[0], f"frame {number}")

    def _must_not_decode(self, decoded, what):
        if decoded and not decoded.complaints:
            self.row.failures.append(f"not served, but OpenJPEG decodes {what} without complaint")

    # -- what is served --------------------------------------------------------------------------

    def _served(self, item):
        row = self.row
        streams = self.original.codestreams
        is_dicom = self.original.kind == "dicom"
        row.frames = item["codestreams"]
        if not streams:
            row.failures.append(f"served, and the reference finds no codestream ({self.original.problem})")
            return
        if self.original.problem is None and row.frames != len(streams):
            row.failures.append(f"{row.frames} codestreams listed, the original has {len(streams)}")
        tallies = {k: Tally() for k in ("whole", "resolutions", "regions", "bins")}
        decoders, facts = set(), []
        for number in range(min(FRAMES, len(streams), row.frames)):
            stream = number + 1 if is_dicom else number
            frame = Frame(self, number, stream, streams[number], tallies, decoders)
            frame.examine()
            facts.append(frame.facts)
        row.codestream = facts[0] + (f" (+{len(facts) - 1})" if len(facts) > 1 else "")
        row.whole, row.resolutions, row.regions, row.bins = map(str, tallies.values())
        row.differ = sum(tally.damaged for tally in tallies.values())
        row.decoder = ", ".join(sorted(decoders)) or "–"


class Frame:
    """One codestream of a served file."""

    def __init__(self, file, number, stream, data, tallies, decoders):
        self.file, self.number, self.stream, self.data = file, number, stream, data
        self.server, self.row, self.work = file.server, file.row, file.work
        self.tallies, self.decoders = tallies, decoders
        self.label = f"codestream {stream}"
        self.facts = "–"
        # Damage that the house lists: differences are then told, and counted in the manifest, not failed.
        self.damaged = bool(file.row.reason)

    def fail(self, text):
        self.row.failures.append(f"{self.label}: {text}")

    def examine(self):
        self.header = oracle.guarded([functools.partial(_header, self.data)])[0]
        self.walked, self.problem = oracle.guarded([functools.partial(_walk, self.data)])[0] or (None, "too big")
        if self.header is None or self.problem == "too big":
            self._not_served("the reference cannot read its main header")
            return
        self.facts = self.header["facts"] + (self.walked["facts"] if self.walked else "")
        if self._bins():
            self._pixels()

    def _not_served(self, why):
        """One codestream of a served file that cannot be: 501, and nothing that OpenJPEG decodes without complaint."""
        status, _, body = self.file._ask(f"&stream={self.stream}&fsiz=64,64")
        if status != 501 or not body.strip():
            self.fail(f"{why}, and JPIP answered {status} {body[:200]!r}")
        source = self.work / "original.j2k"
        source.write_bytes(self.data)
        decoded = oracle.decode(source, [0])[0]
        if decoded and not decoded.complaints:
            self.fail("not served, but OpenJPEG decodes it without complaint")

    def _bins(self):
        """A window on everything: the bins are those of the independent reading."""
        width, height = self.header["sizes"][0]
        status, headers, body = self.file._ask(f"&stream={self.stream}&fsiz={width},{height}&rsiz={width},{height}")
        if status != 200:
            self._not_served("the reference reads its main header")
            return False
        try:
            messages, reason = jpp.messages(body)
            store = jpp.bins(messages)
        except jpp.Broken as broken:
            self.fail(f"the stream is broken: {broken}")
            return True
        if reason not in (1, 2):
            self.fail(f"a full window ended with reason {reason}")
        if any(not b.complete for b in store.values()):
            self.fail("a full window left bins incomplete")
        if {c for k, c, _ in store if k != 8} != {self.stream}:
            self.fail(f"bins of codestreams {sorted({c for _, c, _ in store})}")
        if (8, 0, 0) not in store or messages[0].klass != 8:
            self.fail("metadata-bin 0 does not come first")
        if headers["JPIP-fsiz"] != f"{width},{height}" or headers["Content-Type"] != "image/jpp-stream":
            self.fail(f"headers {dict(headers)}")
        precincts = {n: bytes(b.data) for (k, _, n), b in store.items() if k == 0}

        entry = self.file.expected.get(self.number + 1)
        if entry:
            same = (_digest(precincts), len(precincts)) == (entry["precincts_sha256"], entry["precinct_bins"])
            self.tallies["bins"].note(same)
            if not same:
                self.fail("the precinct data-bins are not those of expected_bins.json")
        if self.walked is None:
            return True
        differences = []
        mine = self.walked["precincts"]
        # A tile without any tile-part has precincts all the same: they are complete and empty.
        if mine != {n: b for n, b in precincts.items() if b or n in mine}:
            differences.append(_difference("precinct data-bins", mine, precincts))
        if bytes(store.get((6, self.stream, 0), jpp.Bin()).data) != self.walked["main"]:
            differences.append("the main header data-bin differs")
        sent = {n: bytes(b.data) for (k, _, n), b in store.items() if k == 2}
        tiles = self.walked["tiles"]
        if {n: v for n, v in sent.items() if v or n in tiles} != tiles:
            differences.append(_difference("tile header data-bins", tiles, sent))
        self.tallies["bins"].note(not differences, self.damaged)
        if not self.damaged:
            for difference in differences:
                self.fail(difference)
        return True

    def _pixels(self):
        sizes = self.header["sizes"]
        if sizes[0][0] * sizes[0][1] > BIGGEST:
            return
        levels = range(self.header["levels"] + 1)
        source = self.work / "original.j2k"
        source.write_bytes(self.data)
        reference = oracle.decode(source, levels)
        damaged = self.damaged
        if self.file.reference:
            reference = oracle.decode(self.file.reference, levels)
        elif not reference[0] and not self.damaged and self.walked is None:
            damaged = True
        if not reference[0]:
            if self.walked is not None and not self.damaged and "refused" not in self.row.whole:
                self.decoders.add("none: OpenJPEG refuses it")
            return
        self.decoders.add(f"OpenJPEG {oracle.VERSION}")
        for reduce in levels:
            tally = self.tallies["whole" if reduce == 0 else "resolutions"]
            if not reference[reduce]:
                continue
            out = self._fetched(f"level{reduce}.j2k", sizes[reduce])
            decoded = oracle.decode(out, [reduce])[0] if out else None
            same = bool(decoded) and decoded.same_as(reference[reduce])
            tally.note(same, damaged)
            if not same and not damaged:
                self.fail(f"at {reduce} discarded levels the pixels differ ({_why(decoded)})")
            if reduce == 0 and out:
                self._second_opinions(source, out, reference[0], decoded)
        self._regions(reference, sizes, damaged)

    def _fetched(self, name, size, region=None):
        out = self.work / name
        options = ["--stream", self.stream, "--fsiz", f"{size[0]},{size[1]}"]
        if region:
            options += ["--roff", f"{region[0]},{region[1]}", "--rsiz", f"{region[2]},{region[3]}"]
        code, text = self.server.fetch(self.file.target, out, *options)
        if code != 0 or not out.exists():
            self.fail(f"fetch {' '.join(map(str, options))} ended with {code}: {text[-300:]}")
            return None
        return out

    def _second_opinions(self, source, out, reference, decoded):
        """Other decoders than the one that Precinct itself is built on."""
        if self.header["ht"]:
            sampled = any(c[2:] != (1, 1) for c in self.header["components"])
            signed = any(c[1] for c in self.header["components"])
            theirs = oracle.expand(source, len(self.header["components"]), sampled or signed)
            if theirs is not None:
                self.decoders.add("OpenJPH")
                ours = oracle.expand(out, len(self.header["components"]), sampled or signed)
                self.tallies["whole"].note(ours == theirs)
                if ours != theirs:
                    self.fail("ojph_expand decodes other pixels")
        data_set = self.file.original.data_set
        if data_set is not None and decoded:
            array = oracle.pydicom_frame(data_set, self.number)
            if array is not None and not self.damaged:
                planes = [array] if array.ndim == 2 else [array[..., i] for i in range(array.shape[-1])]
                # Pixel Representation may contradict the codestream, and pydicom follows it: equal in the bits there are.
                mask = (1 << self.header["components"][0][0]) - 1
                if [p.shape for p in planes] == [p.shape for p in decoded.planes]:
                    same = all(
                        np.array_equal(a.astype(np.int64) & mask, b.astype(np.int64) & mask)
                        for a, b in zip(planes, decoded.planes, strict=True)
                    )
                    self.decoders.add("pydicom")
                    self.tallies["whole"].note(same)
                    if not same:
                        self.fail("pydicom decodes other pixels")

    def _regions(self, reference, sizes, damaged):
        rng = random.Random(f"{self.row.name} {self.number}")
        for turn in range(REGIONS):
            reduce = rng.randrange(min(len(sizes), 4))
            width, height = sizes[reduce]
            if not reference[reduce] or width < 2 or height < 2:
                continue
            w, h = rng.randint(1, max(1, width // 2)), rng.randint(1, max(1, height // 2))
            x, y = rng.randint(0, width - w), rng.randint(0, height - h)
            out = self._fetched(f"region{turn}.j2k", (width, height), (x, y, w, h))
            if out is None:
                self.tallies["regions"].note(False, damaged)
                continue
            decoded = oracle.decode(out, [reduce])[0]
            same = bool(decoded) and self._same_region(decoded, reference[reduce], reduce, (x, y, w, h))
            self.tallies["regions"].note(same, damaged)
            if not same and not damaged:
                self.fail(f"region {x},{y} {w}x{h} at {reduce} discarded levels differs ({_why(decoded)})")
            if turn == 0:
                self._own_decode((width, height), (x, y, w, h), reference[reduce], reduce, damaged)
            if turn == 1:
                self._own_raw((width, height), (x, y, w, h), reference[reduce], reduce, damaged)

    def _crop(self, plane, component, reduce, region):
        """The samples of a component that the region covers."""
        x, y, w, h = region
        d = 1 << reduce
        x0, y0 = self.header["origin"]
        left, top = cs.ceil_div(x0, d) + x, cs.ceil_div(y0, d) + y
        _, _, xr, yr = self.header["components"][component]
        ox, oy = cs.ceil_div(cs.ceil_div(x0, xr), d), cs.ceil_div(cs.ceil_div(y0, yr), d)
        a, b = max(left // xr - ox, 0), cs.ceil_div(left + w, xr) - ox
        c, e = max(top // yr - oy, 0), cs.ceil_div(top + h, yr) - oy
        return plane[c:e, a:b]

    def _same_region(self, decoded, reference, reduce, region):
        if decoded.meta != reference.meta:
            return False
        return all(
            np.array_equal(self._crop(a, i, reduce, region), self._crop(b, i, reduce, region))
            for i, (a, b) in enumerate(zip(decoded.planes, reference.planes, strict=True))
        )

    def _own_decode(self, size, region, reference, reduce, damaged):
        """What `fetch` itself decodes and writes as PGM or PPM, where the samples fit into one."""
        parts = self.header["components"]
        if len(parts) not in (1, 3) or any(c[1] or c[2:] != (1, 1) or c[0] > 16 or c[0] != parts[0][0] for c in parts):
            return
        out = self._fetched("own.pgm" if len(parts) == 1 else "own.ppm", size, region)
        if out is None:
            self.tallies["regions"].note(False, damaged)
            return
        try:
            planes = _netpbm(out.read_bytes())
        except ValueError as error:
            self.fail(str(error))
            return
        wanted = [self._crop(p, i, reduce, region) for i, p in enumerate(reference.planes)]
        same = len(planes) == len(wanted) and all(
            np.array_equal(a, b) for a, b in zip(planes, wanted, strict=True)
        )
        self.tallies["regions"].note(same, damaged)
        if not same and not damaged:
            self.fail(f"fetch's own decode of region {region} at {reduce} discarded levels differs")


    def _own_raw(self, size, region, reference, reduce, damaged):
        """The same as plain samples: signed ones too, any number of components of one size."""
        parts = self.header["components"]
        if any(c[2:] != (1, 1) or c[0] > 32 for c in parts):
            return
        out = self._fetched("own.raw", size, region)
        if out is None:
            self.tallies["regions"].note(False, damaged)
            return
        deepest = max(c[0] for c in parts)
        kind = np.dtype("<u1" if deepest <= 8 else "<u2" if deepest <= 16 else "<u4")
        wanted = np.stack([self._crop(p, i, reduce, region) for i, p in enumerate(reference.planes)], axis=-1)
        # Two's complement, whatever the sign of the component.
        same = out.read_bytes() == (wanted.astype(np.int64) & ((1 << 8 * kind.itemsize) - 1)).astype(kind).tobytes()
        self.tallies["regions"].note(same, damaged)
        if not same and not damaged:
            self.fail(f"the raw samples of region {region} at {reduce} discarded levels differ")


def _header(data):
    """What the main header says: dictionary of plain values, or None."""
    try:
        s = cs.Codestream(data, header_only=True)
    except (cs.Damage, struct.error, IndexError):
        return None
    levels = [s.style.default.levels, *(c.levels for c in s.style.components.values())]
    bits = {f"{b}{'s' if signed else 'u'}" for b, signed, _, _ in s.components}
    sub = "" if all(c[2:] == (1, 1) for c in s.components) else " sub-sampled"
    ht = bool(s.style.default.style & cs.HT)
    width, height = s.reduced_size(0)
    facts = (
        f"{width}×{height}×{len(s.components)} {'/'.join(sorted(bits))}{sub}, "
        f"{s.across * s.down} tile{'s' if s.across * s.down > 1 else ''}, {cs.ORDERS[s.style.order] if s.style.order < 5 else '?'}, "
        f"{min(levels)} levels, {s.style.layers} layer{'s' if s.style.layers > 1 else ''}"
        f"{', HT' if ht else ''}{', 5/3' if s.style.default.reversible else ', 9/7'}"
    )
    return {
        "facts": facts,
        "ht": ht,
        "components": s.components,
        "origin": (s.x0, s.y0),
        "levels": min(levels),
        "sizes": [s.reduced_size(r) for r in range(min(levels) + 1)],
    }


def _walk(data):
    """Bins and facts of a whole codestream as plain values, or (None, why)."""
    try:
        s = cs.Codestream(data)
    except (cs.Damage, struct.error, IndexError) as error:
        return None, str(error)
    packed = {m for m, _ in s.main_segments if m == cs.PPM}
    packed |= {m for t in s.tiles.values() for m, _ in t.segments if m == cs.PPT}
    parts = sum(len(t.parts) for t in s.tiles.values())
    facts = f", {sum(len(t.packets) for t in s.tiles.values())} packets"
    facts += f", {parts} tile-parts" if parts > len(s.tiles) else ""
    facts += ", SOP" * s.style.sop + ", EPH" * s.style.eph
    facts += ", PPM" * (cs.PPM in packed) + ", PPT" * (cs.PPT in packed)
    facts += ", POC" * any(t.style.changes for t in s.tiles.values())
    return {
        "facts": facts,
        "precincts": {n: bytes(b) for n, b in s.precinct_bins().items()},
        "main": s.main_header_bin(),
        "tiles": s.tile_header_bins(),
    }, None


def _digest(bins):
    h = hashlib.sha256()
    for number in sorted(bins):
        h.update(struct.pack(">QQ", number, len(bins[number])))
        h.update(bins[number])
    return h.hexdigest()


def _difference(what, mine, theirs):
    missing = sorted(set(mine) - set(theirs))
    extra = sorted(set(theirs) - set(mine))
    other = sorted(n for n in set(mine) & set(theirs) if mine[n] != theirs[n])
    return f"{what}: {len(missing)} missing {missing[:3]}, {len(extra)} too many {extra[:3]}, {len(other)} differ {other[:3]}"


def _why(decoded):
    if decoded is None:
        return "nothing fetched"
    return "; ".join(decoded.complaints[:2]) or "decodes without complaint"


def _netpbm(data):
    """The planes of a binary PGM or PPM."""
    found = re.match(rb"P([56])\s+(\d+)\s+(\d+)\s+(\d+)\s", data)
    if not found:
        raise ValueError("fetch wrote no PGM or PPM")
    kind, width, height, top = (int(v) for v in found.groups())
    samples = 1 if kind == 5 else 3
    array = np.frombuffer(data, dtype=">u2" if top > 255 else "u1", offset=found.end())
    if array.size != width * height * samples:
        raise ValueError("fetch wrote a PGM or PPM of another size than it says")
    array = array.reshape(height, width, samples).astype(np.int32)
    return [array[..., i] for i in range(samples)]
