"""Text in every Specific Character Set: what the catalog answers is what pydicom decodes, as UTF-8.

  character_sets.py --precinct BINARY

Every file of the collection and of pydicom's own samples that names a character set is imported under study and instance UIDs
of its own, its text left as it is; QIDO-RS and /api/v1 must answer the text of the original.
"""

import argparse
import io
import json
import sys
import traceback
from pathlib import Path
from urllib.parse import quote

import examine
import run
from pydicom import dcmread
from pydicom.data import get_charset_files
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

# Keyword, tag, name in /api/v1/studies.
STUDY = [("PatientName", "00100010", "patient_name"), ("PatientID", "00100020", "patient_id"), ("StudyDescription", "00081030", "description"), ("AccessionNumber", "00080050", "accession_number")]
SERIES = [("SeriesDescription", "0008103E", "description")]
OTHERS = ["InstitutionName", "ReferringPhysicianName", "ManufacturerModelName"]


def samples():
    files, _ = run.collection()
    files = [(name, path) for name, path in files] + [(f"pydicom/{Path(p).name}", Path(p)) for p in get_charset_files("*.dcm")]
    for name, path in sorted(files):
        try:
            found = dcmread(path, stop_before_pixels=True)
            if found.get("SpecificCharacterSet") not in (None, ""):
                yield name, path
        except Exception:
            continue


def copy_of(path):
    """The bytes of a copy with UIDs of its own; its text stands there as in the original."""
    found = dcmread(path, stop_before_pixels=True)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(found, keyword, generate_uid())
    found.SOPClassUID = SecondaryCaptureImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID
    found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID
    if found.file_meta.get("TransferSyntaxUID") not in (None, "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"):
        found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = io.BytesIO()
    found.save_as(out, enforce_file_format=True)
    return found.StudyInstanceUID, found.SeriesInstanceUID, out.getvalue()


def text_of(element):
    """The first value of an element, as the standard trims it."""
    value = element.value
    value = value[0] if element.VM > 1 else value
    return "" if value is None else "=".join(part.rstrip(" ^") for part in str(value).strip(" ").split("=")).rstrip("=")


def trimmed(text):
    return "=".join(part.rstrip(" ^") for part in (text or "").strip(" ").split("=")).rstrip("=")


def of_json(attribute):
    value = (attribute.get("Value") or [""])[0]
    return trimmed("=".join(value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")) if isinstance(value, dict) else value)


def get(server, path):
    status, _, body = server.request("GET", path)
    assert status == 200, f"{path}: {status}"
    return json.loads(body.decode("utf-8", "strict"))


def check(server, path):
    original = dcmread(path, stop_before_pixels=True)
    study, series, file = copy_of(path)
    status, _, words = server.request("POST", "/api/v1/import", file)
    assert status == 201, f"import: {status} {words}"
    asked = ",".join(keyword for keyword, *_ in STUDY + SERIES) + "," + ",".join(OTHERS)
    found = get(server, f"/dicom-web/instances?StudyInstanceUID={study}&includefield={asked}")[0]
    of_study = get(server, f"/dicom-web/studies?StudyInstanceUID={study}&includefield={asked}")[0]
    ours = None
    cursor = ""
    while ours is None:
        page = get(server, f"/api/v1/studies?limit=1000{cursor}")
        ours = next((item for item in page["items"] if item["study_instance_uid"] == study), None)
        cursor = f"&cursor={page['next']}"
    told_series = get(server, f"/api/v1/series?StudyInstanceUID={study}")["items"][0]
    beyond_ascii = 0
    for keyword, tag, member in STUDY + SERIES + [(keyword, None, None) for keyword in OTHERS]:
        if keyword not in original:
            continue
        expected = trimmed(text_of(original[keyword]))
        tag = tag or f"{original[keyword].tag.group:04X}{original[keyword].tag.elem:04X}"
        answers = [of_json(found.get(tag, {}))]
        if (keyword, tag, member) in STUDY:
            answers += [of_json(of_study.get(tag, {})), trimmed(ours[member])]
        if (keyword, tag, member) in SERIES:
            answers += [trimmed(told_series[member])]
        for answer in answers:
            assert answer == expected, f"{keyword}: {answer!r}, pydicom says {expected!r} ({original.SpecificCharacterSet})"
        beyond_ascii += not expected.isascii()
    name = trimmed(text_of(original["PatientName"])) if "PatientName" in original else ""
    word = next((w for part in name.split("=") for w in part.replace("-", "^").split("^") if w.isalnum()), None)
    if word:
        hits = get(server, f"/api/v1/studies?limit=1000&q={quote(word)}")["items"]
        assert any(item["study_instance_uid"] == study for item in hits), f"{word!r} does not find it"
    return beyond_ascii


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--precinct", required=True)
    options = arguments.parse_args()
    passed = failed = texts = 0
    with examine.Server(Path(options.precinct).resolve()) as server:
        for name, path in samples():
            try:
                texts += check(server, path)
                passed += 1
            except Exception:
                failed += 1
                print(f"FAILED {name}: {traceback.format_exc(limit=0)}", flush=True)
    print(f"{texts} texts beyond ASCII were compared")
    print(f"character-sets: {passed} passed, {failed} failed")
    return 1 if failed or not texts else 0


if __name__ == "__main__":
    sys.exit(main())
