"""Envelopes (docs/spec/integrity.md#erasure-envelopes): XChaCha20-Poly1305 (RFC 8439, draft-irtf-cfrg-xchacha), and check 16.

verify.py does not need this module, because a bundle contains no data keys.
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
    """The error of an envelope that does not open. The message is FORMAT, COMMITMENT or AAD."""


def words(data):
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def mixed(state):
    """Returns the state after the twenty rounds of ChaCha."""
    x = list(state)
    for _ in range(10):
        for a, b, c, d in DOUBLE_ROUND:
            for target, addend, rotated, bits in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]:
                x[target] = x[target] + x[addend] & 0xFFFFFFFF
                word = x[rotated] ^ x[target]
                x[rotated] = (word << bits | word >> 32 - bits) & 0xFFFFFFFF
    return x


def chacha20(key, nonce, counter, length):
    """Returns `length` bytes of the key stream, starting at block `counter`."""
    stream = b""
    while len(stream) < length:
        state = words(b"expand 32-byte k" + key) + [counter] + words(nonce)
        stream += struct.pack("<16I", *(a + b & 0xFFFFFFFF for a, b in zip(state, mixed(state))))
        counter += 1
    return stream[:length]


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for offset in range(0, len(message), 16):
        total = (total + int.from_bytes(message[offset : offset + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & 2**128 - 1).to_bytes(16, "little")


def aead_open(key, nonce, sealed, aad):
    """Decrypts ciphertext and tag. Returns None if they were not made with this key, nonce and AAD."""
    key, nonce = subkey_and_nonce(key, nonce)
    ciphertext, tag = sealed[:-16], sealed[-16:]
    if not hmac.compare_digest(tag, tag_of(key, nonce, ciphertext, aad)):
        return None
    return xor_stream(key, nonce, ciphertext)


def aead_seal(key, nonce, plaintext, aad):
    """Returns ciphertext and tag. Only test vectors are made with it: it is not constant in time."""
    key, nonce = subkey_and_nonce(key, nonce)
    ciphertext = xor_stream(key, nonce, plaintext)
    return ciphertext + tag_of(key, nonce, ciphertext, aad)


def subkey_and_nonce(key, nonce):
    """Derives the key and the 12-byte nonce of ChaCha20-Poly1305 from those of XChaCha20-Poly1305 (HChaCha20)."""
    state = mixed(words(b"expand 32-byte k" + key + nonce[:16]))
    return struct.pack("<8I", *state[:4], *state[12:]), bytes(4) + nonce[16:]


def xor_stream(key, nonce, data):
    """Encrypts or decrypts."""
    return bytes(a ^ b for a, b in zip(data, chacha20(key, nonce, 1, len(data))))


def tag_of(key, nonce, ciphertext, aad):
    padded = b"".join(part + bytes(-len(part) % 16) for part in (aad, ciphertext))
    message = padded + struct.pack("<QQ", len(aad), len(ciphertext))
    return poly1305(chacha20(key, nonce, 0, 32), message)


def aad_of(header):
    """Returns the associated data of the envelope of an event."""
    texts = b"".join(seal.lp(header[name]) for name in ("origin", "tenant", "plan"))
    version = header["data_version"].to_bytes(4, "big")
    return b"sealbus/aad/v2\n" + texts + bytes.fromhex(header["event_id"]) + seal.lp(header["type"]) + version


def wrap_aad(kek_id, tenant, subject, epoch, key_id):
    """Returns the associated data of a wrapped data key."""
    texts = b"".join(map(seal.lp, (kek_id, tenant, subject)))
    return b"sealbus/wrap/v2\n" + texts + epoch.to_bytes(4, "big") + bytes.fromhex(key_id.replace("-", ""))


def parts_of(envelope):
    """Parses the text of an envelope. Returns (key_id, nonce, commitment, ciphertext)."""
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
    """Returns (key, commitment), the 64 bytes of HKDF-SHA256 with the nonce as salt."""
    extracted = seal.hmac_sha256(nonce, data_key)
    key = seal.hmac_sha256(extracted, b"sealbus/envelope/v2\n\x01")
    return key, seal.hmac_sha256(extracted, key + b"sealbus/envelope/v2\n\x02")


def open_envelope(envelope, data_key, aad):
    """Returns the plaintext of an envelope."""
    _, nonce, commitment, ciphertext = parts_of(envelope)
    key, expected = keys_of(data_key, nonce)
    if not hmac.compare_digest(commitment, expected):
        raise Refused("COMMITMENT")
    plaintext = aead_open(key, nonce, ciphertext, aad)
    if plaintext is None:
        raise Refused("AAD")
    check_plaintext(plaintext)
    return plaintext


def check_plaintext(plaintext):
    """Checks that the plaintext is the canonical text of data and metadata, each within its limits."""
    try:
        # Data and metadata may each be MAX_DEPTH levels deep, inside one object.
        members = strict_json.Reader(plaintext.decode(), strict_json.strict_number, strict_json.MAX_DEPTH + 1).whole()
    except (UnicodeDecodeError, strict_json.Refused):
        raise Refused("FORMAT") from None
    size_of = lambda name: len(strict_json.write(members[name]).encode())
    is_valid = (
        isinstance(members, dict) and members.keys() == {"data", "metadata"} and isinstance(members["metadata"], dict)
        and "sealbus" not in members["metadata"] and strict_json.write(members).encode() == plaintext
        and size_of("data") <= strict_json.MAX_PAYLOAD and size_of("metadata") <= strict_json.MAX_METADATA
    )
    if not is_valid:
        raise Refused("FORMAT")


def fault_of(data_keys, erased, event):
    """Returns the verdict of check 16, or ERASED (check 20) if an erasure names the missing data key. None if the envelope opens."""
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
