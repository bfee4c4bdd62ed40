"""Every DICOM file of the collection through DICOMweb, as dicomweb-client and pydicom see it.

  dicomweb.py --precinct BINARY [--only TEXT]

Each file is stored by STOW-RS, and must be taken or refused as by import; what was taken comes out again: as it was stored, byte for byte; without a transfer syntax, where
native objects are written anew in Explicit VR Little Endian and must hold the same values; its attributes as DICOM JSON, which
are those that pydicom makes of the file; its frames, which are those that pydicom finds. The last line counts.
"""

import argparse
import http.client
import io
import json
import math
import struct
import sys
import traceback
import warnings
from pathlib import Path

import c_store
import examine
import run
from dicomweb_client.api import DICOMwebClient
from pydicom import config, dcmread, examples
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRLittleEndian

warnings.simplefilter("ignore")
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE

FRAMES = 3
# Longest bytes and longest other value that stand among the attributes.
INLINE_BYTES, INLINE_VALUE = 4096, 65536
BYTES = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}


class Differs(Exception):
    """What is wrong, in words."""


def text(value):
    return str(value).strip(" \0")


def number(value):
    """Numbers as they compare: FL has seven digits, and text that is no number stays text."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return text(value)
    return f"{found:.6e}" if math.isfinite(found) else str(found)


def single(value):
    """A number as four bytes hold it: readers show it with the digits of eight."""
    return number(struct.unpack("<f", struct.pack("<f", float(value)))[0])


def values_of(element):
    """The values of an element of pydicom, in a form that compares."""
    value = element.value
    if value is None or value == "" or element.VM == 0:
        return []
    values = list(value) if isinstance(value, (MultiValue, list)) else [value]
    if element.VR == "PN":
        found = [[text(group) for group in (v.alphabetic, v.ideographic, v.phonetic)] for v in values]
    elif element.VR == "AT":
        found = [f"{int(v):08X}" for v in values]
    elif element.VR == "FL":
        found = [single(v) for v in values]
    elif element.VR in {"DS", "IS", "US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"}:
        found = [number(getattr(v, "original_string", v)) for v in values]
    else:
        found = [text(v) for v in values]
    return [] if all(v in ("", ["", "", ""]) for v in found) else found


def values_in(attribute):
    """The same of an attribute of DICOM JSON."""
    vr, found = attribute["vr"], attribute.get("Value", [])
    if vr == "PN":
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        return [[text((v or {}).get(group, "")) for group in groups] for v in found]
    if vr == "FL":
        return ["" if v is None else single(v) for v in found]
    if vr in {"DS", "IS", "US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"}:
        return ["" if v is None else number(v) for v in found]
    return ["" if v is None else text(v) for v in found]


def compare(data_set, attributes, place=""):
    """Compares a data set of pydicom with an object of DICOM JSON."""
    expected = {f"{e.tag:08X}" for e in data_set if e.tag.element != 0}
    expected |= {"00080005"} if not place else set()
    if expected != set(attributes):
        raise Differs(f"{place or 'the object'} has {sorted(set(attributes) ^ expected)} on one side only")
    for element in data_set:
        name = f"{element.tag:08X}"
        if element.tag.element == 0:
            continue
        attribute = attributes[name]
        here = f"{place}{name}"
        if name == "00080005":
            if attribute != {"vr": "CS", "Value": ["ISO_IR 192"]}:
                raise Differs(f"{here}: {attribute}")
            continue
        # What pydicom knows of private attributes, others do not; and ambiguous ones may be one or the other.
        if attribute["vr"] == "UN" or element.VR == "UN":
            continue
        if element.VR == "SQ":
            items = attribute.get("Value", [])
            if attribute["vr"] != "SQ" or len(items) != len(element.value):
                raise Differs(f"{here}: {len(items)} items as {attribute['vr']}, expected {len(element.value)}")
            for number_of, (item, found) in enumerate(zip(element.value, items, strict=True), 1):
                compare(item, found, f"{here}/{number_of}/")
        elif attribute["vr"] in BYTES:
            if "BulkDataURI" in attribute and not attribute["BulkDataURI"].endswith(f"/bulkdata/{here}"):
                raise Differs(f"{here} is named {attribute['BulkDataURI']}")
            if "InlineBinary" in attribute and len(attribute["InlineBinary"]) > INLINE_BYTES * 3 / 2:
                raise Differs(f"{here} has {len(attribute['InlineBinary'])} characters")
        elif "BulkDataURI" in attribute:
            if len(str(element.value)) < INLINE_VALUE:
                raise Differs(f"{here} is named, though it is short")
        elif attribute["vr"] != element.VR and {attribute["vr"], element.VR} != {"US", "SS"}:
            raise Differs(f"{here}: {attribute['vr']}, expected {element.VR}")
        elif values_in(attribute) != values_of(element):
            raise Differs(f"{here}: {str(values_in(attribute))[:200]}, expected {str(values_of(element))[:200]}")


def same_values(before, after, place=""):
    """Compares two data sets of pydicom, whose elements may be written in two ways."""
    tags = [[e.tag for e in d if e.tag.element != 0] for d in (before, after)]
    if tags[0] != tags[1]:
        raise Differs(f"other elements in {place or 'the object'}: {set(tags[0]) ^ set(tags[1])}")
    for tag in tags[0]:
        one, other = before[tag], after[tag]
        if one.VR == "SQ":
            for number_of, (a, b) in enumerate(zip(one.value, other.value, strict=True), 1):
                same_values(a, b, f"{place}{tag}/{number_of}/")
        elif one.VR == other.VR and one.value != other.value and not swapped(before, one, other):
            raise Differs(f"{place}{tag}: another value")


def swapped(data_set, one, other):
    """Whether bytes are those of numbers in the other order, which pydicom leaves as they are."""
    big = not data_set.original_encoding[1]
    size = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}.get(one.VR, 1)
    if not big or size == 1 or len(one.value) != len(other.value):
        return False
    turned = b"".join(one.value[i : i + size][::-1] for i in range(0, len(one.value), size))
    return turned == other.value


def get(server, path, accept):
    connection = http.client.HTTPConnection(server.address, timeout=120)
    connection.request("GET", path, headers={"Accept": accept})
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def store(server, stored):
    """Stores a file; raises LookupError for one that is refused, as import refuses it."""
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + stored + b"\r\n--x--"
    connection = http.client.HTTPConnection(server.address, timeout=120)
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    connection.request("POST", "/dicom-web/studies", body=body, headers=headers)
    response = connection.getresponse()
    told = json.loads(response.read())
    by_import = server.request("POST", "/api/v1/import?name=unused", stored)[0]
    if response.status == 200:
        if by_import != 200 or len(told["00081199"]["Value"]) != 1:
            raise Differs(f"stored, but import says {by_import}: {told}")
        return
    reasons = [item["00081197"]["Value"][0] for tag in ("00081198", "0008119A") for item in told.get(tag, {}).get("Value", [])]
    expected = {409: 0x0111, 422: 0xC000}.get(by_import)
    if response.status != 409 or reasons != [expected]:
        raise Differs(f"refused with {reasons}, import says {by_import}")
    raise LookupError(f"refused with {reasons[0]:04X}")


def check_storing_by_client(server, client):
    """Two objects that dicomweb-client writes itself."""
    made = []
    for number_of in (1, 2):
        one = dcmread(io.BytesIO(examples.get_path("ct").read_bytes()))
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number_of}"
        made.append(one)
    told = client.store_instances(made)
    stored = [item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence]
    if stored != ["2.25.1", "2.25.2"] or "FailedSOPSequence" in told:
        raise Differs(f"stored {stored}")
    study = client.retrieve_study(made[0].StudyInstanceUID)
    if {one.SOPInstanceUID for one in study} < {"2.25.1", "2.25.2"}:
        raise Differs("the study does not hold what was stored")


def check_attributes(client, uids, data_set):
    found = client.retrieve_instance_metadata(*uids)
    compare(data_set, found)


def check_object(client, server, uids, stored, data_set):
    path = "/dicom-web/studies/{}/series/{}/instances/{}".format(*uids)
    code, _, body = get(server, path, "application/dicom; transfer-syntax=*")
    if code != 200 or body != stored:
        raise Differs(f"as stored: {code}, {len(body)} bytes, expected {len(stored)}")
    syntax = data_set.file_meta.TransferSyntaxUID
    # The client asks for the transfer syntaxes that it knows, compressed ones among them.
    found = client.retrieve_instance(*uids, media_types=(("application/dicom", "*"),))
    if found.file_meta.TransferSyntaxUID != syntax or found.SOPInstanceUID != data_set.SOPInstanceUID:
        raise Differs("another object by dicomweb-client")
    code, _, body = get(server, path, "application/dicom")
    if code != 200:
        raise Differs(f"without a transfer syntax: {code}")
    usual = dcmread(io.BytesIO(body), force=True)
    expected = syntax if syntax.is_encapsulated or syntax.is_private or "JPIP" in syntax.name else ExplicitVRLittleEndian
    if usual.file_meta.TransferSyntaxUID != expected:
        raise Differs(f"came in {usual.file_meta.TransferSyntaxUID}, stored in {syntax}")
    if expected != syntax:
        same_values(data_set, usual)


def frames_of(data_set):
    """The first frames as pydicom finds them; None where it cannot tell."""
    syntax = data_set.file_meta.TransferSyntaxUID
    declared = str(data_set.get("NumberOfFrames") or 1)
    count = int(declared) if declared.isdigit() else 1
    if syntax.is_encapsulated:
        frames = []
        for frame in generate_frames(data_set.PixelData, number_of_frames=count):
            frames.append(bytes(frame))
            if len(frames) == FRAMES:
                break
        return frames
    bits = data_set.Rows * data_set.Columns * data_set.get("SamplesPerPixel", 1) * data_set.BitsAllocated
    if data_set.get("PhotometricInterpretation") == "YBR_FULL_422" and len(data_set.PixelData) * 8 < bits * count:
        bits = bits // 3 * 2
    if bits % 8 and count > 1 or bits * count > len(data_set.PixelData) * 8:
        return None
    value = data_set.PixelData
    if not data_set.original_encoding[1] and data_set["PixelData"].VR == "OW":
        value = b"".join(value[i : i + 2][::-1] for i in range(0, len(value), 2))
    size = (bits + 7) // 8
    return [value[i * size : (i + 1) * size] for i in range(min(count, FRAMES))]


def check_frames(client, uids, data_set):
    if "PixelData" not in data_set:
        return
    expected = frames_of(data_set)
    if expected is None:
        return
    found = client.retrieve_instance_frames(
        *uids, list(range(1, len(expected) + 1)), media_types=(("application/octet-stream", "*"),)
    )
    for nth, (one, other) in enumerate(zip(found, expected, strict=True), 1):
        if one.rstrip(b"\0") != other.rstrip(b"\0"):
            raise Differs(f"frame {nth}: {len(one)} bytes, expected {len(other)}")


def check(server, client, path):
    """Raises what is wrong; LookupError for a file that is not to be compared."""
    stored = path.read_bytes()
    store(server, stored)
    data_set = dcmread(path, force=True)
    uids = [text(data_set.get(k) or "") for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    if not all(uids):
        raise LookupError("no Study or Series Instance UID")
    check_attributes(client, uids, data_set)
    check_object(client, server, uids, stored, data_set)
    check_frames(client, uids, data_set)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--precinct", required=True)
    arguments.add_argument("--only", help="files whose name contains this text")
    options = arguments.parse_args()
    files, _ = run.collection()
    files = [f for f in files if c_store.is_dicom(f[1]) and (not options.only or options.only in f[0])]
    passed = failed = left_out = 0
    with examine.Server(Path(options.precinct).resolve()) as server:
        client = DICOMwebClient(f"{server.base}/dicom-web")
        works = [(name, lambda path=path: check(server, client, path)) for name, path in sorted(files)]
        if not options.only:
            works.append(("storing by dicomweb-client", lambda: check_storing_by_client(server, client)))
        for name, work in works:
            try:
                work()
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
    print(f"dicomweb: {passed} passed, {failed} failed, {left_out} left out")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
