"""Ed25519 (RFC 8032), cofactorless, with strict rules: S below the group order, A canonical, neither A nor R of small order.

This code is slow and not constant in time. Use it for verification and test keys only, never with real private keys.
"""

from hashlib import sha512

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)  # extended coordinates: x = X/Z, y = Y/Z, T = XY/Z


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    product = NEUTRAL
    while scalar:
        if scalar & 1:
            product = add(product, point)
        point, scalar = add(point, point), scalar >> 1
    return product


def compress(point):
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decompress(encoded):
    """Returns the point, or None if the bytes are not its canonical encoding."""
    if len(encoded) != 32:
        return None
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def is_of_small_order(point):
    return compress(multiply(8, point)) == compress(NEUTRAL)


BASE = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def _expand(seed):
    digest = sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & (1 << 254) - 8 | 1 << 254, digest[32:]


def _challenge(*parts):
    return int.from_bytes(sha512(b"".join(parts)).digest(), "little") % ORDER


def public_of(seed):
    return compress(multiply(_expand(seed)[0], BASE))


def sign(seed, message):
    (scalar, prefix), public = _expand(seed), public_of(seed)
    nonce = _challenge(prefix, message)
    r = compress(multiply(nonce, BASE))
    s = (nonce + _challenge(r, public, message) * scalar) % ORDER
    return r + s.to_bytes(32, "little")


def verify(public, message, signature):
    a, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= ORDER or a is None or r is None or is_of_small_order(a) or is_of_small_order(r):
        return False
    k = _challenge(signature[:32], public, message)
    return compress(multiply(s, BASE)) == compress(add(r, multiply(k, a)))
