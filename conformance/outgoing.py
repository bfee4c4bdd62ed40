"""The forms in which an instance goes out, as pydicom, pynetdicom and dciodvfy see them.

  outgoing.py --precinct BINARY [--only TEXT]

Each DICOM file of the collection is stored. A native one is got in implicit, explicit and deflated VR little endian and must hold
the same values. One in JPEG 2000 is got as a JPIP Referenced object, plain and deflated, and must be the stored one but for
its pixel data, the URL and the photometric interpretation, which is that of the codestream; what cannot be said so is 406.
dciodvfy, where it is installed, must find no error in what goes out that it does not find in the file.

From objects made here, stored and got as JPIP Referenced objects by C-GET and WADO-RS, the URL is opened for frame 17, as it
stands with fields added as a viewer adds them, and the pixels are those that were encoded. The last line counts.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import zlib
from pathlib import Path

import c_store
import dicomweb
import examine
import numpy as np
import run
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, SecondaryCaptureImageStorage, generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet

SYNTAX = "1.2.840.10008.1.2"
NATIVE = {SYNTAX: "", f"{SYNTAX}.1": "explicit", f"{SYNTAX}.2": "big endian", f"{SYNTAX}.1.99": "deflated"}
JPEG2000 = {f"{SYNTAX}.4.{n}" for n in (90, 91, 201, 202, 203)}
PIXEL_DATA = {0x7FE00001, 0x7FE00002, 0x7FE00003, 0x7FE00010}
PHOTOMETRIC, URL = 0x00280004, 0x00287FE0
FRAME = 17
Differs = dicomweb.Differs


def got(server, path, syntax):
    """The file in this transfer syntax; None if it cannot be had."""
    code, headers, body = dicomweb.get(server, path, f"application/dicom; transfer-syntax={syntax}")
    if code == 406:
        return None
    if code != 200 or headers["Content-Type"] != f"application/dicom; transfer-syntax={syntax}":
        raise Differs(f"{syntax}: {code} {headers['Content-Type']}")
    return body


def read(file, syntax):
    """The data set of a file, by pydicom, which inflates only one of the deflated transfer syntaxes."""
    data_set = dcmread(io.BytesIO(file), stop_before_pixels=False, specific_tags=["TransferSyntaxUID"])
    if data_set.file_meta.TransferSyntaxUID != syntax:
        raise Differs(f"{data_set.file_meta.TransferSyntaxUID} in the file meta information, asked for {syntax}")
    return dcmread(io.BytesIO(file))


def deflated(file):
    """What the data set of a deflated file inflates to."""
    body = c_store.data_set_of(file)
    inflater = zlib.decompressobj(-15)
    plain = inflater.decompress(body) + inflater.flush()
    if len(body) % 2 or not inflater.eof or inflater.unused_data not in (b"", b"\0"):
        raise Differs(f"{len(body)} deflated bytes, {inflater.unused_data[:8]} behind the stream")
    return plain


def errors_of(file, folder):
    """What dciodvfy calls errors; a data set in explicit VR little endian is shown to it as one that it knows."""
    path = folder / "examined.dcm"
    path.write_bytes(file)
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    words = done.stderr.decode(errors="replace")
    return {re.sub(r"(Colour|0x[0-9a-f]+)", "", line) for line in words.splitlines() if line.startswith("Error")}


def no_new_errors(stored, file, folder):
    new = errors_of(file, folder) - errors_of(stored, folder)
    # There is no pixel data, as there should not be.
    new = {line for line in new if "PixelData" not in line and "Pixel Data" not in line}
    if new:
        raise Differs(f"dciodvfy: {sorted(new)[:3]}")


def photometric_of(data_set):
    """What the first codestream says of its colours [15444-1 A.5.1, A.6.1]; None if there is no word for it."""
    frame = next(generate_frames(data_set.PixelData, number_of_frames=int(data_set.get("NumberOfFrames") or 1)))
    codestream = frame[frame.index(b"\xff\x4f\xff\x51") :]
    components = int.from_bytes(codestream[40:42], "big")
    at = 2
    while codestream[at : at + 2] != b"\xff\x52":
        at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    transform, wavelet = codestream[at + 8], codestream[at + 13]
    declared = data_set.get("PhotometricInterpretation")
    if components == 1:
        return declared if declared in ("MONOCHROME1", "MONOCHROME2") else None
    if components == 3 and transform:
        return "YBR_RCT" if wavelet == 1 else "YBR_ICT"
    return None


def check_native(server, path, stored, data_set, folder):
    syntax = data_set.file_meta.TransferSyntaxUID
    for wanted in (SYNTAX, f"{SYNTAX}.1", f"{SYNTAX}.1.99"):
        file = got(server, path, wanted)
        if file is None:
            raise Differs(f"not to be had in {wanted}")
        if wanted == syntax:
            if file != stored:
                raise Differs(f"{wanted} is not what is stored")
            continue
        dicomweb.same_values(data_set, read(file, wanted))
        if wanted.endswith(".99"):
            deflated(file)
        elif shutil.which("dciodvfy"):
            no_new_errors(stored, file, folder)
    if got(server, path, f"{SYNTAX}.4.90") is not None:
        raise Differs("compressed by nobody")


def check_referenced(server, path, stored, data_set, folder):
    uid = data_set.file_meta.TransferSyntaxUID
    kinds = (204, 205) if int(uid.rsplit(".", 1)[1]) > 200 else (94, 95)
    expected = photometric_of(data_set)
    plain, small = (got(server, path, f"{SYNTAX}.4.{n}") for n in kinds)
    others = [got(server, path, f"{SYNTAX}.4.{n}") for n in {94, 95, 204, 205} - set(kinds)]
    if any(other is not None for other in others):
        raise Differs("referred to as another kind of codestream")
    if expected is None:
        if plain is not None or small is not None:
            raise Differs("referred to, though its colours cannot be said")
        return
    if plain is None or small is None:
        raise Differs(f"cannot be referred to, though it is {expected}")
    if deflated(small) != c_store.data_set_of(plain):
        raise Differs("the deflated form holds something else")
    found = read(plain, f"{SYNTAX}.4.{kinds[0]}")
    url = f"{server.base}/jpip?target={data_set.SOPInstanceUID}"
    if (found.get("PixelDataProviderURL"), found.get("PhotometricInterpretation")) != (url, expected):
        raise Differs(f"{found.get('PixelDataProviderURL')} {found.get('PhotometricInterpretation')}, expected {expected}")
    for one in (data_set, found):
        for tag in PIXEL_DATA | {PHOTOMETRIC, URL}:
            if tag in one and not (one is found and tag in PIXEL_DATA):
                del one[tag]
    dicomweb.same_values(data_set, found)
    if shutil.which("dciodvfy"):
        no_new_errors(stored, plain, folder)


def check(server, path, folder):
    """Raises what is wrong; LookupError for a file that is not to be compared."""
    stored = path.read_bytes()
    code, _, _ = server.request("POST", "/api/v1/import?name=unused", stored)
    if code != 201:
        raise LookupError(f"not taken: {code}")
    data_set = dcmread(path, force=True)
    uids = [dicomweb.text(data_set.get(k) or "") for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    if not all(uids):
        raise LookupError("no Study or Series Instance UID")
    item = examine.json.loads(server.request("GET", f"/api/v1/instances/{uids[2]}")[2])
    place = "/dicom-web/studies/{}/series/{}/instances/{}".format(*uids)
    syntax = data_set.file_meta.TransferSyntaxUID
    if syntax in NATIVE:
        check_native(server, place, stored, data_set, folder)
    elif syntax in JPEG2000 and item["state"] == "indexed":
        check_referenced(server, place, stored, data_set, folder)
    else:
        for n in (94, 95, 204, 205):
            file = got(server, place, f"{SYNTAX}.4.{n}")
            if file is not None and syntax != f"{SYNTAX}.4.{n}":
                raise Differs(f"referred to, though it is in {syntax}")


def made(colour):
    """An object of 20 frames in JPEG 2000, and what they show."""
    random = np.random.default_rng(4711 + colour)
    shape = (20, 48, 64, 3) if colour else (20, 48, 64)
    pixels = random.integers(0, 256 if colour else 4096, shape).astype(np.uint8 if colour else np.uint16)
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = generate_uid(), generate_uid()
    data_set.PatientName, data_set.PatientID = "Outgoing^Made", "OUTGOING"
    data_set.Rows, data_set.Columns, data_set.NumberOfFrames = 48, 64, 20
    data_set.SamplesPerPixel, data_set.PixelRepresentation = (3 if colour else 1), 0
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = (8, 8, 7) if colour else (16, 12, 11)
    data_set.PhotometricInterpretation = "YBR_RCT" if colour else "MONOCHROME2"
    if colour:
        data_set.PlanarConfiguration = 0
    data_set.PixelData = pixels.tobytes()
    data_set.compress(JPEG2000Lossless, pixels, generate_instance_uid=False)
    written = io.BytesIO()
    data_set.save_as(written, enforce_file_format=True)
    return data_set, written.getvalue(), pixels


def by_c_get(server, data_set, syntaxes):
    """What a C-GET of the object brings in these transfer syntaxes, each offered in a context of its own."""
    taken = []

    def take(event):
        taken.append((event.context.transfer_syntax, event.request.DataSet.getvalue(), event.dataset))
        return 0

    entity = AE(ae_title="CONFORMANCE")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    for syntax in syntaxes:
        entity.add_requested_context(data_set.SOPClassUID, [syntax])
    host, port = server.dicom.split(":")
    association = entity.associate(
        host, int(port), ae_title="PRECINCT", ext_neg=[build_role(data_set.SOPClassUID, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, take)],
    )
    if not association.is_established:
        raise Differs("no association")
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", data_set.StudyInstanceUID
    statuses = [status.get("Status") for status, _ in association.send_c_get(query, StudyRootQueryRetrieveInformationModelGet)]
    association.release()
    return statuses, taken


def follow(server, url, pixels, folder, colour):
    """Opens the URL for a frame, as a viewer extends it, and compares."""
    out = folder / ("out.ppm" if colour else "out.pgm")
    extended = f"{url}&fsiz=64,48&stream={FRAME}"
    done = subprocess.run([server.binary, "fetch", extended, "-o", str(out)], capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Differs(f"{extended}: {done.stderr.decode(errors='replace')}")
    data = out.read_bytes()
    magic, width, height, most = re.match(rb"(P[56])\s(\d+) (\d+)\s(\d+)\s", data).groups()
    samples = np.frombuffer(data[-pixels[0].nbytes :], ">u2" if int(most) > 255 else "u1").reshape(pixels.shape[1:])
    if (int(width), int(height)) != (64, 48) or not np.array_equal(samples, pixels[FRAME - 1]):
        raise Differs(f"{magic} {width} {height} {most}: other pixels in frame {FRAME}")


def check_made(server, colour, by, folder):
    data_set, file, pixels = made(colour)
    if server.request("POST", "/api/v1/import?name=unused", file)[0] != 201:
        raise Differs("not taken")
    for n in (94, 95):
        syntax = f"{SYNTAX}.4.{n}"
        if by == "WADO-RS":
            place = f"/dicom-web/studies/{data_set.StudyInstanceUID}/series/{data_set.SeriesInstanceUID}/instances/{data_set.SOPInstanceUID}"
            body = c_store.data_set_of(got(server, place, syntax))
        else:
            statuses, taken = by_c_get(server, data_set, [syntax])
            if statuses[-1] != 0 or [t[0] for t in taken] != [syntax]:
                raise Differs(f"{statuses} {[t[0] for t in taken]}")
            body = taken[0][1]
        plain = zlib.decompressobj(-15).decompress(body) if n == 95 else body
        found = dcmread(io.BytesIO(plain), force=True)
        if "PixelData" in found or found.PhotometricInterpretation != data_set.PhotometricInterpretation:
            raise Differs(f"{syntax}: pixel data or {found.PhotometricInterpretation}")
        follow(server, found.PixelDataProviderURL, pixels, folder, colour)
    if by == "C-GET":
        statuses, taken = by_c_get(server, data_set, [f"{SYNTAX}.4.94", JPEG2000Lossless])
        if [t[0] for t in taken] != [JPEG2000Lossless]:
            raise Differs(f"{[t[0] for t in taken]} where the stored form is taken, too")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--precinct", required=True)
    arguments.add_argument("--only", help="files whose name contains this text")
    options = arguments.parse_args()
    files, _ = run.collection()
    files = [f for f in files if c_store.is_dicom(f[1]) and (not options.only or options.only in f[0])]
    passed = failed = left_out = 0
    if not shutil.which("dciodvfy"):
        print("left out: dciodvfy is not installed")
    with examine.Server(Path(options.precinct).resolve()) as server, tempfile.TemporaryDirectory() as made_in:
        folder = Path(made_in)
        jobs = [(f"{by}, {'colour' if colour else 'gray'}", check_made, (server, colour, by, folder))
                for by in ("WADO-RS", "C-GET") for colour in (False, True) if not options.only]
        jobs += [(name, check, (server, path, folder)) for name, path in sorted(files)]
        for name, work, with_what in jobs:
            try:
                work(*with_what)
            except LookupError as why:
                left_out += 1
                print(f"left out {name}: {why}")
                continue
            except Differs as wrong:
                failed += 1
                print(f"FAILED {name}: {wrong}", flush=True)
                continue
            except Exception:
                failed += 1
                print(f"FAILED {name}: {traceback.format_exc(limit=-3)}", flush=True)
                continue
            passed += 1
    print(f"outgoing: {passed} passed, {failed} failed, {left_out} left out")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
