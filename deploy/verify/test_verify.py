#!/usr/bin/env python3
"""The verifier against the published verdicts and its own golden bundles; tree, notes and proofs against the published vectors."""

import base64
import io
import json
import sys
import unittest
from functools import partial
from pathlib import Path

sys.dont_write_bytecode = True
import bundle
import envelope
import merkle
import note
import seal
import verify

SHARED = Path(__file__).resolve().parents[3] / "shared/vectors"


def published(path):
    """A published file, where the folder beside the project is."""
    if not (SHARED / path).exists():
        print(f"SKIPPED: ../shared/vectors/{path} is not here", flush=True)
        raise unittest.SkipTest(path)
    return json.loads((SHARED / path).read_text(encoding="utf-8"))


def files_of(contents):
    return {path: partial(io.BytesIO, data if isinstance(data, bytes) else data.encode()) for path, data in contents.items()}


def patched(value, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    value = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            value.pop(name, None)
        else:
            value[name] = patched(value.get(name), part)
    return value


def place_of(where):
    tenant, rest = where.split("/", 1)
    plan, seq = rest.rsplit("/", 1)
    return tenant, plan, int(seq)


def bundle_of(ledger):
    """The ledger of a case as the files of a bundle."""
    records = sorted(ledger["records"].values(), key=lambda record: (record["tenant"], record["plan"], record["seq"]))
    contents = {"checkpoint": ledger["checkpoint"], "events.jsonl": "".join(json.dumps(record) + "\n" for record in records)}
    contents |= {f"anchors/{name}": text for name, text in ledger["anchors"].items()}
    return files_of(contents | {path: bytes.fromhex(tile) for path, tile in ledger["tiles"].items()})


def trust_of(trust):
    """What a case pins as the files of a verifier."""
    base64_of = lambda text: base64.b64encode(bytes.fromhex(text)).decode()
    keys = [
        {"id": key["kid"], "until": key.get("until")} | {part: base64_of(key[part]) for part in ("secret", "public") if part in key}
        for key in trust["keys"]
    ]
    keys += [{"id": f"v1-{number:016x}", "secret": base64_of(secret)} for number, secret in enumerate(trust["v1"])]
    policy = [f"log {vkey}" for vkey in trust["log"]]
    policy += [f"witness w{number} {vkey}" for number, vkey in enumerate(trust["witnesses"])]
    names = " ".join(f"w{number}" for number in range(len(trust["witnesses"])))
    policy += [f"group enough {trust['quorum']} {names}", "quorum enough"] if trust["quorum"] else ["quorum none"]
    contents = {"origin": trust["origin"] + "\n", "keyring.json": json.dumps({"keys": keys}), "policy": "\n".join(policy) + "\n"}
    return bundle.Trust(files_of(contents))


class Verdicts(unittest.TestCase):
    def test_each_tampering_has_its_findings_and_no_others(self):
        file = published("seal/verdicts.json")
        for case in file["cases"]:
            with self.subTest(f"row {case['row']}: {case['name']}"):
                both = patched({"ledger": file["ledger"], "trust": file["trust"]}, case["patch"])
                ledger, trust = both["ledger"], both["trust"]
                owed = [(place_of(where), event_hash) for part in ("queue", "receipts") for where, event_hash in ledger[part].items()]
                leaf_places = {int(index): place_of(where) for index, where in ledger["leaves"].items()}
                data_keys = {key_id: bytes.fromhex(key) for key_id, key in ledger["data_keys"].items()}
                opens = partial(envelope.fault_of, data_keys, ledger["erased"])
                report = verify.verify(
                    bundle_of(ledger), trust_of(trust), owed, trust["now"], trust["max_age"], leaf_places, opens
                )
                found = sorted([verdict, "/".join(map(str, place))] for place, (verdict, _) in report.findings.items())
                self.assertEqual((found, report.exit_code()), (sorted(case["findings"]), case["exit"]))


if __name__ == "__main__":
    unittest.main()
