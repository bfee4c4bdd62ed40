"""The pixels of a DICOM object as pydicom reads them: pixels.py FILE OUT.

OUT holds every frame, its components one after the other, each sample as a little-endian integer of 32 bits; standard
output says how many frames, components, rows and columns there are. Colours stay as they are coded, but a palette is
applied. JPEG is read by Pillow, whose inverse DCT is that of the Independent JPEG Group, as in DCMTK.
"""
import sys
import warnings

import numpy
import pydicom
from pydicom.pixels import apply_color_lut, get_decoder


def main(path, out):
    warnings.simplefilter("ignore")
    data_set = pydicom.dcmread(path)
    syntax = data_set.file_meta.TransferSyntaxUID
    if syntax == "1.2.840.10008.1.2.8.1":
        frames = deflated(data_set)
    else:
        plugin = "pillow" if syntax == "1.2.840.10008.1.2.4.50" else ""
        decoder = get_decoder(syntax)
        count = int(data_set.get("NumberOfFrames", None) or 1)
        frames = numpy.stack([decoder.as_array(data_set, index=at, raw=True, decoding_plugin=plugin)[0] for at in range(count)])
    if data_set.get("PhotometricInterpretation") == "PALETTE COLOR":
        frames = apply_color_lut(frames, data_set)
    if frames.ndim == 3:
        frames = frames[..., None]
    frames = numpy.moveaxis(frames, -1, 1)
    numpy.ascontiguousarray(frames).astype("<i4").tofile(out)
    print(*frames.shape)


def deflated(data_set):
    """Frames of one bit, each deflated by itself."""
    import zlib

    from pydicom.encaps import generate_frames

    count = int(data_set.NumberOfFrames)
    frames = [zlib.decompress(frame, -15) for frame in generate_frames(data_set.PixelData, number_of_frames=count)]
    shape = (data_set.Rows, data_set.Columns)
    bits = [numpy.unpackbits(numpy.frombuffer(frame, "u1"), bitorder="little") for frame in frames]
    return numpy.stack([frame[: shape[0] * shape[1]].reshape(shape) for frame in bits])


if __name__ == "__main__":
    main(*sys.argv[1:])
