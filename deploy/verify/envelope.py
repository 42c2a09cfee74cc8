"""Envelopes: XChaCha20-Poly1305 (RFC 8439, draft-irtf-cfrg-xchacha), and check 16 of an event whose data key is at hand.

A bundle holds no data keys, so that verify.py does without this file.
"""

import hmac
import re
import struct

import note
import seal
import strict_json

DOUBLE_ROUND = [
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
]
KEY_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Refused(Exception):
    """Carries FORMAT, COMMITMENT or AAD."""


def words(data):
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def mixed(state):
    """The twenty rounds of ChaCha."""
    x = list(state)
    for _ in range(10):
        for a, b, c, d in DOUBLE_ROUND:
            for to, by, turned, bits in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]:
                x[to] = x[to] + x[by] & 0xFFFFFFFF
                turn = x[turned] ^ x[to]
                x[turned] = (turn << bits | turn >> 32 - bits) & 0xFFFFFFFF
    return x


def chacha20(key, nonce, counter, length):
    """So many bytes of the key stream."""
    stream = b""
    while len(stream) < length:
        state = words(b"expand 32-byte k" + key) + [counter] + words(nonce)
        stream += struct.pack("<16I", *(a + b & 0xFFFFFFFF for a, b in zip(state, mixed(state))))
        counter += 1
    return stream[:length]


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & 2**128 - 1).to_bytes(16, "little")


def aead_open(key, nonce, sealed, aad):
    """The plaintext of ciphertext and tag, or None where they are not of this key, nonce and AAD."""
    state = mixed(words(b"expand 32-byte k" + key + nonce[:16]))
    key, nonce = struct.pack("<8I", *state[:4], *state[12:]), bytes(4) + nonce[16:]
    ciphertext, tag = sealed[:-16], sealed[-16:]
    padded = b"".join(part + bytes(-len(part) % 16) for part in (aad, ciphertext))
    message = padded + struct.pack("<QQ", len(aad), len(ciphertext))
    if not hmac.compare_digest(tag, poly1305(chacha20(key, nonce, 0, 32), message)):
        return None
    return bytes(a ^ b for a, b in zip(ciphertext, chacha20(key, nonce, 1, len(ciphertext))))


def aad_of(header):
    texts = b"".join(seal.lp(header[name]) for name in ("origin", "tenant", "plan"))
    version = header["data_version"].to_bytes(4, "big")
    return b"sealbus/aad/v2\n" + texts + bytes.fromhex(header["event_id"]) + seal.lp(header["type"]) + version


def wrap_aad(kek_id, tenant, subject, epoch, key_id):
    texts = b"".join(map(seal.lp, (kek_id, tenant, subject)))
    return b"sealbus/wrap/v2\n" + texts + epoch.to_bytes(4, "big") + bytes.fromhex(key_id.replace("-", ""))


def parts_of(envelope):
    """(key_id, nonce, commitment, ciphertext) of an envelope's text."""
    try:
        members = strict_json.read(envelope.encode())
        if members.keys() != {"ciphertext", "commitment", "key", "nonce", "scheme"} or members["scheme"] != "sealbus/envelope/v2":
            raise Refused("FORMAT")
        nonce, commitment, ciphertext = (note.bytes_of(members[name]) for name in ("nonce", "commitment", "ciphertext"))
        if not KEY_ID.fullmatch(members["key"]) or (len(nonce), len(commitment)) != (24, 32) or len(ciphertext) < 16:
            raise Refused("FORMAT")
    except (strict_json.Refused, note.Refused, AttributeError, TypeError):
        raise Refused("FORMAT") from None
    return members["key"], nonce, commitment, ciphertext


def keys_of(data_key, nonce):
    """(key, commitment): HKDF-SHA256 with the nonce as salt, 64 bytes."""
    extracted = seal.hmac_sha256(nonce, data_key)
    key = seal.hmac_sha256(extracted, b"sealbus/envelope/v2\n\x01")
    return key, seal.hmac_sha256(extracted, key + b"sealbus/envelope/v2\n\x02")


def open_envelope(envelope, data_key, aad):
    _, nonce, commitment, ciphertext = parts_of(envelope)
    key, expected = keys_of(data_key, nonce)
    if not hmac.compare_digest(commitment, expected):
        raise Refused("COMMITMENT")
    plaintext = aead_open(key, nonce, ciphertext, aad)
    if plaintext is None:
        raise Refused("AAD")
    return plaintext


def fault_of(data_keys, erased, event):
    """Check 16, and 20 where the data key is gone as an erasure says; None where the envelope opens."""
    if event.record["payload_mode"] != "encrypted":
        return None
    try:
        key_id = parts_of(event.record["payload"])[0]
        if key_id not in data_keys:
            return "ERASED" if key_id in erased else "KEY_LOST"
        open_envelope(event.record["payload"], data_keys[key_id], aad_of(event.header))
    except Refused as refused:
        return str(refused)
    return None
