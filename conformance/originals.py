"""The codestreams of an original file, found without Precinct's code: by pydicom, by walking boxes, or as they are."""

import struct
import warnings

import pydicom
from pydicom.encaps import generate_frames

# Broken objects are what this is about.
warnings.filterwarnings("ignore", module="pydicom")

J2K_SYNTAXES = {
    "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93",
    "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203",
}  # fmt: skip


def boxes(data, at=0, end=None):
    """(type, contents start, end) of the boxes in a row; stops at the first that does not fit."""
    end = len(data) if end is None else end
    while at + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= end:
            length, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        elif length == 0:
            length = end - at
        if length < head:
            return
        yield kind, at + head, min(at + length, end)
        at += length


def of_boxes(data):
    out = []
    for kind, start, end in boxes(data):
        if kind == b"jp2c":
            out.append(data[start:end])
        elif kind == b"ftbl":
            for inner, s, _ in boxes(data, start, end):
                if inner == b"flst":
                    count = struct.unpack_from(">H", data, s)[0]
                    pieces = [struct.unpack_from(">QIH", data, s + 2 + 14 * i) for i in range(count)]
                    out.append(b"".join(data[o : o + n] for o, n, _ in pieces))
    return out


class Original:
    """kind: dicom, jp2, raw or none; the codestreams; for DICOM the data set."""

    def __init__(self, data, path):
        self.kind, self.codestreams, self.data_set, self.problem = "none", [], None, None
        if data[4:8] == b"jP  ":
            self.kind, self.codestreams = "jp2", of_boxes(data)
        elif data[:4] == b"\xff\x4f\xff\x51":
            self.kind, self.codestreams = "raw", [data]
        elif data[128:132] == b"DICM" or data[:2] == b"\x08\x00" or data[:2] == b"\x02\x00":
            self.kind = "dicom"
            self._read_dicom(path)

    def _read_dicom(self, path):
        try:
            ds = self.data_set = pydicom.dcmread(path, force=True)
            syntax = str(ds.file_meta.TransferSyntaxUID)
            if syntax not in J2K_SYNTAXES:
                self.problem = "another transfer syntax"
                return
            count = int(ds.get("NumberOfFrames", 1) or 1)
            extended = None
            if "ExtendedOffsetTable" in ds:
                extended = (ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths)
            frames = list(generate_frames(ds.PixelData, number_of_frames=count, extended_offsets=extended))
            if len(frames) != count:
                self.problem = f"{count} frames announced, {len(frames)} found"
            for frame in frames:
                if frame[4:8] == b"jP  ":
                    frame = (of_boxes(frame) or [b""])[0]
                self.codestreams.append(frame)
        except Exception as error:  # a broken object may break its reader in any way
            self.problem = f"pydicom: {type(error).__name__}"
            self.codestreams = []
