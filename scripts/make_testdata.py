"""Makes the test data that needs no other repository: make_testdata.py DIR.

Images are computed (no random source but a fixed one), encoded with `opj_compress` and `ojph_compress`, rewritten
into forms that no encoder at hand writes (PPM, PPT, interleaved tile-parts, Psot = 0, no EOC), wrapped into JP2, JPX
and JPH boxes and into DICOM objects. The J2K objects that the pydicom package itself brings are copied beside them.
Does nothing when DIR was made by the same version of this script and of the walker it uses.
"""

import hashlib
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))
import codestream as cs  # noqa: E402

# The J2K objects bundled in the wheel of pydicom 3.0; others would have to be downloaded.
PYDICOM_OBJECTS = [
    "693_J2KI.dcm",
    "GDCMJ2K_TextGBR.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "JPEG2000.dcm",
    "MR_small_jp2klossless.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "examples_jpeg2k.dcm",
]


def picture(width, height, bits=8, signed=False, seed=1):
    """A smooth field with edges, texture and noise: every sub-band of every level holds something."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    field = 0.35 * np.sin(x / 37.0 + seed) * np.cos(y / 29.0) + 0.3 * (x + y) / (width + height)
    disk = (x - width * 0.6) ** 2 + (y - height * 0.4) ** 2 < (min(width, height) * 0.25) ** 2
    field += 0.25 * disk + 0.05 * (((x // 7 + y // 5) % 2) > 0)
    field += np.random.Generator(np.random.PCG64(seed)).normal(0, 0.01, (height, width))
    low, high = field.min(), field.max()
    top = (1 << bits) - 1
    value = np.round((field - low) / (high - low) * top).astype(np.int64)
    return value - (1 << (bits - 1)) if signed else value


class Maker:
    def __init__(self, out):
        self.out = out
        self.work = out / ".work"
        self.work.mkdir(parents=True)

    # -- encoders --------------------------------------------------------------------------------

    def raw(self, planes, bits, signed):
        path = self.work / "in.rawl"
        kind = "i" if signed else "u"
        path.write_bytes(b"".join(p.astype(f"<{kind}{1 if bits <= 8 else 2}").tobytes() for p in planes))
        return path

    def opj(self, name, planes, bits, *options, signed=False, sub=None):
        height, width = planes[0].shape
        path = self.raw(planes, bits, signed)
        form = f"{width},{height},{len(planes)},{bits},{'s' if signed else 'u'}"
        if sub:
            form += "@" + ":".join(f"{a}x{b}" for a, b in sub)
        # opj_compress appends nothing and names the type by the extension.
        self.run("opj_compress", "-i", path, "-o", self.out / name, "-F", form, *options)
        return (self.out / name).read_bytes()

    def ojph(self, name, planes, bits, *options):
        height, width = planes[0].shape
        path = self.work / ("in.ppm" if len(planes) == 3 else "in.pgm")
        top = (1 << bits) - 1
        samples = np.stack(planes, axis=-1) if len(planes) == 3 else planes[0]
        head = f"P{6 if len(planes) == 3 else 5}\n{width} {height}\n{top}\n".encode()
        path.write_bytes(head + samples.astype("u1" if bits <= 8 else ">u2").tobytes())
        self.run("ojph_compress", "-i", path, "-o", self.out / name, *options)
        return (self.out / name).read_bytes()

    def run(self, *command):
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        output = Path(command[command.index("-o") + 1])
        if done.returncode or not output.exists() or output.stat().st_size == 0:
            raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")

    def write(self, name, data):
        (self.out / name).parent.mkdir(parents=True, exist_ok=True)
        (self.out / name).write_bytes(data)
        return data


# -- codestreams rewritten ---------------------------------------------------------------------------


def segment(marker, body):
    return struct.pack(">HH", marker, len(body) + 2) + body


def sot(tile, length, part, parts):
    return struct.pack(">HHHIBB", cs.SOT, 10, tile, length, part, parts)


def chunks(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)] or [b""]


def rewrite(data, packed=None, cut=None, interleave=False, psot_zero=False, eoc=True, plt=False):
    """The same packets in other clothes. `packed`: "ppm" or "ppt"; `cut`: packets in each tile-part."""
    stream = cs.Codestream(data)
    parts = []
    segments_of = dict.fromkeys(stream.tiles, 0)  # Zppt counts through all tile-parts of a tile
    for tile in stream.tiles.values():
        pieces = chunks(tile.packets, cut) if cut else [tile.packets]
        for number, packets in enumerate(pieces):
            parts.append((tile, number, len(pieces), packets))
    if interleave:
        parts.sort(key=lambda p: (p[1], -p[0].index))
    out = bytearray(b"\xff\x4f" + b"".join(s for _, s in stream.main_segments))
    if packed == "ppm":
        headers = [b"".join(p.header for p in packets) for *_, packets in parts]
        body = b"".join(struct.pack(">I", len(h)) + h for h in headers)
        # Odd pieces, so that Nppm and the headers straddle marker segments.
        for z, piece in enumerate(chunks(body, 4001)):
            out += segment(cs.PPM, bytes([z]) + piece)
    for i, (tile, number, count, packets) in enumerate(parts):
        head = b"".join(s for _, s in tile.segments) if number == 0 else b""
        if packed == "ppt":
            for piece in chunks(b"".join(p.header for p in packets), 1009):
                head += segment(cs.PPT, bytes([segments_of[tile.index]]) + piece)
                segments_of[tile.index] += 1
        if plt:
            lengths = b"".join(vbas(len(p.lead + p.header + p.body)) for p in packets)
            for z, piece in enumerate(chunks(lengths, 60000)):
                head += segment(cs.PLT, bytes([z]) + piece)
        if packed:
            body = b"".join(p.lead + p.body for p in packets)
        else:
            body = b"".join(p.lead + p.header + p.body for p in packets)
        length = 12 + len(head) + 2 + len(body)
        last = i == len(parts) - 1
        out += sot(tile.index, 0 if psot_zero and last else length, number, count) + head + b"\xff\x93" + body
    return bytes(out + (b"\xff\xd9" if eoc else b""))


def vbas(value):
    out = [value & 0x7F]
    while value > 0x7F:
        value >>= 7
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


# -- boxes -------------------------------------------------------------------------------------------


def box(kind, body):
    return struct.pack(">I4s", len(body) + 8, kind) + body


def jp2_head(brand, width, height, components, bits, compatible=(b"jp2 ",)):
    ihdr = box(b"ihdr", struct.pack(">IIHBBBB", height, width, components, bits - 1, 7, 0, 0))
    colr = box(b"colr", struct.pack(">BBBI", 1, 0, 0, 17 if components == 1 else 16))
    return (
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"ftyp", brand + bytes(4) + b"".join(compatible))
        + box(b"jp2h", ihdr + colr)
    )


# -- DICOM -------------------------------------------------------------------------------------------

TS = {
    "j2k-lossless": "1.2.840.10008.1.2.4.90",
    "j2k": "1.2.840.10008.1.2.4.91",
    "htj2k-lossless": "1.2.840.10008.1.2.4.201",
    "htj2k": "1.2.840.10008.1.2.4.203",
}


def dicom(path, syntax, frames, width, height, bits=16, signed=False, samples=1, table="basic", fragments=1):
    """A Secondary Capture object. `table`: basic, empty, extended or wrong; `fragments` of each frame."""
    uid = generate_uid(entropy_srcs=["precinct test data", str(path.name)])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = TS.get(syntax, syntax)
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = uid
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["precinct test study"])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["precinct test series", syntax])
    ds.PatientName = "Canary^Patient"
    ds.PatientID = "CANARY-1"
    ds.Modality = "OT"
    ds.InstanceNumber = 1
    ds.Rows, ds.Columns = height, width
    ds.SamplesPerPixel = samples
    ds.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "YBR_RCT"
    if samples > 1:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = 8 if bits <= 8 else 16
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelRepresentation = int(signed)
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    if table == "extended":
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    else:
        data = encapsulate(frames, fragments_per_frame=fragments, has_bot=table != "empty")
        if table == "wrong":
            # The value of the Basic Offset Table begins after its item header; every offset is moved.
            data = bytearray(data)
            for i in range(len(frames)):
                struct.pack_into("<I", data, 8 + 4 * i, 1234 + 6 * i)
            data = bytes(data)
        ds.PixelData = data
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.save_as(path, enforce_file_format=True)


def with_icon(path, source):
    """A copy of `source` with an Icon Image Sequence that holds encapsulated pixel data of its own before ours."""
    ds = pydicom.dcmread(source)
    icon = Dataset()
    icon.SamplesPerPixel, icon.PhotometricInterpretation = 1, "MONOCHROME2"
    icon.Rows = icon.Columns = 8
    icon.BitsAllocated = icon.BitsStored = 8
    icon.HighBit, icon.PixelRepresentation = 7, 0
    icon.PixelData = bytes(range(64))
    ds.IconImageSequence = [icon]
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["precinct", path.name])
    ds.save_as(path, enforce_file_format=True)


def native(path):
    """An object that JPIP cannot serve: native pixel data."""
    dicom(path, ExplicitVRLittleEndian, [b"\0\0"], 16, 16)
    ds = pydicom.dcmread(path)
    ds.PixelData = bytes(16 * 16 * 2)
    ds["PixelData"].VR = "OW"
    ds["PixelData"].is_undefined_length = False
    ds.save_as(path, enforce_file_format=True)


# -- the collection ----------------------------------------------------------------------------------


def make(out):
    m = Maker(out)
    grey = picture(500, 400, 12)
    small = picture(200, 160, 8, seed=2)
    rgb = [picture(260, 210, 8, seed=s) for s in (3, 4, 5)]

    # The five progressions, with precincts that change with the resolution level, SOP and EPH, layers.
    for order in cs.ORDERS:
        m.opj(f"progression_{order}.j2k", [grey], 12, "-p", order, "-c", "[128,128],[64,64],[32,32]", "-n", "4",
              "-SOP", "-EPH", "-r", "20,5,1")  # fmt: skip
        m.opj(f"progression_{order}_rgb_tiles.j2k", rgb, 8, "-p", order, "-c", "[64,64],[64,64],[32,32]",
              "-t", "100,90", "-n", "3", "-r", "10,1", "-mct", "1")  # fmt: skip
    # Precincts and tiles that do not divide anything, offsets off every grid.
    m.opj("rpcl_precincts_6432168.j2k", [grey], 12, "-p", "RPCL", "-c", "[64,64],[32,32],[16,16],[8,8]", "-n", "6")
    m.opj("tiles_not_dividing.j2k", [grey], 12, "-t", "171,133", "-n", "4", "-p", "RPCL", "-c", "[64,64]")
    m.opj("offsets.j2k", [grey], 12, "-d", "37,53", "-T", "11,7", "-t", "150,170", "-n", "5", "-c", "[64,64]")
    m.opj("offset_image_only.j2k", [small], 8, "-d", "1023,511", "-n", "5")
    m.opj("one_resolution.j2k", [small], 8, "-n", "1")
    m.opj("precinct_128x32.j2k", [grey], 12, "-c", "[128,32],[64,32]", "-n", "3", "-p", "PCRL", "-b", "32,8")
    # Layers.
    m.opj("layers_12.j2k", [grey], 12, "-r", "200,150,100,80,60,40,30,20,15,10,5,1", "-p", "RLCP")
    m.opj("lossy_layers.j2k", [grey], 12, "-I", "-r", "60,30,10", "-p", "LRCP", "-c", "[64,64]")
    # Sample formats.
    m.opj("signed_16.j2k", [picture(300, 200, 16, True)], 16, "-p", "RPCL", "-c", "[128,128]", signed=True)
    m.opj("unsigned_16.j2k", [picture(300, 200, 16)], 16, "-p", "RPCL", "-c", "[128,128]")
    m.opj("signed_8_lossy.j2k", [picture(300, 200, 8, True)], 8, "-I", "-r", "8", signed=True)
    m.opj("one_bit.j2k", [picture(120, 90, 1)], 1)
    m.opj("rgb_mct.j2k", rgb, 8, "-mct", "1", "-p", "RPCL", "-c", "[64,64]")
    m.opj("rgb_no_mct.j2k", rgb, 8, "-mct", "0", "-p", "CPRL", "-c", "[64,64]")
    m.opj("rgb_ict.j2k", rgb, 8, "-I", "-mct", "1", "-r", "12", "-p", "RPCL")
    yuv = [picture(240, 180, 8, seed=6), picture(120, 90, 8, seed=7), picture(120, 90, 8, seed=8)]
    for order in ["LRCP", "RPCL", "PCRL", "CPRL"]:
        m.opj(f"yuv420_{order}.j2k", yuv, 8, "-mct", "0", "-p", order, "-c", "[64,64],[32,32]", "-n", "4",
              sub=[(1, 1), (2, 2), (2, 2)])  # fmt: skip
    # Code-block styles, one by one and all at once.
    for mode in (1, 2, 4, 8, 16, 32, 5, 63):
        m.opj(f"style_{mode}.j2k", [grey], 12, "-M", str(mode), "-r", "10,1", "-n", "4", "-c", "[128,128]")
    # Tile-parts and progression order changes (by resolution: splitting layers, the encoder itself is wrong).
    m.opj("tile_parts_R.j2k", [grey], 12, "-TP", "R", "-p", "RPCL", "-c", "[64,64]", "-PLT", "-TLM")
    m.opj("tile_parts_L.j2k", [grey], 12, "-TP", "L", "-p", "LRCP", "-r", "20,5,1", "-t", "250,200")
    m.opj("poc_by_resolution.j2k", [grey], 12, "-n", "5", "-r", "10,1",
          "-POC", "T1=0,0,2,3,1,RLCP/T1=3,0,2,5,1,LRCP")  # fmt: skip
    m.opj("plt_tlm.j2k", [grey], 12, "-PLT", "-TLM", "-p", "RPCL", "-c", "[64,64]")
    # HT: reversible and not, precincts, tiles, all orders.
    for order in cs.ORDERS:
        m.ojph(f"ht_{order}.j2c", [grey], 12, "-reversible", "true", "-prog_order", order, "-num_decomps", "4",
               "-precincts", "{32,32},{64,64},{128,128}")  # fmt: skip
    m.ojph("ht_rgb_tiles.j2c", rgb, 8, "-reversible", "true", "-tile_size", "{100,90}", "-precincts", "{64,64}",
           "-num_decomps", "3")  # fmt: skip
    m.ojph("ht_irreversible.j2c", [grey], 12, "-qstep", "0.001", "-block_size", "{32,32}")
    m.ojph("ht_irreversible_rgb.j2c", rgb, 8, "-qstep", "0.01", "-precincts", "{128,128}")
    m.ojph("ht_16.j2c", [picture(300, 200, 16)], 16, "-reversible", "true")
    m.ojph("ht_offsets.j2c", [grey], 12, "-reversible", "true", "-image_offset", "{37,53}", "-tile_offset", "{11,7}",
           "-tile_size", "{150,170}", "-num_decomps", "4")  # fmt: skip

    # Forms that no encoder at hand writes.
    references = []
    base = (out / "progression_RPCL.j2k").read_bytes()
    for name, source, how in [
        ("rewritten_ppm.j2k", "progression_RPCL.j2k", {"packed": "ppm"}),
        ("rewritten_ppt.j2k", "progression_RPCL.j2k", {"packed": "ppt"}),
        ("rewritten_ppm_tiles.j2k", "progression_LRCP_rgb_tiles.j2k", {"packed": "ppm"}),
        ("rewritten_ppm_tiles_interleaved.j2k", "progression_LRCP_rgb_tiles.j2k",
         {"packed": "ppm", "cut": 7, "interleave": True}),
        ("rewritten_ppt_tiles_interleaved.j2k", "progression_LRCP_rgb_tiles.j2k",
         {"packed": "ppt", "cut": 7, "interleave": True}),
        ("rewritten_tiles_interleaved.j2k", "progression_LRCP_rgb_tiles.j2k", {"cut": 5, "interleave": True}),
        ("rewritten_psot_zero.j2k", "progression_LRCP_rgb_tiles.j2k", {"psot_zero": True}),
        ("rewritten_no_eoc.j2k", "progression_RPCL.j2k", {"eoc": False}),
        ("rewritten_psot_zero_no_eoc.j2k", "progression_RPCL.j2k", {"psot_zero": True, "eoc": False}),
        ("rewritten_plt.j2k", "progression_LRCP_rgb_tiles.j2k", {"plt": True}),
    ]:  # fmt: skip
        m.write(name, rewrite((out / source).read_bytes(), **how))
        references.append(f"{name}\t{source}\n")
    # OpenJPEG reads some of these wrongly or not at all; they hold the pixels of what they were made from.
    (out / "references.tsv").write_text("".join(references))

    # Files of boxes.
    m.opj("plain.jp2", [small], 8, "-p", "RPCL", "-c", "[64,64]")
    m.opj("rgb.jp2", rgb, 8, "-p", "RPCL", "-c", "[64,64]", "-mct", "1")
    m.opj("zero_index_boxes.jp2", [small], 8, "-p", "RPCL", "-jpip")
    m.write("ht.jph", jp2_head(b"jph ", 500, 400, 1, 12, (b"jph ",)) + box(b"jp2c", (out / "ht_RPCL.j2c").read_bytes()))
    one, two = (out / "signed_16.j2k").read_bytes(), (out / "unsigned_16.j2k").read_bytes()
    head = jp2_head(b"jpx ", 300, 200, 1, 16, (b"jpx ", b"jp2 ", b"jpxb"))
    xml = box(b"xml ", b'<?xml version="1.0"?><note>two codestreams</note>')
    m.write("two_codestreams.jpx", head + xml + box(b"jp2c", two) + box(b"jp2c", one))
    m.write("fragment_table.jpx", fragment_table(head, two))
    m.write("jp2c_to_the_end.jp2", jp2_head(b"jp2 ", 300, 200, 1, 16) + struct.pack(">I4s", 0, b"jp2c") + two)
    m.write("jp2c_long_length.jp2", jp2_head(b"jp2 ", 300, 200, 1, 16) + struct.pack(">I4sQ", 1, b"jp2c", len(two) + 16) + two)

    # DICOM objects.
    frames = [m.opj(f".work/f{i}.j2k", [picture(128, 96, 12, seed=20 + i)], 12, "-n", "4", "-p", "RPCL", "-c", "[64,64]")
              for i in range(6)]  # fmt: skip
    ht = [m.ojph(f".work/h{i}.j2c", [picture(128, 96, 12, seed=30 + i)], 12, "-reversible", "true") for i in range(3)]
    colour = [m.opj(f".work/c{i}.j2k", [picture(100, 80, 8, seed=40 + 3 * i + j) for j in range(3)], 8, "-mct", "1")
              for i in range(3)]  # fmt: skip
    d = out / "dicom"
    d.mkdir()
    for table in ("basic", "empty", "extended", "wrong"):
        dicom(d / f"frames_{table}_table.dcm", "j2k-lossless", frames, 128, 96, 12, table=table)
    dicom(d / "frames_three_fragments.dcm", "j2k-lossless", frames, 128, 96, 12, fragments=3)
    dicom(d / "frames_three_fragments_no_table.dcm", "j2k-lossless", frames, 128, 96, 12, table="empty", fragments=3)
    dicom(d / "single_five_fragments.dcm", "j2k-lossless", frames[:1], 128, 96, 12, table="empty", fragments=5)
    dicom(d / "ht_frames.dcm", "htj2k-lossless", ht, 128, 96, 12)
    dicom(d / "colour_frames.dcm", "j2k", colour, 100, 80, 8, samples=3)
    dicom(d / "jp2_in_fragment.dcm", "j2k-lossless", [(out / "plain.jp2").read_bytes()], 200, 160, 8)
    dicom(d / "ppt_frame.dcm", "j2k-lossless", [(out / "rewritten_ppt.j2k").read_bytes()], 500, 400, 12)
    with_icon(d / "icon.dcm", d / "frames_basic_table.dcm")
    native(d / "native.dcm")

    # What must be refused or survived.
    b = out / "broken"
    b.mkdir()
    (b / "empty.j2k").write_bytes(b"")
    (b / "soc_only.j2k").write_bytes(b"\xff\x4f")
    (b / "truncated.j2k").write_bytes(base[: len(base) * 2 // 3])
    (b / "truncated.jp2").write_bytes((out / "plain.jp2").read_bytes()[:2000])
    (b / "no_codestream.jp2").write_bytes(jp2_head(b"jp2 ", 10, 10, 1, 8))
    (b / "text.j2k").write_bytes(b"this is no image\n" * 20)
    object_ = (d / "frames_basic_table.dcm").read_bytes()
    (b / "truncated.dcm").write_bytes(object_[: len(object_) // 2])

    p = out / "pydicom"
    p.mkdir()
    for name in PYDICOM_OBJECTS:
        shutil.copy(get_testdata_file(name, download=False), p / name)
    shutil.rmtree(m.work)


def fragment_table(head, codestream):
    """A JPX file whose codestream lies in two pieces that a fragment table names [15444-2 M.11.3]."""
    half = len(codestream) // 2 + 1
    flst_len = 8 + 2 + 2 * 14
    ftbl_len = 8 + flst_len
    first = len(head) + ftbl_len + 8
    second = first + half + 8
    entries = struct.pack(">QIH", first, half, 0) + struct.pack(">QIH", second, len(codestream) - half, 0)
    ftbl = box(b"ftbl", box(b"flst", struct.pack(">H", 2) + entries))
    assert len(ftbl) == ftbl_len
    return head + ftbl + box(b"mdat", codestream[:half]) + box(b"mdat", codestream[half:])


def main():
    out = Path(sys.argv[1])
    stamp = out / ".made-by"
    mine = hashlib.sha256()
    for part in (Path(__file__), HERE.parent / "conformance" / "codestream.py", HERE / "requirements.txt"):
        mine.update(part.read_bytes())
    if stamp.exists() and stamp.read_text() == mine.hexdigest():
        return
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    make(out)
    stamp.write_text(mine.hexdigest())
    print(f"{sum(1 for f in out.rglob('*') if f.is_file()) - 1} files in {out}")


if __name__ == "__main__":
    main()
