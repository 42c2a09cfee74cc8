"""Makes bundles without findings, and the pins for them. There is one of a whole log, one of plans, and one with an erasure."""

import base64
import io
import json
from functools import partial

import merkle
import seal
from cases import HMAC, ORIGIN, SIGN, V1_SECRET, added, record
from log_cases import LOG, LOG_TIME, WITNESS_1, WITNESS_2, base64_of, proof_of, signed, text_of

FIRST_ANCHOR, SECOND_ANCHOR = 1763600430, 1763600460
NOW = 1763600520
DATA_KEY = "01930000-0000-7000-8000-00000000000d"
KEYS = {"tenant": "_system", "plan": "_keys", "type": "key.added"}


def patched(value, patch):
    """Applies a merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    value = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            value.pop(name, None)
        else:
            value[name] = patched(value.get(name), part)
    return value


def files_of(bundle):
    """Returns the files of a bundle as verify.py expects them, each as a function that opens it."""
    records = sorted(bundle["records"].values(), key=lambda record: (record["tenant"], record["plan"], record["seq"]))
    files = {"events.jsonl": "".join(json.dumps(record) + "\n" for record in records)} | bundle["files"]
    data = {path: base64.b64decode(file["base64"]) if isinstance(file, dict) else file.encode() for path, file in files.items()}
    return {path: partial(io.BytesIO, file) for path, file in data.items()}


def where(record):
    return f"{record['tenant']}/{record['plan']}/{record['seq']}"


def whole_ledger():
    """Returns the records of nine leaves and of an unsealed event. They include both suites, a hash-only event
    and a v1 plan."""
    keys = [record(SIGN, None, added(SIGN, SIGN), 0, **KEYS)]
    keys.append(record(SIGN, keys[0], added(HMAC, SIGN), 1, **KEYS))
    case = [record(HMAC, None, '{"amount":"10.00","n":1}', 2)]
    for key, payload, index in [(HMAC, '{"n":2}', 3), (SIGN, '{"n":3}', 5), (SIGN, '{"n":4}', 7), (SIGN, '{"n":5}', None)]:
        case.append(record(key, case[-1], payload, index, type="case.noted"))
    private = record(SIGN, None, '{"iban":"x"}', 4, mode=3, plan="private-1")
    older = [record(SIGN, None, '{"n":1}', 6, tenant="beta", plan="older-1", carries_v1=True)]
    older.append(record(SIGN, older[0], '{"n":2}', 8, tenant="beta", plan="older-1", carries_v1=True))
    return keys, case, private, older


def erased_ledger():
    envelope = {"ciphertext": base64_of(bytes(16)), "commitment": base64_of(bytes(32)), "key": DATA_KEY, "nonce": base64_of(bytes(24))}
    envelope = json.dumps(envelope | {"scheme": "sealbus/envelope/v2"})
    return [
        record(SIGN, None, added(SIGN, SIGN), 0, **KEYS),
        record(SIGN, None, envelope, 1, mode=2, plan="person-1"),
        record(SIGN, None, json.dumps({"keys": [DATA_KEY], "reason": "asked"}), 2, plan="_erasures", type="subject.erased"),
        record(SIGN, None, json.dumps({"key": DATA_KEY}), 3, plan="person-2"),
    ]


def tree_of(records):
    sealed = sorted((record for record in records if record["log_index"] is not None), key=lambda record: record["log_index"])
    return merkle.Tree(seal.leaf_hash(leaf_of(record)) for record in sealed)


def leaf_of(record):
    event = record | {"origin": ORIGIN, "event_id": record["event_id"].replace("-", "")}
    event |= {f"{name}_us": seal.microseconds(record[name]) for name in ("occurred", "recorded")}
    event["payload_mode"] = ["plain", "encrypted", "hash-only"].index(record["payload_mode"]) + 1
    return seal.leaf_of(seal.encode(event), bytes.fromhex(record["mac"]), bytes.fromhex(record["sig"]))


def checkpoint_of(tree, size, time, signers=(LOG, LOG_TIME, WITNESS_1, WITNESS_2)):
    return signed(text_of(size, tree.root(size)), *signers, time=time)


def tiles_of(tree, size):
    return {merkle.tile_path(*tile): {"base64": base64_of(tree.tile(*tile))} for tile in merkle.tiles(size)}


def trust(secrets=False, **changed):
    """Returns the pins. `changed` are members of the keys of the keyring, by suite."""
    keys = [{"id": SIGN[0], "public": base64_of(SIGN[1]["public"]), "status": "active"}, {"id": HMAC[0], "status": "retired"}]
    if secrets:
        keys[0] |= {"secret": base64_of(SIGN[1]["seed"])}
        keys[1] |= {"secret": base64_of(HMAC[1]["secret"])}
        keys.append({"id": "v1-00000000000000a1", "secret": base64_of(V1_SECRET)})
    keys = [key | changed.get(key["id"].split("-")[0], {}) for key in keys]
    policy = [
        "# golden", f"log {LOG[0].vkey}", f"witness w1 {WITNESS_1[0].vkey}",
        f"witness w2 {WITNESS_2[0].vkey} https://w2.golden/", "group enough any w1 w2", "quorum enough",
    ]
    return {"origin": ORIGIN + "\n", "keyring.json": json.dumps({"keys": keys}), "policy": "\n".join(policy) + "\n"}


def with_policy(*lines):
    return {"policy": "".join(line + "\n" for line in [f"log {LOG[0].vkey}", *lines])}


def bundles():
    keys, case, private, older = whole_ledger()
    records = {where(record): record for record in keys + case[:4] + [private] + older}
    tree = tree_of(records.values())
    notes = {"anchors/0": checkpoint_of(tree, 5, FIRST_ANCHOR), "anchors/1": checkpoint_of(tree, 9, SECOND_ANCHOR)}
    notes["checkpoint"] = notes["anchors/1"]
    plans = {where(record): record | {"proof": proven(tree, record, notes["checkpoint"])} for record in keys + case[:4]}
    erased = erased_ledger()
    small = tree_of(erased)
    note = checkpoint_of(small, 4, SECOND_ANCHOR)
    return {
        "whole": {"files": notes | tiles_of(tree, 9), "records": records},
        "plans": {"files": notes, "records": plans},
        "erased": {"files": {"checkpoint": note, "anchors/0": note} | tiles_of(small, 4), "records": {where(record): record for record in erased}},
    }


def proven(tree, record, checkpoint, index=None):
    index = record["log_index"] if index is None else index
    return proof_of(leaf_of(record), index, tree.inclusion(index, 0, 9), checkpoint)
