"""Which JSON is taken, the one canonical text of it (RFC 8785), and when a stored text still is what was sealed."""

import re
from decimal import Decimal
from hashlib import sha256

MAX_PAYLOAD, MAX_METADATA, MAX_DEPTH = 262_144, 16_384, 64
MAX_INTEGER = 2**53 - 1

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
SPACE = re.compile(r"[ \t\n\r]*")
PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
ESCAPED_UNIT = re.compile(r"\\u([0-9a-fA-F]{4})")
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
LITERALS = {"true": True, "false": False, "null": None}


class Refused(Exception):
    """Carries one of the nine codes."""


def read(text, max_bytes=MAX_PAYLOAD):
    """The value of a JSON text, given as bytes."""
    if len(text) > max_bytes:
        raise Refused("json_size")
    try:
        return Reader(text.decode("utf-8"), strict_number).whole()
    except UnicodeDecodeError:
        raise Refused("json_utf8") from None


def canonicalise(text, max_bytes=MAX_PAYLOAD):
    canonical = write(read(text, max_bytes)).encode()
    if len(canonical) > max_bytes:
        raise Refused("json_size")
    return canonical


def stored_matches(stored, sealed):
    """Whether stored text still hashes to `sealed`, as it is or as its canonical form without a number changed."""
    if sha256(stored.encode()).digest() == sealed:
        return True
    try:
        return sha256(write(Reader(stored, stored_number).whole()).encode()).digest() == sealed
    except Refused:
        return False


class Reader:
    def __init__(self, text, number):
        self.text, self.at, self.depth, self.number = text, 0, 0, number

    def whole(self):
        value = self.value()
        self.space()
        if self.at != len(self.text):
            raise Refused("json_syntax")
        return value

    def space(self):
        self.at = SPACE.match(self.text, self.at).end()

    def takes(self, token):
        found = self.text.startswith(token, self.at)
        self.at += len(token) if found else 0
        return found

    def expect(self, token):
        if not self.takes(token):
            raise Refused("json_syntax")

    def value(self):
        self.space()
        if self.takes('"'):
            return self.string()
        if self.takes("["):
            return self.array()
        if self.takes("{"):
            return self.object()
        for literal, value in LITERALS.items():
            if self.takes(literal):
                return value
        spelling = NUMBER.match(self.text, self.at)
        if not spelling:
            raise Refused("json_syntax")
        self.at = spelling.end()
        return self.number(spelling[0], digits_only=spelling[1] is None and spelling[2] is None)

    def enter(self):
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Refused("json_depth")
        self.space()

    def goes_on(self, close):
        self.space()
        if self.takes(","):
            return True
        self.expect(close)
        self.depth -= 1
        return False

    def array(self):
        self.enter()
        if self.text.startswith("]", self.at):
            self.goes_on("]")
            return []
        parts = [self.value()]
        while self.goes_on("]"):
            parts.append(self.value())
        return parts

    def object(self):
        self.enter()
        members = {}
        if self.text.startswith("}", self.at):
            self.goes_on("}")
            return members
        while True:
            self.space()
            self.expect('"')
            name = self.string()
            self.space()
            self.expect(":")
            if name in members:
                raise Refused("json_duplicate_key")
            members[name] = self.value()
            if not self.goes_on("}"):
                return members

    def string(self):
        parts = []
        while True:
            plain = PLAIN.match(self.text, self.at)
            parts.append(plain[0])
            self.at = plain.end()
            if self.takes('"'):
                return "".join(parts)
            self.expect("\\")
            parts.append(self.escape())

    def escape(self):
        if unit := ESCAPED_UNIT.match(self.text, self.at - 1):
            self.at = unit.end()
            return self.unicode(int(unit[1], 16))
        character = ESCAPES.get(self.text[self.at : self.at + 1])
        if character is None:
            raise Refused("json_syntax")
        self.at += 1
        return character

    def unicode(self, unit):
        if unit == 0:
            raise Refused("json_nul")
        if not 0xD800 <= unit < 0xE000:
            return chr(unit)
        low = ESCAPED_UNIT.match(self.text, self.at)
        if unit >= 0xDC00 or not low or not 0xDC00 <= int(low[1], 16) < 0xE000:
            raise Refused("json_lone_surrogate")
        self.at = low.end()
        return chr(0x10000 + (unit - 0xD800 << 10) + int(low[1], 16) - 0xDC00)


def strict_number(spelling, digits_only):
    if digits_only and (len(spelling) > 17 or abs(int(spelling)) > MAX_INTEGER):
        raise Refused("json_integer_range")
    double = nearest(spelling)
    if MAX_INTEGER < abs(double) < 1e21:  # RFC 8785 would spell it with digits only
        raise Refused("json_integer_range")
    return double


def stored_number(spelling, digits_only):
    double = nearest(spelling)
    # Without this a number could be moved within its double.
    if double == 0:
        same = not re.search("[1-9]", re.split("[eE]", spelling)[0])
    else:
        same = Decimal(spelling) == Decimal(number_text(double))
    if not same:
        raise Refused("json_number_range")
    return double


def nearest(spelling):
    double = float(spelling)
    if double in (float("inf"), float("-inf")):
        raise Refused("json_number_range")
    return double


def write(value):
    """The RFC 8785 text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return number_text(float(value))
    if isinstance(value, str):
        return string_text(value)
    if isinstance(value, list):
        return "[" + ",".join(write(part) for part in value) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(f"{string_text(name)}:{write(value[name])}" for name in names) + "}"


def string_text(text):
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'


def number_text(double):
    """ECMAScript's Number::toString, from Python's shortest digits."""
    if double == 0:
        return "0"
    sign = "-" if double < 0 else ""
    _, digits, exponent = Decimal(repr(abs(double))).as_tuple()
    digits = "".join(map(str, digits))
    point = len(digits) + exponent
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"
