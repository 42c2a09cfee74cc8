"""Whose seal an event bears, and what must be known of all sealed events before one event is judged."""

from base64 import b64encode

import bundle
import ed25519
import note
import seal
import strict_json

FOREVER = float("inf")


def faults_of_seal(event, trust, counts):
    """Checks 5 to 9, but for the suite before."""
    record, event_hash = event.record, seal.sha256(seal.encode(event.header))
    kid, mac, sig = record["kid"], bytes.fromhex(record["mac"]), bytes.fromhex(record["sig"])
    if event.suite == 1 and sig or event.suite == 2 and (mac or not sig):
        yield "SUITE", "mac and sig are not those of the key's suite"
    if event_hash.hex() != record["event_hash"]:
        yield "EVENT_HASH", "the fields do not hash to event_hash"
    if kid not in trust.keys:
        yield "UNTRUSTED_KEY", f"{kid} is not pinned"
        return
    key = trust.keys[kid]
    if not counts(kid, key):
        yield "KEY_WINDOW", f"{kid} does not count at this index"
    if event.suite == 2 and not ed25519.verify(key.public, seal.signed_message(kid, event_hash), sig):
        yield "SIGNATURE", "the signature is wrong"
    if event.suite == 1 and key.secret:
        plan_key = seal.plan_key(key.secret, trust.origin, event.tenant, event.plan)
        if mac != seal.mac_of(plan_key, event_hash):
            yield "MAC", "the MAC is wrong"
    elif event.suite == 1 and len(mac) != 32:
        yield "MAC", "not the length of a MAC"


def sealed_data(event, trust):
    """The members of a payload that a pinned key sealed, or None."""
    payload = event.record.get("payload")
    if payload is None or any(faults_of_seal(event, trust, lambda kid, key: True)):
        return None
    return event.data() if strict_json.stored_matches(payload, bytes.fromhex(event.record["payload_hash"])) else None


def is_held(kid, said, by, trust):
    """Whether key.added is of a pinned key and proves that its holder has it."""
    if kid not in trust.keys:
        return False
    key, message = trust.keys[kid], seal.key_message(trust.origin, kid, by)
    try:
        proof = note.bytes_of(said.get("proof"))
    except (note.Refused, TypeError):
        return False
    if seal.suite_of(kid) == 2:
        return said.get("public") == b64encode(key.public).decode() and ed25519.verify(key.public, message, proof)
    return not key.secret or proof == seal.key_mac(trust.origin, key.secret, message)


class Survey:
    """When each key counts, what was erased, how late the log goes: as events say that pinned keys sealed, and no others."""

    def __init__(self, events, trust):
        self.trust, self.added, self.ended, self.erased, self.last_sealed = trust, {}, {}, set(), 0
        for event in events:
            if event.header is None:
                continue
            if event.index is not None:
                self.last_sealed = max(self.last_sealed, event.recorded)
            if (event.tenant, event.plan) == ("_system", "_keys"):
                # The first is leaf 0 by definition, sealed already or not.
                self.change_of_key(event, 0 if event.seq == 1 else event.index)
            elif event.plan == "_erasures" and event.record["type"] == "subject.erased" and event.index is not None:
                keys = (sealed_data(event, trust) or {}).get("keys")
                names = [key for key in (keys if isinstance(keys, list) else []) if isinstance(key, str)]
                self.erased.update((event.tenant, key) for key in names if bundle.ID.fullmatch(key))

    def change_of_key(self, event, index):
        said, by, first = sealed_data(event, self.trust), event.record["kid"], event.seq == 1
        if index is None or said is None or not first and not self.key_counts(by, self.trust.keys[by], index):
            return
        kind, kid, until = event.record["type"], str(said.get("kid")), said.get("until")
        if kind == "key.added":
            if is_held(kid, said, by, self.trust) and (kid == by or not first):
                self.added.setdefault(kid, index)
        elif kind in ("key.retired", "key.revoked") and kid in self.added:
            end = max(until, index) if type(until) is int else index
            self.ended[kid] = min(end, self.ended.get(kid, end))

    def key_counts(self, kid, pinned, index):
        """Whether a key counts at a log index: as `_keys` says, within what is pinned."""
        first, end = self.added.get(kid, FOREVER), self.ended.get(kid, FOREVER)
        return max(first, pinned.start) <= index < min(end, pinned.end)

    def has_erased(self, event):
        return event.record["payload_mode"] == "encrypted" and (event.tenant, str(event.data().get("key"))) in self.erased
