"""Decoders that others wrote: OpenJPEG's library (Debian's, through ctypes), ojph_expand, pydicom with pylibjpeg.

OpenJPEG is called through its C interface, not through `opj_decompress`, because the program upsamples, clips and
expands palettes on the way to a file: here every component comes out as the samples that the codestream holds. Every
decode runs in a forked child with limits, so that a file that kills the decoder costs one answer.
"""

import ctypes
import ctypes.util
import os
import pickle
import resource
import subprocess
import tempfile
from pathlib import Path

import numpy as np

J2K, JP2 = 0, 2
MEMORY_LIMIT = 6 << 30
CPU_LIMIT = 60


class _Comp(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in "dx dy w h x0 y0 prec bpp sgnd resno factor".split()] + [
        ("data", ctypes.POINTER(ctypes.c_int32)),
        ("alpha", ctypes.c_uint16),
    ]


class _Image(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in "x0 y0 x1 y1 numcomps".split()] + [
        ("color_space", ctypes.c_int),
        ("comps", ctypes.POINTER(_Comp)),
        ("icc", ctypes.c_void_p),
        ("icc_len", ctypes.c_uint32),
    ]


_MESSAGE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)


def _library():
    lib = ctypes.CDLL(ctypes.util.find_library("openjp2") or "libopenjp2.so.7")
    p, u, b = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int
    lib.opj_version.restype = ctypes.c_char_p
    for name, result, arguments in [
        ("opj_create_decompress", p, [b]),
        ("opj_stream_create_default_file_stream", p, [ctypes.c_char_p, b]),
        ("opj_set_default_decoder_parameters", None, [p]),
        ("opj_setup_decoder", b, [p, p]),
        ("opj_read_header", b, [p, p, ctypes.POINTER(ctypes.POINTER(_Image))]),
        ("opj_decode", b, [p, p, ctypes.POINTER(_Image)]),
        ("opj_end_decompress", b, [p, p]),
        ("opj_set_warning_handler", b, [p, _MESSAGE, p]),
        ("opj_set_error_handler", b, [p, _MESSAGE, p]),
        ("opj_set_decoded_resolution_factor", b, [p, u]),
    ]:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


LIB = _library()
VERSION = LIB.opj_version().decode()


class Decoded:
    """Component planes, or why there are none; `complaints` are the decoder's warnings and errors."""

    def __init__(self, planes, complaints, meta=()):
        self.planes, self.complaints, self.meta = planes, complaints, meta

    def __bool__(self):
        return self.planes is not None

    def same_as(self, other):
        return (
            self.planes is not None
            and other.planes is not None
            and self.meta == other.meta
            and len(self.planes) == len(other.planes)
            and all(np.array_equal(a, b) for a, b in zip(self.planes, other.planes, strict=True))
        )


def _decode(path, form, reduce):
    complaints = []
    note = _MESSAGE(lambda text, _: complaints.append((text or b"").decode("latin-1").strip()))
    codec = LIB.opj_create_decompress(form)
    LIB.opj_set_warning_handler(codec, note, None)
    LIB.opj_set_error_handler(codec, note, None)
    parameters = ctypes.create_string_buffer(1 << 15)
    LIB.opj_set_default_decoder_parameters(parameters)
    ctypes.c_uint32.from_buffer(parameters).value = reduce
    stream = LIB.opj_stream_create_default_file_stream(os.fsencode(path), 1)
    image = ctypes.POINTER(_Image)()
    good = (
        LIB.opj_setup_decoder(codec, parameters)
        and LIB.opj_read_header(stream, codec, ctypes.byref(image))
        and LIB.opj_decode(codec, stream, image)
    )
    if good and not LIB.opj_end_decompress(codec, stream):
        complaints.append("opj_end_decompress failed")
    if not good:
        return Decoded(None, complaints or ["refused"])
    planes, meta = [], []
    for i in range(image.contents.numcomps):
        c = image.contents.comps[i]
        if not c.data:
            return Decoded(None, complaints + [f"component {i} without samples"])
        planes.append(np.ctypeslib.as_array(c.data, (c.h, c.w)).copy())
        meta.append((c.w, c.h, c.prec, bool(c.sgnd)))
    return Decoded(planes, complaints, tuple(meta))


def guarded(jobs):
    """The results of argument-less functions, run one after the other in one child; None from the one that died on."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT + 1))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            with os.fdopen(writer, "wb") as out:
                for job in jobs:
                    try:
                        result = job()
                    except MemoryError:
                        result = None
                    pickle.dump(result, out, protocol=5)
                    out.flush()
        finally:
            os._exit(0)
    os.close(writer)
    results = []
    with os.fdopen(reader, "rb") as source:
        for _ in jobs:
            try:
                results.append(pickle.load(source))
            except (EOFError, pickle.UnpicklingError):
                break
    os.waitpid(child, 0)
    return results + [None] * (len(jobs) - len(results))


def decode(path, reductions, form=J2K):
    """`Decoded` at each number of discarded levels."""
    jobs = [lambda r=r: _decode(path, form, r) for r in reductions]
    return [r or Decoded(None, ["the decoder died"]) if r is None else r for r in guarded(jobs)]


def expand(path, components, signed_or_sampled):
    """What ojph_expand writes for an HT codestream: bytes to compare, or None."""
    kind = "yuv" if signed_or_sampled or components not in (1, 3) else ("pgm" if components == 1 else "ppm")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"out.{kind}"
        source = Path(folder) / "in.j2c"
        source.symlink_to(Path(path).resolve())
        try:
            done = subprocess.run(
                ["ojph_expand", "-i", source, "-o", out], stdin=subprocess.DEVNULL, capture_output=True, timeout=60
            )
        except subprocess.TimeoutExpired:
            return None
        if done.returncode or not out.exists():
            return None
        return out.read_bytes()


def pydicom_frame(data_set, index):
    """One frame as pydicom's plug-in decodes it, without colour conversion; None if it does not."""
    from pydicom.pixels import get_decoder

    def run():
        try:
            decoder = get_decoder(data_set.file_meta.TransferSyntaxUID)
            array, _ = decoder.as_array(data_set, index=index, raw=True)
        except Exception:
            return None
        return array

    return guarded([run])[0]
