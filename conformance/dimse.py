#!/usr/bin/env python3
"""The DICOM service against pynetdicom: what dcmtk cannot ask for.

  dimse.py --precinct BINARY

Starts the server with a data directory of its own and a pynetdicom application entity beside it, then
stores, finds, gets, moves and commits. Prints one line a check, the last one counts them; exit status 1 if one fails.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import threading

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)
from pynetdicom import AE, build_role, evt
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelGet as PatientGet,
    StorageCommitmentPushModel as Commitment,
    StorageCommitmentPushModelInstance as CommitmentInstance,
    StudyRootQueryRetrieveInformationModelFind as StudyFind,
    StudyRootQueryRetrieveInformationModelGet as StudyGet,
    StudyRootQueryRetrieveInformationModelMove as StudyMove,
    Verification,
)

PASSED = []
FAILED = []


def check(name, is_so, detail=""):
    print(("ok    " if is_so else "FAILED ") + name + (f": {detail}" if not is_so else ""), flush=True)
    (PASSED if is_so else FAILED).append(name)


def instance(number):
    """A native CT image of the one study."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"2.25.1.1.{number}"
    dataset.StudyDate = "20240101"
    dataset.Modality = "CT"
    dataset.PatientName = "Buc^Jérôme"
    dataset.PatientID = "P1"
    dataset.StudyInstanceUID = "2.25.1"
    dataset.SeriesInstanceUID = "2.25.1.1"
    dataset.InstanceNumber = number
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = 32
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.SmallestImagePixelValue = -5
    dataset["SmallestImagePixelValue"].VR = "SS"
    dataset.PixelData = bytes((number * n) % 256 for n in range(32 * 32 * 2))
    dataset["PixelData"].VR = "OW"
    return dataset


def same(one, other):
    """Whether two data sets have equal elements, pixel data included."""
    keys = {element.tag for element in one} | {element.tag for element in other}
    return all(tag in one and tag in other and one[tag].value == other[tag].value for tag in keys)


class Peer:
    """A pynetdicom application entity that takes objects and reports."""

    def __init__(self):
        self.stored, self.reports, self.came = [], [], threading.Event()
        self.entity = AE(ae_title="PEER")
        self.entity.add_supported_context(CTImageStorage, [ImplicitVRLittleEndian])
        self.entity.add_supported_context(Commitment, scu_role=False, scp_role=True)
        self.server = self.entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=self.handlers())

    def handlers(self):
        return [(evt.EVT_C_STORE, self.store), (evt.EVT_N_EVENT_REPORT, self.report)]

    @property
    def port(self):
        return self.server.server_address[1]

    def store(self, event):
        self.stored.append((event.dataset, event.context.transfer_syntax, event.request.MoveOriginatorApplicationEntityTitle))
        return 0

    def report(self, event):
        self.reports.append((event.event_type, event.event_information))
        self.came.set()
        return 0, None


def associate(port, contexts, **options):
    entity = AE(ae_title="PEER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    for context in contexts:
        entity.add_requested_context(*context)
    association = entity.associate("127.0.0.1", port, ae_title="PRECINCT", **options)
    if not association.is_established:
        sys.exit("no association")
    return association


def keys(level, **values):
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for name, value in values.items():
        setattr(identifier, name, value)
    return identifier


def commitment(uids):
    request = Dataset()
    request.TransactionUID = generate_uid()
    request.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
        request.ReferencedSOPSequence.append(item)
    return request


def run(port, peer):
    association = associate(port, [(CTImageStorage, [ExplicitVRLittleEndian]), (Verification,)])
    check("C-ECHO", association.send_c_echo().Status == 0)
    objects = [instance(number) for number in (1, 2, 3)]
    check("C-STORE", [association.send_c_store(each).Status for each in objects] == [0, 0, 0])
    association.release()

    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.positive_response_requested = 2, True
    identity.primary_field, identity.secondary_field = b"somebody", b"secret"
    association = associate(port, [(Verification,)], ext_neg=[identity])
    answers = association.acceptor.user_information
    check("a user identity is confirmed", any(type(item).__name__ == "UserIdentityNegotiation" for item in answers))
    association.release()

    association = associate(port, [(StudyFind,)])
    query = keys("STUDY", StudyInstanceUID="", PatientName="buc*", NumberOfStudyRelatedInstances=None)
    matches = [(status.Status, match) for status, match in association.send_c_find(query, StudyFind)]
    check("C-FIND", [status for status, _ in matches] == [0xFF00, 0], matches)
    match = matches[0][1]
    check("C-FIND answers in UTF-8", match.PatientName == "Buc^Jérôme" and match.SpecificCharacterSet == "ISO_IR 192", match)
    check("C-FIND counts", match.NumberOfStudyRelatedInstances == 3, match)
    association.release()

    for model, query in [
        (StudyGet, keys("STUDY", StudyInstanceUID="2.25.1")),
        (PatientGet, keys("PATIENT", PatientID="P1")),
    ]:
        peer.stored.clear()
        contexts = [(model,), (CTImageStorage, [ImplicitVRLittleEndian])]
        roles = [build_role(CTImageStorage, scp_role=True)]
        association = associate(port, contexts, ext_neg=roles, evt_handlers=peer.handlers())
        answers = [status for status, _ in association.send_c_get(query, model)]
        check(f"C-GET {query.QueryRetrieveLevel}", answers[-1].Status == 0 and answers[-1].NumberOfCompletedSuboperations == 3)
        pairs = zip(objects, [dataset for dataset, _, _ in peer.stored], strict=True)
        check("in implicit VR it is the same", all(same(one, other) for one, other in pairs))
        association.release()

    peer.stored.clear()
    association = associate(port, [(StudyMove,)])
    query = keys("IMAGE", StudyInstanceUID="2.25.1", SOPInstanceUID=["2.25.1.1.1", "2.25.1.1.3"])
    answers = [status for status, _ in association.send_c_move(query, "PEER", StudyMove)]
    check("C-MOVE", answers[-1].Status == 0 and answers[-1].NumberOfCompletedSuboperations == 2, answers)
    check("C-MOVE goes on and says so", [status.Status for status in answers] == [0xFF00, 0], answers)
    check("C-MOVE names its originator", [title for _, _, title in peer.stored] == ["PEER", "PEER"], peer.stored)
    check("C-MOVE of an unknown destination", [s.Status for s, _ in association.send_c_move(query, "NOBODY", StudyMove)] == [0xA801])
    association.release()

    uids = [f"2.25.1.1.{number}" for number in (1, 2, 3)]
    # The report on the association of the request.
    peer.reports.clear(), peer.came.clear()
    association = associate(port, [(Commitment,)], evt_handlers=peer.handlers())
    status, _ = association.send_n_action(commitment(uids), 1, Commitment, CommitmentInstance)
    check("N-ACTION", status.Status == 0, status)
    peer.came.wait(30)
    check("a report on the same association", [kind for kind, _ in peer.reports] == [1], peer.reports)
    association.release()
    # Whoever lets go at once is called.
    peer.reports.clear(), peer.came.clear()
    association = associate(port, [(Commitment,)])
    status, _ = association.send_n_action(commitment([*uids, "2.25.9"]), 1, Commitment, CommitmentInstance)
    association.abort()
    peer.came.wait(30)
    check("a report on an association of its own", [kind for kind, _ in peer.reports] == [2], peer.reports)
    if peer.reports:
        report = peer.reports[0][1]
        reasons = [item.FailureReason for item in report.FailedSOPSequence]
        check("what failed is named", reasons == [0x0112] and len(report.ReferencedSOPSequence) == 3, report)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precinct", required=True)
    binary = parser.parse_args().precinct
    peer = Peer()
    with tempfile.TemporaryDirectory() as folder:
        destination = f"PEER=127.0.0.1:{peer.port}"
        options = ["--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--data", folder, "--dicom-destination", destination]
        with open(f"{folder}.log", "w") as log:
            server = subprocess.Popen([binary, "serve", *options], stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            port = int(re.search(r" dicom=\S+:(\d+)", server.stdout.readline()).group(1))
            run(port, peer)
        finally:
            server.terminate()
            server.wait()
            peer.server.shutdown()
    print(f"dimse: {len(PASSED)} passed, {len(FAILED)} failed")
    sys.exit(1 if FAILED else 0)


if __name__ == "__main__":
    main()
