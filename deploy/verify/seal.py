"""Makes and checks the bytes of the seal (docs/spec/integrity.md#scheme-v2). They are header, leaf, both suites, scheme v1, event
ids, times and key proofs."""

import hmac
import re
from calendar import monthrange
from datetime import date
from hashlib import sha256 as _sha256
from uuid import UUID

import ed25519

SUITES = {"hmac": 1, "ed25519": 2}
KEY_ID = re.compile(r"(hmac|ed25519)-[0-9a-f]{16}")
VISIBLE = re.compile(r"[!-~]{1,255}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
FIRST_TIME, LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999


class Refused(Exception):
    """The error of malformed bytes or fields. The message is the verdict, FORMAT or SUITE."""


def sha256(data):
    return _sha256(data).digest()


def lp(data):
    """Returns the length as a u32, then the bytes."""
    data = data.encode() if isinstance(data, str) else data
    return len(data).to_bytes(4, "big") + data


def hmac_sha256(key, message):
    return hmac.digest(key, message, "sha256")


def hkdf(secret, info, length=32):
    """HKDF-SHA256 (RFC 5869) without salt, for up to one block of output."""
    assert length <= 32
    return hmac_sha256(hmac_sha256(bytes(32), secret), info + b"\x01")[:length]


def suite_of(kid):
    """Returns the suite of a key id, or 0 if the key seals no events."""
    found = KEY_ID.fullmatch(kid)
    return SUITES[found[1]] if found else 0


def is_text(text, shortest, longest):
    """Returns whether the text has an allowed length in bytes and no control characters."""
    return shortest <= len(text.encode()) <= longest and not CONTROL.search(text)


def check_header(event):
    """Checks the limits of all fields."""
    rules = [
        VISIBLE.fullmatch(event["origin"]) and "+" not in event["origin"],
        re.fullmatch(r"[A-Za-z0-9_-]{1,64}", event["tenant"]),
        is_text(event["plan"], 1, 255),
        1 <= event["seq"] < 2**53,
        VISIBLE.fullmatch(event["type"]),
        1 <= event["data_version"] < 2**31,
        all(FIRST_TIME <= int(event[name]) <= LAST_TIME for name in ("occurred_us", "recorded_us")),
        is_text(event["source"], 0, 1024),
        all(is_text(event[name], 0, 255) for name in ("actor", "correlation_id", "causation_id")),
        event["payload_mode"] in (1, 2, 3),
        suite_of(event["kid"]),
    ]
    if not all(rules):
        raise Refused("FORMAT")


def encode(event):
    """Returns the bytes of the header. In `event`, hashes and id are hex and times are microseconds."""
    number = lambda name, size: int(event[name]).to_bytes(size, "big", signed=name.endswith("_us"))
    texts = lambda *names: b"".join(lp(event[name]) for name in names)
    raw = lambda *names: b"".join(bytes.fromhex(event[name]) for name in names)
    return (
        b"sealbus/event/v2\n" + bytes([suite_of(event["kid"])]) + texts("origin", "tenant", "plan")
        + number("seq", 8) + raw("event_id") + texts("type") + number("data_version", 4)
        + number("occurred_us", 8) + number("recorded_us", 8)
        + texts("source", "actor", "correlation_id", "causation_id")
        + number("payload_mode", 1) + number("payload_size", 4)
        + raw("payload_hash", "metadata_hash", "prev") + texts("kid")
    )


def decode(header):
    """Parses the bytes of a header."""
    fields = Fields(header, b"sealbus/event/v2\n")
    suite, event = fields.number(1), {}
    for name, take in [
        ("origin", fields.text), ("tenant", fields.text), ("plan", fields.text), ("seq", lambda: fields.number(8)),
        ("event_id", lambda: fields.take(16).hex()), ("type", fields.text), ("data_version", lambda: fields.number(4)),
        ("occurred_us", lambda: str(fields.number(8, True))), ("recorded_us", lambda: str(fields.number(8, True))),
        ("source", fields.text), ("actor", fields.text), ("correlation_id", fields.text), ("causation_id", fields.text),
        ("payload_mode", lambda: fields.number(1)), ("payload_size", lambda: fields.number(4)),
        ("payload_hash", lambda: fields.take(32).hex()), ("metadata_hash", lambda: fields.take(32).hex()),
        ("prev", lambda: fields.take(32).hex()), ("kid", fields.text),
    ]:
        event[name] = take()
    fields.end()
    check_header(event)
    if suite not in SUITES.values():
        raise Refused("FORMAT")
    if suite != suite_of(event["kid"]):
        raise Refused("SUITE")
    return event


def decode_leaf(leaf):
    """Parses a leaf. Returns (event, mac, sig)."""
    fields = Fields(leaf, b"sealbus/leaf/v1\n")
    event, mac, sig = decode(fields.bytes()), fields.bytes(), fields.bytes()
    fields.end()
    lengths = {1: (32, 0), 2: (0, 64)}[suite_of(event["kid"])]
    if (len(mac) > 0, len(sig) > 0) != (lengths[0] > 0, lengths[1] > 0):
        raise Refused("SUITE")
    if (len(mac), len(sig)) != lengths:
        raise Refused("FORMAT")
    return event, mac, sig


def is_of_suite(suite, mac, sig):
    """Performs check 5. Returns whether an event has no seal of another suite.

    An empty MAC is a wrong MAC, not one of another suite.
    """
    return not sig if suite == 1 else not mac and bool(sig)


class Fields:
    """A reader of the fields that follow a label."""

    def __init__(self, data, label):
        self.rest = data
        if self.take(len(label)) != label:
            raise Refused("FORMAT")

    def take(self, length):
        taken, self.rest = self.rest[:length], self.rest[length:]
        if len(taken) != length:
            raise Refused("FORMAT")
        return taken

    def number(self, size, signed=False):
        return int.from_bytes(self.take(size), "big", signed=signed)

    def bytes(self):
        return self.take(self.number(4))

    def text(self):
        try:
            return self.bytes().decode()
        except UnicodeDecodeError:
            raise Refused("FORMAT") from None

    def end(self):
        if self.rest:
            raise Refused("FORMAT")


def genesis(origin, tenant, plan):
    """Returns `prev` of the first event of a plan."""
    return sha256(b"sealbus/genesis/v2\n" + lp(origin) + lp(tenant) + lp(plan))


def plan_key(secret, origin, tenant, plan):
    return hkdf(secret, b"sealbus/plan-key/v2\n" + lp(origin) + lp(tenant) + lp(plan))


def mac_of(key, event_hash):
    return hmac_sha256(key, b"sealbus/mac/v2\n" + event_hash)


def signed_message(kid, event_hash):
    return b"sealbus/sig/v2\n" + lp(kid) + event_hash


def leaf_of(header, mac, sig):
    return b"sealbus/leaf/v1\n" + lp(header) + lp(mac) + lp(sig)


def leaf_hash(leaf):
    return sha256(b"\x00" + leaf)


def seal(event, key):
    """Seals an event with a key {"secret"} or {"seed"}. Returns (event_hash, mac, sig)."""
    event_hash = sha256(encode(event))
    if suite_of(event["kid"]) == 1:
        return event_hash, mac_of(plan_key(key["secret"], event["origin"], event["tenant"], event["plan"]), event_hash), b""
    return event_hash, b"", ed25519.sign(key["seed"], signed_message(event["kid"], event_hash))


def check_seal(kid, event_hash, mac, sig, key):
    """Returns "ok" or the verdict. `key` is the plan key or the public key."""
    if not is_of_suite(suite_of(kid), mac, sig):
        return "SUITE"
    if suite_of(kid) == 1:
        return "ok" if hmac.compare_digest(mac, mac_of(key, event_hash)) else "MAC"
    return "ok" if ed25519.verify(key, signed_message(kid, event_hash), sig) else "SIGNATURE"


def key_id(public):
    """Returns the key id of an Ed25519 public key."""
    return "ed25519-" + sha256(b"sealbus/key-id/v2\n" + public)[:8].hex()


def key_message(origin, kid, by):
    """Returns the message that a new key signs, in the event key.added that the key `by` seals."""
    return b"sealbus/key-proof/v2\n" + lp(origin) + lp(kid) + lp(by)


def key_mac(origin, secret, message):
    """Returns the proof of a new HMAC key."""
    return hmac_sha256(plan_key(secret, origin, "_system", "_keys"), message)


def key_proof(origin, kid, by, key):
    """Returns the proof in key.added. `key` is the new key, {"secret"} or {"seed"}."""
    message = key_message(origin, kid, by)
    return key_mac(origin, key["secret"], message) if suite_of(kid) == 1 else ed25519.sign(key["seed"], message)


def is_weak(secret):
    """Returns whether a keyring with this secret is refused."""
    return len(secret) < 32 or len(set(secret)) < 8


def event_id(tenant, source, text):
    """Returns the 16 bytes of an event id: those of a UUID, or the UUIDv8 that is derived from any other id."""
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        return UUID(text).bytes
    if not is_text(text, 1, 1024):
        raise Refused("FORMAT")
    derived = bytearray(sha256(b"sealbus/event-id/v2\n" + lp(tenant) + lp(source) + lp(text))[:16])
    derived[6], derived[8] = derived[6] & 0x0F | 0x80, derived[8] & 0x3F | 0x80
    return bytes(derived)


def microseconds(text):
    """Converts RFC 3339 to whole microseconds since 1970."""
    found = TIME.fullmatch(text)
    if not found:
        raise Refused("FORMAT")
    year, month, day, hour, minute, second = (int(found[n]) for n in range(1, 7))
    off_hour, off_minute = int(found[9] or 0), int(found[10] or 0)
    if not (1 <= year and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1] and hour < 24 and minute < 60
            and second < 60 and off_hour < 24 and off_minute < 60):
        raise Refused("FORMAT")
    offset = (off_hour * 60 + off_minute) * (-60 if found[8] == "-" else 60)
    days = date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset
    micros = seconds * 1_000_000 + int(((found[7] or "") + "000000")[:6])
    if not FIRST_TIME <= micros <= LAST_TIME:
        raise Refused("FORMAT")
    return micros


def v1_message(plan, event_type, payload_hash, prev_hash):
    if "|" in plan or "|" in event_type:
        raise Refused("FORMAT")
    return "|".join([plan, event_type, payload_hash, prev_hash or ""])


def v1_signature(secret, plan, event_type, payload_hash, prev_hash):
    return hmac_sha256(secret, v1_message(plan, event_type, payload_hash, prev_hash).encode()).hex()
