"""Makes the keys, events and records of the golden cases.

Keys are derived from names, so that the golden files are the same each time.
"""

import base64
import json
from datetime import datetime, timedelta
from hashlib import sha512

import ed25519
import seal
import strict_json
from seal import sha256

ORIGIN = "bus.golden/main"


def hmac_key(name, size):
    """Returns a key id and its key, both derived from a name."""
    return f"hmac-{sha256(name.encode())[:8].hex()}", {"secret": sha512(b"golden " + name.encode()).digest()[:size]}


def ed25519_key(name):
    """Returns a key id and its key, both derived from a name."""
    seed = sha256(b"golden " + name.encode())
    public = ed25519.public_of(seed)
    return seal.key_id(public), {"seed": seed, "public": public}


HMAC, HMAC_LONG = hmac_key("mac", 32), hmac_key("long mac", 64)
SIGN, SIGN_NEXT = ed25519_key("signer"), ed25519_key("next signer")
KEYS = dict([HMAC, HMAC_LONG, SIGN, SIGN_NEXT])
V1_SECRET = sha256(b"golden older contract")


def event_of(key, payload, metadata="{}", before=None, **fields):
    """Makes an event. Returns its header fields, its canonical texts, and its seal."""
    canonical = strict_json.canonicalise(payload.encode())
    canonical_metadata = strict_json.canonicalise(metadata.encode(), strict_json.MAX_METADATA)
    event = {
        "origin": ORIGIN, "tenant": "acme", "plan": "case-7", "seq": 1, "event_id": "01930000000070008000000000000001",
        "type": "case.opened", "data_version": 1, "occurred_us": "1763600400000000", "recorded_us": "1763600400250000",
        "source": "urn:golden", "actor": "tester", "correlation_id": "", "causation_id": "", "payload_mode": 1,
    } | fields
    event |= {"payload_size": len(canonical), "payload_hash": sha256(canonical).hex()}
    first = seal.genesis(event["origin"], event["tenant"], event["plan"]).hex()
    event |= {"metadata_hash": sha256(canonical_metadata).hex(), "prev": before or first, "kid": key[0]}
    seal.check_header(event)
    return event, canonical, canonical_metadata, seal.seal(event, key[1])


def record(key, predecessor, payload, index, mode=1, carries_v1=False, **fields):
    """Makes an event in the form of a bundle's record. `predecessor` is the record before it in its plan, or None."""
    before = predecessor and predecessor["event_hash"]
    seq = predecessor["seq"] + 1 if predecessor else 1
    recorded = 1763600400000000 + 1000000 * seq
    number = f"{sha256(str((fields, seq)).encode())[:6].hex()}"
    fields = {"event_id": "019300000000700080" + "00" + number, "occurred_us": str(recorded), "recorded_us": str(recorded)} | fields
    metadata = json.dumps({"sealbus": {"auth": "token"} | ({"v1": True} if carries_v1 else {})})
    event, canonical, metadata, (event_hash, mac, sig) = event_of(key, payload, metadata, before, seq=seq, payload_mode=mode, **fields)
    stamp = lambda us: strict_time(int(us))
    made = {
        name: event[name]
        for name in ("tenant", "plan", "seq", "type", "data_version", "source", "actor", "correlation_id", "causation_id",
                     "payload_size", "payload_hash", "metadata_hash", "prev", "kid")
    } | {
        "event_id": str(seal.UUID(event["event_id"])), "occurred": stamp(event["occurred_us"]), "recorded": stamp(event["recorded_us"]),
        "payload_mode": ["plain", "encrypted", "hash-only"][mode - 1], "event_hash": event_hash.hex(), "mac": mac.hex(),
        "sig": sig.hex(), "payload": None if mode == 3 else canonical.decode(), "metadata": metadata.decode(), "log_index": index,
    }
    if carries_v1:
        prev = predecessor["v1"]["signature"] if predecessor else None
        signature = seal.v1_signature(V1_SECRET, event["plan"], event["type"], event["payload_hash"], prev)
        made["v1"] = {"payload_hash": event["payload_hash"], "prev_hash": prev, "signature": signature}
    return made


def strict_time(us):
    """Formats microseconds since 1970 as a record does."""
    return (datetime(1970, 1, 1) + timedelta(microseconds=us)).isoformat(timespec="microseconds") + "Z"


def added(key, by):
    """Returns the payload of key.added for `key`, sealed by the key `by`."""
    proof = base64.b64encode(seal.key_proof(ORIGIN, key[0], by[0], key[1])).decode()
    payload = {"kid": key[0], "proof": proof}
    if "public" in key[1]:
        payload["public"] = base64.b64encode(key[1]["public"]).decode()
    return strict_json.write(payload)
