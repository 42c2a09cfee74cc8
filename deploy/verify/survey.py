"""Checks the seal of an event, and collects the facts that must be known before any event is checked: key windows, erasures and
the last sealed time."""

from base64 import b64encode

import bundle
import ed25519
import note
import seal
import strict_json

FOREVER = float("inf")


def faults_of_seal(event, trust, counts):
    """Yields the verdicts of checks 5 to 9 that fail, except the comparison with the predecessor's suite. `counts` tells
    whether a key is valid for the event."""
    record, event_hash = event.record, seal.sha256(seal.encode(event.header))
    kid, mac, sig = record["kid"], bytes.fromhex(record["mac"]), bytes.fromhex(record["sig"])
    if not seal.is_of_suite(event.suite, mac, sig):
        yield "SUITE", "the MAC and signature are not those of the key's suite"
    if event_hash.hex() != record["event_hash"]:
        yield "EVENT_HASH", "the fields do not hash to event_hash"
    if kid not in trust.keys:
        yield "UNTRUSTED_KEY", f"key {kid} is not pinned"
        return
    key = trust.keys[kid]
    if not counts(kid, key):
        yield "KEY_WINDOW", f"key {kid} does not count at the log index"
    if event.suite == 2 and not ed25519.verify(key.public, seal.signed_message(kid, event_hash), sig):
        yield "SIGNATURE", "the signature is wrong"
    if event.suite == 1 and key.secret:
        plan_key = seal.plan_key(key.secret, trust.origin, event.tenant, event.plan)
        if mac != seal.mac_of(plan_key, event_hash):
            yield "MAC", "the MAC is wrong"
    elif event.suite == 1 and len(mac) != 32:
        yield "MAC", "the MAC does not have 32 bytes"


def sealed_data(event, trust):
    """Returns the members of an event's payload. Returns None if there is no payload or if no pinned key has sealed it."""
    payload = event.record.get("payload")
    if payload is None or any(faults_of_seal(event, trust, lambda kid, key: True)):
        return None
    return event.data() if strict_json.stored_matches(payload, bytes.fromhex(event.record["payload_hash"])) else None


def is_proven(kid, payload, by, trust):
    """Returns whether the payload of a `key.added` event names a pinned key and contains a valid proof by that key's
    holder. The proof of an HMAC key is not checked if no secret is pinned for the key."""
    if kid not in trust.keys:
        return False
    key, message = trust.keys[kid], seal.key_message(trust.origin, kid, by)
    try:
        proof = note.bytes_of(payload.get("proof"))
    except (note.Refused, TypeError):
        return False
    if seal.suite_of(kid) == 2:
        return payload.get("public") == b64encode(key.public).decode() and ed25519.verify(key.public, message, proof)
    return not key.secret or proof == seal.key_mac(trust.origin, key.secret, message)


class Survey:
    """Key windows, erased data keys and the last sealed time. Only events sealed by a pinned key are taken into account."""

    def __init__(self, events, trust):
        self.trust, self.added, self.ended, self.last_sealed = trust, {}, {}, 0
        # (kid, log index) of the erasures of each (tenant, data key). Whether their keys count is known at the end.
        self.erasures = {}
        for event in events:
            if event.header is None:
                continue
            if event.index is not None:
                self.last_sealed = max(self.last_sealed, event.recorded)
            if (event.tenant, event.plan) == ("_system", "_keys"):
                # The first event of plan `_keys` is leaf 0 by definition, whether or not it is sealed yet.
                self.apply_key_event(event, 0 if event.seq == 1 else event.index)
            elif event.plan == "_erasures" and event.record["type"] == "subject.erased" and event.index is not None:
                keys = (sealed_data(event, trust) or {}).get("keys")
                names = [key for key in (keys if isinstance(keys, list) else []) if isinstance(key, str)]
                for name in filter(bundle.ID.fullmatch, names):
                    self.erasures.setdefault((event.tenant, name), set()).add((event.record["kid"], event.index))

    def apply_key_event(self, event, index):
        """Begins or ends the window of a key, as an event of plan `_keys` states."""
        payload, by, first = sealed_data(event, self.trust), event.record["kid"], event.seq == 1
        if index is None or payload is None or not first and not self.key_counts(by, self.trust.keys[by], index):
            return
        kind, kid, until = event.record["type"], str(payload.get("kid")), payload.get("until")
        if kind == "key.added":
            if is_proven(kid, payload, by, self.trust) and (kid == by or not first):
                self.added.setdefault(kid, index)
        elif kind in ("key.retired", "key.revoked") and kid in self.added:
            # If `until` is lower than the event's own log index, or is not an integer, the window ends at the event's own index.
            end = max(until, index) if type(until) is int else index
            self.ended[kid] = min(end, self.ended.get(kid, end))

    def key_counts(self, kid, pinned, index):
        """Returns whether a log index is inside a key's window from plan `_keys` and inside the key's pinned limits."""
        first, end = self.added.get(kid, FOREVER), self.ended.get(kid, FOREVER)
        return max(first, pinned.start) <= index < min(end, pinned.end)

    def has_erased(self, event):
        """Returns whether a sealed `subject.erased` event, whose key counts, names the data key of the event's payload."""
        if event.record["payload_mode"] != "encrypted":
            return False
        erasures = self.erasures.get((event.tenant, str(event.data().get("key"))), ())
        return any(self.key_counts(kid, self.trust.keys[kid], index) for kid, index in erasures)
