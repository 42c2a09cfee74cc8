"""The seal of an event, and the facts that have to be known before any event is checked: key windows, erasures, the last sealed
time."""

from base64 import b64encode

import bundle
import ed25519
import note
import seal
import strict_json

FOREVER = float("inf")


def faults_of_seal(event, trust, counts):
    """Checks 5 to 9, except the comparison with the predecessor's suite. `counts` tells whether the key counts for the event."""
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
    """Returns the members of a payload that a pinned key sealed, or None."""
    payload = event.record.get("payload")
    if payload is None or any(faults_of_seal(event, trust, lambda kid, key: True)):
        return None
    return event.data() if strict_json.stored_matches(payload, bytes.fromhex(event.record["payload_hash"])) else None


def is_proven(kid, payload, by, trust):
    """Returns whether key.added is about a pinned key and contains a valid proof of its possession."""
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
    """Key windows, erased data keys and the last sealed time. Only events that a pinned key sealed are believed."""

    def __init__(self, events, trust):
        self.trust, self.added, self.ended, self.erased, self.last_sealed = trust, {}, {}, set(), 0
        for event in events:
            if event.header is None:
                continue
            if event.index is not None:
                self.last_sealed = max(self.last_sealed, event.recorded)
            if (event.tenant, event.plan) == ("_system", "_keys"):
                # The first event is leaf 0 by definition, whether or not it is sealed yet.
                self.apply_key_event(event, 0 if event.seq == 1 else event.index)
            elif event.plan == "_erasures" and event.record["type"] == "subject.erased" and event.index is not None:
                keys = (sealed_data(event, trust) or {}).get("keys")
                names = [key for key in (keys if isinstance(keys, list) else []) if isinstance(key, str)]
                self.erased.update((event.tenant, key) for key in names if bundle.ID.fullmatch(key))

    def apply_key_event(self, event, index):
        """Opens or closes the window of a key."""
        payload, by, first = sealed_data(event, self.trust), event.record["kid"], event.seq == 1
        if index is None or payload is None or not first and not self.key_counts(by, self.trust.keys[by], index):
            return
        kind, kid, until = event.record["type"], str(payload.get("kid")), payload.get("until")
        if kind == "key.added":
            if is_proven(kid, payload, by, self.trust) and (kid == by or not first):
                self.added.setdefault(kid, index)
        elif kind in ("key.retired", "key.revoked") and kid in self.added:
            # An end that reaches back, or that is not a log index, counts from the event's own leaf.
            end = max(until, index) if type(until) is int else index
            self.ended[kid] = min(end, self.ended.get(kid, end))

    def key_counts(self, kid, pinned, index):
        """Returns whether a key counts at a log index: within the window from plan `_keys` and the pinned limits."""
        first, end = self.added.get(kid, FOREVER), self.ended.get(kid, FOREVER)
        return max(first, pinned.start) <= index < min(end, pinned.end)

    def has_erased(self, event):
        """Returns whether an erasure names the data key of the event's payload."""
        return event.record["payload_mode"] == "encrypted" and (event.tenant, str(event.data().get("key"))) in self.erased
