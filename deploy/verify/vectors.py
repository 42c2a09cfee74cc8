#!/usr/bin/env python3
"""Writes the golden vectors (`--write`), or checks that they are what this implementation makes. In both cases it also checks
itself against the published vectors beside the project, where they are."""

import base64
import json
import sys
from pathlib import Path

import cases
import ed25519
import seal
import strict_json

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
    files = [(check_seal, sealed), (check_v1, sealed["v1"]), (check_strict, strict)]
    for check, name in [(check_seal, "seal-v2.json"), (check_v1, "seal-v1.json"), (check_strict, "strict-json.json")]:
        if (PUBLISHED / name).is_file():
            files.append((check, json.loads((PUBLISHED / name).read_text(encoding="utf-8"))))
        else:
            print(f"SKIPPED: ../shared/vectors/seal/{name} is not here")
    for check, file in files:
        check(file)
    print(f"{checked} comparisons, all equal")


if __name__ == "__main__":
    main()
