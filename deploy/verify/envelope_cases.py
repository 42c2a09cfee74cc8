"""Makes the golden envelopes and wrapped data keys."""

import json

import envelope
import strict_json
from cases import ORIGIN, SIGN, event_of
from log_cases import base64_of
from seal import sha256

EVENT = {
    "origin": ORIGIN, "tenant": "acme", "plan": "person-1", "event_id": "01930000000070008000000000000e01", "type": "user.created", "data_version": 1,
}


def key_of(name):
    """Returns 32 bytes that are derived from a name."""
    return sha256(b"golden data key " + name.encode())


def nonce_of(name):
    return sha256(b"golden nonce " + name.encode())[:24]


def key_id_of(number):
    return f"01930000-0000-7000-8000-0000000000{number:02x}"


def sealed(plaintext, data_key, key_id, nonce, aad):
    """Encrypts a plaintext and returns the text of the envelope."""
    key, commitment = envelope.keys_of(data_key, nonce)
    parts = {"ciphertext": envelope.aead_seal(key, nonce, plaintext, aad), "commitment": commitment, "nonce": nonce}
    texts = {name: base64_of(part) for name, part in parts.items()}
    return strict_json.write(texts | {"key": key_id, "scheme": "sealbus/envelope/v2"})


def plaintext_of(payload, metadata):
    return strict_json.canonicalise(f'{{"data":{payload},"metadata":{metadata}}}'.encode(), strict_json.MAX_PAYLOAD + strict_json.MAX_METADATA)


def case(number, payload, metadata="{}", **fields):
    event, data_key, nonce = EVENT | fields, key_of(str(number)), nonce_of(str(number))
    aad, plaintext = envelope.aad_of(event), plaintext_of(payload, metadata)
    key, commitment = envelope.keys_of(data_key, nonce)
    text = sealed(plaintext, data_key, key_id_of(number), nonce, aad)
    return event | {
        "data_key": data_key, "key_id": key_id_of(number), "nonce": nonce, "payload": payload, "metadata": metadata,
        "plaintext": plaintext.decode(), "aad": aad, "key": key, "commitment": commitment, "envelope": text,
        "payload_hash": sha256(text.encode()), "payload_size": len(text),
    }


def sealed_cases():
    return [
        case(1, '{"name":"Ada", "born": 1815.0}', '{"ip":"192.0.2.7"}'), case(2, "null"),
        case(3, '["é", "\\ud83d\\ude00"]', '{"b":{"c":[1]},"a":""}', tenant="beta", data_version=2**31 - 1, plan="é" * 127),
        case(4, json.dumps("x" * 200), type="!", event_id="ff" * 16),
    ]


def refused(cases):
    """Yields envelopes that are refused: changed envelopes of the first case, and envelopes of malformed plaintexts."""
    first, second = cases[0], cases[1]
    members = json.loads(first["envelope"])
    ciphertext = envelope.parts_of(first["envelope"])[3]
    changed = lambda **parts: strict_json.write(members | parts)
    flipped = lambda data: bytes([data[0] ^ 1]) + data[1:]
    elsewhere = envelope.aad_of(EVENT | {"tenant": "other"})
    without = lambda name: strict_json.write({part: value for part, value in members.items() if part != name})
    for name, text, data_key, aad, verdict in [
        ("moved to another tenant", first["envelope"], first["data_key"], elsewhere, "AAD"),
        ("moved to the event of the second case", first["envelope"], first["data_key"], cases[2]["aad"], "AAD"),
        ("another data key", first["envelope"], second["data_key"], first["aad"], "COMMITMENT"),
        ("another nonce", changed(nonce=base64_of(second["nonce"])), first["data_key"], first["aad"], "COMMITMENT"),
        ("a bit of the commitment flipped", changed(commitment=base64_of(flipped(first["commitment"]))), first["data_key"], first["aad"], "COMMITMENT"),
        ("a bit of the ciphertext flipped", changed(ciphertext=base64_of(flipped(ciphertext))), first["data_key"], first["aad"], "AAD"),
        ("a byte of the tag cut", changed(ciphertext=base64_of(ciphertext[:-1])), first["data_key"], first["aad"], "AAD"),
        ("a ciphertext of 15 bytes", changed(ciphertext=base64_of(ciphertext[:15])), first["data_key"], first["aad"], "FORMAT"),
        ("an additional member", changed(kid="x"), first["data_key"], first["aad"], "FORMAT"),
        ("no nonce", without("nonce"), first["data_key"], first["aad"], "FORMAT"),
        ("scheme of version 1", changed(scheme="sealbus/envelope/v1"), first["data_key"], first["aad"], "FORMAT"),
        ("a nonce of 23 bytes", changed(nonce=base64_of(first["nonce"][:23])), first["data_key"], first["aad"], "FORMAT"),
        ("base64 without padding", changed(commitment=members["commitment"].rstrip("=")), first["data_key"], first["aad"], "FORMAT"),
        ("a key id without hyphens", changed(key=members["key"].replace("-", "")), first["data_key"], first["aad"], "FORMAT"),
        ("an array", f"[{first['envelope']}]", first["data_key"], first["aad"], "FORMAT"),
    ]:
        yield {"name": name, "envelope": text, "data_key": data_key, "aad": aad, "refused": verdict}
    for name, plaintext in [
        ("a plaintext that is not JSON", b"Ada"), ("a plaintext that is not canonical", b'{"data":1.0,"metadata":{}}'),
        ("a plaintext with an additional member", b'{"data":1,"extra":1,"metadata":{}}'), ("metadata that is not an object", b'{"data":1,"metadata":[]}'),
        ("encrypted metadata of the bus", b'{"data":1,"metadata":{"sealbus":{}}}'),
        ("metadata that is too large", b'{"data":1,"metadata":{"m":"' + b"x" * (strict_json.MAX_METADATA - 7) + b'"}}'),
    ]:
        text = sealed(plaintext, first["data_key"], first["key_id"], first["nonce"], first["aad"])
        yield {"name": name, "envelope": text, "data_key": first["data_key"], "aad": first["aad"], "refused": "FORMAT"}


def wraps():
    for number, tenant, subject, epoch in [(1, "acme", "Ada", 1), (2, "beta", "é" * 127, 2**32 - 1)]:
        kek, kek_id, nonce, key_id = key_of(f"kek {number}"), f"kek-{number:016x}", nonce_of(f"wrap {number}"), key_id_of(number)
        data_key = key_of(str(number))
        wrapped = nonce + envelope.aead_seal(kek, nonce, data_key, envelope.wrap_aad(kek_id, tenant, subject, epoch, key_id))
        yield {
            "kek": kek, "kek_id": kek_id, "nonce": nonce, "data_key": data_key, "tenant": tenant, "subject": subject, "epoch": epoch,
            "key_id": key_id, "wrapped": wrapped,
        }


def sealed_event(first):
    """Returns a sealed event whose payload is the envelope of the first case, in the form of seal.json."""
    fields = {name: first[name] for name in ("tenant", "plan", "event_id", "type", "data_version")}
    event, payload, metadata, (event_hash, mac, sig) = event_of(SIGN, first["envelope"], payload_mode=2, **fields)
    return {
        "name": "encrypted", "event": event, "payload": payload.decode(), "metadata": metadata.decode(),
        "expect": {"event_hash": event_hash, "mac": mac, "sig": sig},
    }


def envelope_file():
    cases = sealed_cases()
    return {
        "about": "Made by deploy/verify/vectors.py; test keys only. payload, metadata, plaintext and envelope are text, other bytes are lower-case hex.",
        "cases": cases, "refused": list(refused(cases)), "wraps": list(wraps()), "event": sealed_event(cases[0]),
    }
