"""Checks vectors. Each check compares the vectors of a file with the results of this implementation.

The golden files and the published files have the same form, so the same checks run on both.
"""

import base64
import io
import json
import struct
from functools import partial

import bundle
import ed25519
import envelope
import log_cases
import merkle
import note
import sample_bundles
import seal
import strict_json
import verify
from cases import SIGN
from log import stamp
from log_cases import base64_of


class Different(Exception):
    """The error of a comparison that failed."""


def equal(actual, expected, what):
    equal.count += 1
    if actual != expected:
        raise Different(f"{what}: made {actual!r}, expected {expected!r}")


equal.count = 0


def refusal(make, error):
    """Returns (result, None), or (None, message) if `make` raises `error`."""
    try:
        return make(), None
    except error as refused:
        return None, str(refused)


def check_seal(file):
    keys = {kid: {name: bytes.fromhex(value) for name, value in key.items()} for kid, key in file["keys"].items()}
    for case in file["cases"]:
        event, expect, name = case["event"], case["expect"], case["name"]
        payload = strict_json.canonicalise(case["payload"].encode())
        metadata = strict_json.canonicalise(case["metadata"].encode(), strict_json.MAX_METADATA)
        equal((payload.hex(), metadata.hex()), (expect["canonical_payload"], expect["canonical_metadata"]), name)
        equal((len(payload), seal.sha256(payload).hex()), (event["payload_size"], event["payload_hash"]), name)
        seal.check_header(event)
        header, (event_hash, mac, sig) = seal.encode(event), seal.seal(event, keys[event["kid"]])
        leaf = seal.leaf_of(header, mac, sig)
        made = {"header": header, "event_hash": event_hash, "mac": mac, "sig": sig, "leaf": leaf, "leaf_hash": seal.leaf_hash(leaf)}
        equal({part: value.hex() for part, value in made.items()}, {part: expect[part] for part in made}, name)
        equal(seal.genesis(event["origin"], event["tenant"], event["plan"]).hex(), expect["genesis"], name)
        equal(seal.decode_leaf(leaf), (event, mac, sig), name)
    for kind, decode in [("header", seal.decode), ("leaf", seal.decode_leaf)]:
        for case in file["refused_headers" if kind == "header" else "refused_leaves"]:
            equal(refusal(lambda: decode(bytes.fromhex(case[kind])), seal.Refused), (None, case["refused"]), case["name"])
    for case in file["seals"]:
        event_hash, mac, sig, key = (bytes.fromhex(case[part]) for part in ("event_hash", "mac", "sig", "key"))
        equal(seal.check_seal(case["kid"], event_hash, mac, sig, key), case["result"], case["name"])
    for case in file["event_ids"]:
        made = refusal(lambda: seal.event_id(case["tenant"], case["source"], case["id"]).hex(), seal.Refused)
        equal(made, (case.get("event_id"), case.get("refused")), case["id"])
    for case in file["times"]:
        made = refusal(lambda: str(seal.microseconds(case["text"])), seal.Refused)
        equal(made, (case.get("us"), case.get("refused")), case["text"])
    for case in file["key_proofs"]:
        proof = seal.key_proof(case["origin"], case["kid"], case["by"], keys[case["kid"]])
        equal(proof.hex(), case["proof"], case["kid"])
    for case in file["secrets"]:
        equal(seal.is_weak(bytes.fromhex(case["secret"])), case["weak"], case["secret"])
    for kid, key in keys.items():
        if "seed" in key:
            equal((seal.key_id(key["public"]), ed25519.public_of(key["seed"])), (kid, key["public"]), kid)


def check_v1(file):
    secret = bytes.fromhex(file["secret"])
    for case in file["cases"]:
        payload_hash = seal.sha256(strict_json.canonicalise(case["payload"].encode())).hex()
        equal(payload_hash, case["payload_hash"], case["type"])
        equal(seal.v1_signature(secret, case["plan"], case["type"], payload_hash, case["prev_hash"]), case["signature"], case["type"])
    for case in file["refused"]:
        made = refusal(lambda: seal.v1_message(case["plan"], case["type"], "", None), seal.Refused)
        equal(made, (None, case["refused"]), case["plan"])


def check_strict(file):
    for case in file["cases"]:
        text = base64.b64decode(case["input_b64"]) if "input_b64" in case else case["input"].encode()
        made = refusal(lambda: strict_json.canonicalise(text, case.get("max_bytes", strict_json.MAX_PAYLOAD)).hex(), strict_json.Refused)
        equal(made, (case.get("canonical"), case.get("refused")), case["name"])
    for case in file["stored"]:
        same = strict_json.stored_matches(case["stored"], seal.sha256(case["canonical"].encode()))
        equal(same, case["same"], case["name"])


def check_log(file):
    raw = lambda texts: [bytes.fromhex(text) for text in texts]
    largest = max(case["size"] for case in file["roots"])
    tree = merkle.Tree(seal.leaf_hash(f"{file['leaf_text']}{index}".encode()) for index in range(largest))
    equal([seal.leaf_hash(leaf) for leaf in raw(file["leaves"])], raw(file["leaf_hashes"]), "leaf hashes")
    equal(tree.levels[0][: len(file["leaves"])], raw(file["leaf_hashes"]), "leaves")
    for case in file["roots"]:
        equal(tree.root(case["size"]).hex(), case["root"], case)
    for case in file["inclusion"]:
        index, size, proof = case["index"], case["size"], raw(case["proof"])
        equal(tree.inclusion(index, 0, size), proof, case)
        equal(merkle.includes(tree.root(size), size, tree.levels[0][index], index, proof), True, case)
    for case in file["consistency"]:
        old, size, proof = case["old"], case["size"], raw(case["proof"])
        equal(tree.consistency(old, 0, size), proof, case)
        equal(merkle.extends(tree.root(old), old, tree.root(size), size, proof), True, case)
    for case in file["refused_inclusion"]:
        root, leaf_hash = raw([case["root"], case["leaf_hash"]])
        equal(merkle.includes(root, case["size"], leaf_hash, case["index"], raw(case["proof"])), False, case["name"])
    for case in file["refused_consistency"]:
        old_root, root = raw([case["old_root"], case["root"]])
        equal(merkle.extends(old_root, case["old"], root, case["size"], raw(case["proof"])), False, case["name"])
    for case in file["tile_paths"] + file["tiles"]:
        equal(merkle.tile_path(case["level"], case["n"], case["width"]), case["path"], case)
    for case in file["tiles"]:
        place = case["level"], case["n"], case["width"]
        equal(place in merkle.tiles(case["size"]), True, case)
        equal(seal.sha256(tree.tile(*place)).hex(), case["sha256"], case)
        equal(case["tile"] in (None, tree.tile(*place).hex()), True, case)


def check_notes(file):
    known = file["checkpoint"]
    policy = note.Policy("log {log_vkey}\nwitness w {witness_vkey}\nquorum w\n".format(**known))
    keys = policy.keys(known["origin"])
    equal({key.vkey for key in keys}, {known["log_vkey"], known["log_time_vkey"], known["witness_vkey"]}, "vkeys")
    for case in file["notes"]:
        data = base64.b64decode(case["note_b64"]) if "note_b64" in case else case["note"].encode()
        made, refused = refusal(lambda: note.read_note(data, known["origin"], keys), note.Refused)
        shown = made and (made.size, made.root.hex(), [[key.name, key.kind, time] for key, time in made.signers])
        equal(shown, None if "refused" in case else (case["size"], case["root"], case["signers"]), f"{case['name']}: {refused}")

    real = file["events"]
    leaves = [bytes.fromhex(leaf) for leaf in real["leaves"]]
    tree = merkle.Tree(map(seal.leaf_hash, leaves))
    made = log_cases.entry_bundle(leaves), tree.tile(0, 0, len(leaves)), tree.root(len(leaves))
    equal([part.hex() for part in made], [real["bundle"], real["tile"], real["root"]], "a log of events")
    equal([merkle.tile_path(level, 0, len(leaves)) for level in ("entries", 0)], [real["bundle_path"], real["tile_path"]], "its paths")
    equal(log_cases.proof_of(leaves[1], 1, tree.inclusion(1, 0, len(leaves)), real["note"]), real["proof"], "its proof")
    note_of = lambda data: note.read_note(data, known["origin"], keys)
    equal(note.read_proof(real["proof"], note_of)[:2], (leaves[1], 1), "its proof")
    for case in file["refused_proofs"]:
        made, _ = refusal(lambda: note.read_proof(case["proof"], note_of), note.Refused)
        equal(made, None, case["name"])


def check_bundles(file):
    for case in file["cases"]:
        both = sample_bundles.patched({"bundle": file["bundles"][case["bundle"]], "trust": file["trust"]}, case["patch"])
        report, refused = refusal(lambda: verified(both, case, file["now"]), bundle.Unreadable)
        findings = report and sorted([verdict, "/".join(map(str, place))] for place, (verdict, _) in report.findings.items())
        equal(findings, case["findings"], f"{case['name']}: {refused}")
        equal(report.exit_code() if report else 1, case["exit"], case["name"])
        if "vouched" in case:
            index, last = report.vouched
            vouched = None if index is None else {"log_index": index, "time": stamp(last)}
            equal(vouched, case["vouched"], case["name"])


def verified(both, case, now):
    """Verifies the bundle of a case."""
    trust = trust_in(both["trust"])
    receipts = [json.dumps(receipt).encode() for receipt in case.get("receipts", [])]
    acknowledged = [verify.acknowledged_by(receipt, trust) for receipt in receipts]
    return verify.verify(sample_bundles.files_of(both["bundle"]), trust, acknowledged, case.get("now", now), case.get("max_age"))


def check_merkle(file):
    """Checks the proofs of the golden file, or a list of cases in the same form."""
    raw = lambda texts: [base64.b64decode(text or "") for text in texts or []]
    for case in file["inclusion"]:
        root, leaf_hash = raw([case["root"], case["leafHash"]])
        holds = merkle.includes(root, case["treeSize"], leaf_hash, case["leafIdx"], raw(case["proof"]))
        equal(holds, not case["wantErr"], case["desc"])
    for case in file["consistency"]:
        old_root, root = raw([case["root1"], case["root2"]])
        holds = merkle.extends(old_root, case["size1"], root, case["size2"], raw(case["proof"]))
        equal(holds, not case["wantErr"], case["desc"])
    tree = merkle.Tree(seal.leaf_hash(bytes.fromhex(leaf)) for leaf in file["leaf_hex"])
    roots = [tree.root(size).hex() for size in range(len(file["leaf_hex"]) + 1)]
    equal(roots, file["root_hex_by_size_0_to_8"], "roots")


def check_canonical(file):
    for case in file["documents"]:
        equal(strict_json.canonicalise(case["input"].encode()).decode(), case["output"], case["name"])
    for bits, spelling in (line.split(",") for line in file["numbers"]):
        double = struct.unpack(">d", bytes.fromhex(bits))[0]
        equal(strict_json.number_text(double), spelling, bits)


def check_tlog(vkey, files):
    """Checks a log as files by path, with a checkpoint for each of its sizes."""
    key = note.key_of(vkey, note.SIGNED)
    for size in range(1, 16):
        checkpoint = note.read_note(files[f"checkpoint.{size}"], key.name, [key])
        tile = files[merkle.tile_path(0, 0, size)]
        tree = merkle.Tree(tile[start : start + 32] for start in range(0, len(tile), 32))
        equal((checkpoint.size, checkpoint.root), (size, tree.root(size)), f"checkpoint.{size}")
        entries, leaves = files[merkle.tile_path("entries", 0, size)], []
        while entries:
            length = int.from_bytes(entries[:2], "big")
            leaves.append(entries[2 : 2 + length])
            entries = entries[2 + length :]
        equal(list(map(seal.leaf_hash, leaves)), tree.levels[0], f"entries of size {size}")


def check_note(vkey, signed):
    """Checks a note with any text and one signature line."""
    key = note.key_of(vkey, note.SIGNED)
    text, line = signed.split("\n\n")
    name, signature = line.removeprefix("\u2014 ").split()
    signature = note.bytes_of(signature)
    equal((name, signature[:4]), (key.name, key.id), "name and key id")
    equal(key.verifies(f"{text}\n".encode(), signature[4:]), (True, None), "signature")


def check_tlog_file(file):
    check_tlog(file["vkey"], {path: base64.b64decode(data) for path, data in file["files"].items()})
    check_note(file["note"]["vkey"], file["note"]["note"])
    equal(file["note"]["note"].split("\n\n")[0] + "\n", file["note"]["text"], "text of the note")


def check_envelopes(file):
    raw = bytes.fromhex
    for case in file["cases"]:
        keys = envelope.keys_of(raw(case["data_key"]), raw(case["nonce"]))
        made = envelope.aad_of(case).hex(), *(key.hex() for key in keys)
        equal(made, (case["aad"], case["key"], case["commitment"]), case["envelope"])
        opened = envelope.open_envelope(case["envelope"], raw(case["data_key"]), raw(case["aad"]))
        equal(opened.decode(), case["plaintext"], case["envelope"])
        text = case["envelope"].encode()
        equal((seal.sha256(text).hex(), len(text)), (case["payload_hash"], case["payload_size"]), case["envelope"])
    for case in file["refused"]:
        make = lambda: envelope.open_envelope(case["envelope"], raw(case["data_key"]), raw(case["aad"]))
        equal(refusal(make, envelope.Refused), (None, case["refused"]), case["name"])
    for case in file["wraps"]:
        wrapped, aad = raw(case["wrapped"]), envelope.wrap_aad(*(case[name] for name in ("kek_id", "tenant", "subject", "epoch", "key_id")))
        equal(envelope.aead_open(raw(case["kek"]), wrapped[:24], wrapped[24:], aad).hex(), case["data_key"], case["kek_id"])
    if "event" in file:
        case = file["event"]
        event, expect = case["event"], case["expect"]
        header, public = seal.encode(event), raw(SIGN[1]["public"].hex())
        equal(seal.sha256(header).hex(), expect["event_hash"], "sealed event")
        made = seal.check_seal(event["kid"], raw(expect["event_hash"]), raw(expect["mac"]), raw(expect["sig"]), public)
        equal((made, seal.sha256(case["payload"].encode()).hex()), ("ok", event["payload_hash"]), "sealed event")


def check_verdicts(file):
    for case in file["cases"]:
        report = verified_ledger(sample_bundles.patched({"ledger": file["ledger"], "trust": file["trust"]}, case["patch"]))
        findings = sorted([verdict, "/".join(map(str, place))] for place, (verdict, _) in report.findings.items())
        equal((findings, report.exit_code()), (sorted(case["findings"]), case["exit"]), f"row {case['row']}: {case['name']}")


def verified_ledger(both):
    """Verifies a ledger with its seal queue, its table of leaves and its data keys."""
    ledger, trust = both["ledger"], both["trust"]
    files = {"checkpoint": ledger["checkpoint"]} | {f"anchors/{name}": text for name, text in ledger["anchors"].items()}
    files |= {path: {"base64": base64_of(bytes.fromhex(tile))} for path, tile in ledger["tiles"].items()}
    acknowledged = [(place_of(where), event_hash) for part in ("queue", "receipts") for where, event_hash in ledger[part].items()]
    leaf_places = {int(index): place_of(where) for index, where in ledger["leaves"].items()}
    data_keys = {key_id: bytes.fromhex(key) for key_id, key in ledger["data_keys"].items()}
    opens = partial(envelope.fault_of, data_keys, ledger["erased"])
    files = sample_bundles.files_of({"files": files, "records": ledger["records"]})
    return verify.verify(files, pins_of(trust), acknowledged, trust["now"], trust["max_age"], leaf_places, opens)


def place_of(where):
    tenant, rest = where.split("/", 1)
    plan, seq = rest.rsplit("/", 1)
    return tenant, plan, int(seq)


def pins_of(trust):
    """Returns the pins of a case as the verifier reads them."""
    keys = [{"id": f"v1-{number:016x}", "secret": base64_of(bytes.fromhex(secret))} for number, secret in enumerate(trust["v1"])]
    for key in trust["keys"]:
        parts = {part: base64_of(bytes.fromhex(key[part])) for part in ("secret", "public") if part in key}
        keys.append({"id": key["kid"], "until": key.get("until")} | parts)
    witnesses = {f"w{number}": vkey for number, vkey in enumerate(trust["witnesses"])}
    policy = [f"log {vkey}" for vkey in trust["log"]] + [f"witness {name} {vkey}" for name, vkey in witnesses.items()]
    policy += [f"group enough {trust['quorum']} {' '.join(witnesses)}", "quorum enough"] if trust["quorum"] else ["quorum none"]
    return trust_in({"origin": trust["origin"], "keyring.json": json.dumps({"keys": keys}), "policy": "\n".join(policy)})


def trust_in(contents):
    return bundle.Trust({name: partial(io.BytesIO, text.encode()) for name, text in contents.items()})
