"""Every DICOM file of the collection by C-STORE, as pynetdicom sends it: the data set byte for byte from the file.

  c_store.py --precinct BINARY [--only TEXT]

The same files go into a second server by import, in the same order, and both must come to the same end: taken, refused, or
another object under that UID. What was taken comes out of /api/v1/instances/UID/file with the very data set that was sent.
Where it can be served, the codestreams of its first frames are fetched by JPIP from both servers and are equal; that those
of imported objects decode to the right pixels is what run.py proves.
"""

import argparse
import struct
import sys
import tempfile
import traceback
from pathlib import Path

import examine
import run
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config
from pynetdicom.dsutils import split_dataset

FRAMES = 2
# pynetdicom then reads the file's own bytes and encodes nothing anew.
_config.STORE_SEND_CHUNKED_DATASET = True
_config.UNRESTRICTED_STORAGE_SERVICE = True


def is_dicom(path):
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def tells_the_truth(path, uids):
    """Whether the data set is of the instance that its File Meta Information, and so the sender, names."""
    try:
        found = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
        return (found.SOPClassUID, found.SOPInstanceUID) == uids[:2]
    except Exception:
        return True


def sendable(path):
    """SOP class, instance and transfer syntax of a file that a sender can send; None for the others."""
    try:
        meta = read_file_meta_info(str(path))
        uids = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID
        return uids if all(uid.is_valid for uid in uids) else None
    except Exception:
        return None


def data_set_of(file):
    """What follows the File Meta Information of the bytes of a file."""
    length = struct.unpack("<I", file[140:144])[0]
    return file[144 + length :]


def store(server, path, uids):
    """Sends one file on an association of its own; the status, or None if the context was not accepted."""
    host, port = server.dicom.split(":")
    entity = AE(ae_title="CONFORMANCE")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    entity.add_requested_context(uids[0], [uids[2]])
    association = entity.associate(host, int(port), ae_title="PRECINCT")
    if not association.is_established:
        return None
    try:
        status = association.send_c_store(str(path))
        return status.get("Status")
    finally:
        association.release()


def by_import(server, path):
    """The status that a C-STORE of the same object must end with, from what import answers."""
    answer = server.request("POST", "/api/v1/import?name=unused", path.read_bytes())[0]
    return {201: 0, 200: 0, 409: 0x0111}.get(answer)


def codestreams(server, uid, count):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.j2k"
        found = []
        for frame in range(1, min(count, FRAMES) + 1):
            code, words = server.fetch(uid, out, "--stream", frame)
            found.append(out.read_bytes() if code == 0 else f"exit {code}: {words}")
        return found


def check(sent_to, imported_by, path):
    """What is wrong, or None; raises LookupError for a file that no sender can send."""
    uids = sendable(path)
    if uids is None:
        raise LookupError("no sender can send it")
    expected = by_import(imported_by, path)
    status = store(sent_to, path, uids)
    if status is None:
        raise LookupError(f"no presentation context for {uids[2]}")
    if not tells_the_truth(path, uids):
        return None if status == 0xA900 or expected is None and status else f"status {status:04x} for another instance than was announced"
    if expected is None and status == 0:
        return "taken, though import refuses it"
    if expected is not None and status != expected:
        return f"status {status:04x}, expected {expected:04x}"
    if status != 0:
        return None
    code, _, file = sent_to.request("GET", f"/api/v1/instances/{uids[1]}/file")
    if code != 200:
        return f"stored, but its file is {code}"
    _, offset = split_dataset(path)
    if data_set_of(file) != path.read_bytes()[offset:]:
        return "another data set came out"
    item = examine.json.loads(sent_to.request("GET", f"/api/v1/instances/{uids[1]}")[2])
    twin = examine.json.loads(imported_by.request("GET", f"/api/v1/instances/{uids[1]}")[2])
    if item["state"] == "stored":
        sent_to.request("GET", f"/jpip?target={uids[1]}")
        item = examine.json.loads(sent_to.request("GET", f"/api/v1/instances/{uids[1]}")[2])
    if item["state"] != "indexed":
        return None
    ours, theirs = (codestreams(s, uids[1], item["number_of_frames"]) for s in (sent_to, imported_by))
    if ours != theirs or any(isinstance(c, str) for c in ours) and twin["state"] == "indexed" and not item["reason"]:
        return f"other codestreams than by import: {[c if isinstance(c, str) else len(c) for c in ours]}"
    return None


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--precinct", required=True)
    arguments.add_argument("--only", help="files whose name contains this text")
    options = arguments.parse_args()
    files, _ = run.collection()
    files = [f for f in files if is_dicom(f[1]) and (not options.only or options.only in f[0])]
    binary = Path(options.precinct).resolve()
    passed = failed = left_out = 0
    with examine.Server(binary) as sent_to, examine.Server(binary) as imported_by:
        for name, path in sorted(files):
            try:
                wrong = check(sent_to, imported_by, path)
            except LookupError as why:
                left_out += 1
                print(f"left out {name}: {why}")
                continue
            except Exception:
                wrong = traceback.format_exc(limit=4)
            if wrong:
                failed += 1
                print(f"FAILED {name}: {wrong}", flush=True)
            else:
                passed += 1
            sent_to.restart_if_dead()
            imported_by.restart_if_dead()
    print(f"c-store: {passed} passed, {failed} failed; {left_out} are no objects that can be sent")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
