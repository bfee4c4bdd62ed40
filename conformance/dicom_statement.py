"""The DICOM conformance statement (outline of PS3.2), from what the built binary negotiates and says of itself.

  dicom_statement.py --precinct BINARY [--write]

Every SOP class and transfer syntax that pydicom knows is proposed to a running server; the DICOMweb services are those of its
/api/openapi.json. --write writes docs/dicom-conformance.md; without it the file must be what would be written, so that a
service that comes or goes makes this fail.
"""

import argparse
import difflib
import json
import re
import subprocess
import sys
from pathlib import Path

import examine
from pydicom.uid import UID_dictionary
from pynetdicom import AE, build_role

FILE = Path(__file__).resolve().parent.parent / "docs" / "dicom-conformance.md"
CT = "1.2.840.10008.5.1.4.1.1.2"
STORAGE = "1.2.840.10008.5.1.4.1.1."
PRIVATE = "1.2.826.0.1.3680043.9.7433.9"
# As many as one association holds but for one, with a few transfer syntaxes each: a request is one PDU.
CONTEXTS = 127
UNCOMPRESSED = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]


def known(kind):
    """Identifiers and names of a kind, retired ones marked."""
    return {uid: (name or "without a name") + (" (retired)" if retired else "") for uid, (name, is_a, _, retired, _) in UID_dictionary.items() if is_a == kind}


def associate(server, contexts, roles=()):
    """The contexts that are accepted of these (abstract syntax, transfer syntaxes), and the association, which has ended."""
    host, port = server.dicom.split(":")
    entity = AE(ae_title="STATEMENT")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    # A private class is stored: where even that is not accepted something else is wrong. pynetdicom aborts without a context.
    for abstract, transfers in [(PRIVATE, UNCOMPRESSED), *contexts]:
        entity.add_requested_context(abstract, transfers)
    association = entity.associate(host, int(port), ae_title="PRECINCT", ext_neg=list(roles))
    if not association.is_established:
        raise RuntimeError("the association was not accepted")
    association.release()
    return [context for context in association.accepted_contexts if context.abstract_syntax != PRIVATE], association


def accepted(server, classes):
    """Of these SOP classes those that are accepted."""
    found = set()
    for first in range(0, len(classes), CONTEXTS):
        contexts, _ = associate(server, [(uid, UNCOMPRESSED) for uid in classes[first : first + CONTEXTS]])
        found.update(context.abstract_syntax for context in contexts)
    return found


def in_order(server, abstract, transfers):
    """The transfer syntaxes that are accepted for a class, the preferred first; what is chosen by the order of the offer last."""
    order, left = [], list(transfers)
    taken = lambda offered: [context.transfer_syntax[0] for context in associate(server, [(abstract, offered)])[0]]
    while left:
        chosen = taken(left)
        if not chosen:
            break
        if chosen[0] == left[0]:
            if taken(left[::-1]) != chosen:
                return order, [uid for uid in left if taken([uid])]
        order.append(chosen[0])
        left.remove(chosen[0])
    return order, []


def options_of(binary):
    """What the help of `serve` says of its options for DICOM."""
    words = subprocess.run([binary, "serve", "--help"], capture_output=True, text=True, check=True, env={"COLUMNS": "400"}).stdout
    for option in re.split(r"\n\n(?=\s+-)", words):
        lines = [line.strip() for line in option.strip().splitlines()]
        if re.search(r"dicom|ae-title|association|import-bytes|tls", lines[0]):
            text = " ".join(line for line in lines[1:] if line and not line.startswith("[env"))
            yield lines[0].split("Options:")[-1].strip(), text


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows] + [""]


def statement(binary):
    classes, transfers = known("SOP Class"), known("Transfer Syntax")
    with examine.Server(binary) as server:
        taken = accepted(server, list(classes))
        storage = [uid for uid in classes if uid in taken and (uid.startswith(STORAGE) or "Storage" in classes[uid] and "Commitment" not in classes[uid])]
        others = [uid for uid in classes if uid in taken and uid not in storage]
        order, unordered = in_order(server, CT, list(transfers))
        of_others = {uid: in_order(server, uid, list(transfers)) for uid in others}
        contexts, association = associate(server, [(CT, list(transfers))], [build_role(CT, scu_role=True, scp_role=True)])
        is_scu, answered = any(context.as_scp for context in contexts), association.acceptor
        document = json.loads(server.request("GET", "/api/openapi.json")[2])
    name = lambda uid: f"`{uid}` {transfers[uid]}"
    out = ["# DICOM conformance statement", ""]
    out += ["Written by `conformance/dicom_statement.py --write` from what the binary negotiates when pynetdicom proposes every SOP class and transfer syntax that pydicom knows, and from its OpenAPI document; do not edit.", "A server that negotiates anything else makes that script fail.", "The outline is that of PS3.2.", ""]
    out += ["## 1 Implementation model", "", "One application entity, called by `--ae-title`, accepts associations and keeps what is sent exactly as it came.", "Success is answered when the object is durable and catalogued.", ""]
    out += ["## 2 Application entity", "", "### 2.1 SOP classes", "", f"Storage, as SCP: {len(storage)} standard classes, listed at the end, and every private one.", f"Role selection: the entity {'accepts to be SCU of storage classes, as C-GET needs' if is_scu else 'is SCP only'}.", ""]
    out += table(["SOP class", "UID", "role", "transfer syntaxes, in order of preference"], [(classes[uid], f"`{uid}`", "SCP", ", ".join(transfers[t] for t in sum(of_others[uid], []))) for uid in others])
    out += ["### 2.2 Association policies", "", f"Application context `1.2.840.10008.3.1.1.1`; implementation class UID `{answered.implementation_class_uid}`, version `{re.sub(r'[0-9].*', 'N', answered.implementation_version_name)}`; longest PDU {answered.maximum_length} bytes.", "An association that calls another title is rejected (1, 1, 7), one that calls from where nothing is allowed (1, 1, 3).", "", "### 2.3 Transfer syntaxes for storage", "", "Of those that are offered for a presentation context the first of this list is taken:", ""]
    out += [f"{n}. {name(uid)}" for n, uid in enumerate(order, 1)] + [""]
    if unordered:
        out += ["If none of these is offered, the first of the offer that is among these:", ""] + [f"- {name(uid)}" for uid in unordered] + [""]
    out += ["Not taken: " + ", ".join(name(uid) for uid in transfers if uid not in order + unordered) + ", and private ones.", ""]
    out += ["### 2.4 Status codes", "", "See [the user guide](guide.md#receiving-by-dicom).", ""]
    out += ["## 3 Network and security", "", "TCP/IP. The options of `precinct serve`:", ""] + table(["option", "means"], ((f"`{o}`", w) for o, w in options_of(binary)))
    out += ["## 4 Media interchange", "", "No media application profile. `precinct import` reads DICOM files; `GET /api/v1/instances/{uid}/file` gives them back.", ""]
    out += ["## 5 Character sets", "", "Text of every Specific Character Set of PS3.3 C.12.1.1.2, code extensions included, is answered as UTF-8 (ISO_IR 192): `conformance/character_sets.py` compares it with pydicom's. Stored objects keep theirs.", ""]
    out += ["## 6 DICOMweb", ""]
    web = [(path, method, one) for path, methods in document["paths"].items() if path.startswith("/dicom-web") for method, one in methods.items()]
    media = lambda one: ", ".join(f"`{m}`" for m in sorted({m for answer in one["responses"].values() for m in answer.get("content", {})} - {"application/problem+json"}))
    out += table(["request", "does", "media types", "status codes"], [(f"`{m.upper()} {p}`", o["summary"], media(o), ", ".join(sorted(o["responses"]))) for p, m, o in sorted(web, key=lambda one: one[:2])])
    out += ["JPIP: see [the profile](../conformance/profile.md).", "", "## Storage SOP classes", ""] + table(["SOP class", "UID"], [(classes[uid], f"`{uid}`") for uid in sorted(storage, key=lambda uid: [int(n) for n in uid.split(".")])])
    return "\n".join(out).rstrip() + "\n"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--precinct", required=True)
    arguments.add_argument("--write", action="store_true")
    options = arguments.parse_args()
    text = statement(Path(options.precinct).resolve())
    if options.write:
        FILE.write_text(text)
        return 0
    found = FILE.read_text() if FILE.exists() else ""
    if found == text:
        return 0
    print(f"{FILE.name} is stale: write it anew with --write")
    sys.stdout.writelines(difflib.unified_diff(found.splitlines(True), text.splitlines(True), "written", "now"))
    return 1


if __name__ == "__main__":
    sys.exit(main())
