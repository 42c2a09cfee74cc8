#!/usr/bin/env python3
"""Writes the golden vectors (`--write`), or checks that they are what this implementation makes. In both cases it also checks
itself against the published vectors beside the project, where they are."""

import base64
import io
import json
import sys
from functools import partial
from pathlib import Path

import bundle
import bundle_cases
import cases
import ed25519
import log_cases
import merkle
import note
import seal
import strict_json
import verify
from log import stamp

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "libs/core/tests/golden"
PUBLISHED = ROOT.parent / "shared/vectors/seal"
checked = 0


def equal(actual, expected, what):
    global checked
    checked += 1
    if actual != expected:
        sys.exit(f"{what}: made {actual!r}, expected {expected!r}")


def refusal(make, error):
    """What `make` gives, or the code or verdict it refuses with."""
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
        both = bundle_cases.patched({"bundle": file["bundles"][case["bundle"]], "trust": file["trust"]}, case["patch"])
        report, refused = refusal(lambda: verified(both, case, file["now"]), bundle.Unreadable)
        findings = report and sorted([verdict, "/".join(map(str, place))] for place, (verdict, _) in report.findings.items())
        equal(findings, case["findings"], f"{case['name']}: {refused}")
        equal(report.exit_code() if report else 1, case["exit"], case["name"])
        if "vouched" in case:
            index, last = report.vouched
            equal({"log_index": index, "time": stamp(last)}, case["vouched"], case["name"])


def verified(both, case, now):
    trust = bundle.Trust({name: partial(io.BytesIO, text.encode()) for name, text in both["trust"].items()})
    owed = [verify.owed_by(json.dumps(receipt).encode(), trust) for receipt in case.get("receipts", [])]
    return verify.verify(bundle_cases.files_of(both["bundle"]), trust, owed, case.get("now", now), case.get("max_age"))


def golden(name, file, write):
    text = json.dumps(file, indent=1, ensure_ascii=False, default=bytes.hex) + "\n"
    if write:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        (GOLDEN / name).write_text(text, encoding="utf-8")
    equal((GOLDEN / name).read_text(encoding="utf-8") == text, True, f"{name} is what this implementation makes")
    return json.loads(text)


def main():
    write = sys.argv[1:] == ["--write"]
    if sys.argv[1:] and not write:
        sys.exit(__doc__)
    sealed, strict = golden("seal.json", cases.seal_file(), write), golden("strict.json", cases.strict_file(), write)
    log, bundles = golden("log.json", log_cases.log_file(), write), golden("bundles.json", bundle_cases.bundle_file(), write)
    files = [
        (check_seal, sealed), (check_v1, sealed["v1"]), (check_strict, strict), (check_log, log), (check_notes, log), (check_bundles, bundles),
    ]
    for check, name in [
        (check_seal, "seal-v2.json"), (check_v1, "seal-v1.json"), (check_strict, "strict-json.json"), (check_log, "log.json"),
        (check_notes, "log.json"),
    ]:
        if (PUBLISHED / name).is_file():
            files.append((check, json.loads((PUBLISHED / name).read_text(encoding="utf-8"))))
        else:
            print(f"SKIPPED: ../shared/vectors/seal/{name} is not here")
    for check, file in files:
        check(file)
    print(f"{checked} comparisons, all equal")


if __name__ == "__main__":
    main()
