"""Strict JSON, its canonical form (RFC 8785), and the comparison of stored text with a sealed hash
(docs/spec/integrity.md#canonical-payload)."""

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
    """The error of a refused text. The message is one of the nine codes, such as json_syntax."""


def read(text, max_bytes=MAX_PAYLOAD):
    """Parses the bytes of a JSON text."""
    if len(text) > max_bytes:
        raise Refused("json_size")
    try:
        return Reader(text.decode("utf-8"), strict_number).whole()
    except UnicodeDecodeError:
        raise Refused("json_utf8") from None


def canonicalise(text, max_bytes=MAX_PAYLOAD):
    """Returns the canonical form of the bytes of a JSON text."""
    canonical = write(read(text, max_bytes)).encode()
    if len(canonical) > max_bytes:
        raise Refused("json_size")
    return canonical


def stored_matches(stored, sealed):
    """Returns whether stored text matches a sealed hash, as it is or in canonical form with all numbers unchanged."""
    if sha256(stored.encode()).digest() == sealed:
        return True
    try:
        return sha256(write(Reader(stored, stored_number).whole()).encode()).digest() == sealed
    except Refused:
        return False


class Reader:
    """A recursive-descent parser. `number` converts the spelling of a number."""

    def __init__(self, text, number, max_depth=MAX_DEPTH):
        self.text, self.position, self.depth, self.number, self.max_depth = text, 0, 0, number, max_depth

    def whole(self):
        """Parses the whole text as one value."""
        value = self.value()
        self.space()
        if self.position != len(self.text):
            raise Refused("json_syntax")
        return value

    def space(self):
        self.position = SPACE.match(self.text, self.position).end()

    def consume(self, token):
        """Consumes the token and returns true, if the text continues with it."""
        found = self.text.startswith(token, self.position)
        self.position += len(token) if found else 0
        return found

    def expect(self, token):
        if not self.consume(token):
            raise Refused("json_syntax")

    def value(self):
        self.space()
        if self.consume('"'):
            return self.string()
        if self.consume("["):
            return self.array()
        if self.consume("{"):
            return self.object()
        for literal, value in LITERALS.items():
            if self.consume(literal):
                return value
        spelling = NUMBER.match(self.text, self.position)
        if not spelling:
            raise Refused("json_syntax")
        self.position = spelling.end()
        return self.number(spelling[0], digits_only=spelling[1] is None and spelling[2] is None)

    def enter(self):
        """Enters an array or object."""
        self.depth += 1
        if self.depth > self.max_depth:
            raise Refused("json_depth")
        self.space()

    def has_next(self, close):
        """Consumes a comma and returns true, or the closing bracket and returns false."""
        self.space()
        if self.consume(","):
            return True
        self.expect(close)
        self.depth -= 1
        return False

    def array(self):
        self.enter()
        if self.text.startswith("]", self.position):
            self.has_next("]")
            return []
        parts = [self.value()]
        while self.has_next("]"):
            parts.append(self.value())
        return parts

    def object(self):
        self.enter()
        members = {}
        if self.text.startswith("}", self.position):
            self.has_next("}")
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
            if not self.has_next("}"):
                return members

    def string(self):
        parts = []
        while True:
            plain = PLAIN.match(self.text, self.position)
            parts.append(plain[0])
            self.position = plain.end()
            if self.consume('"'):
                return "".join(parts)
            self.expect("\\")
            parts.append(self.escape())

    def escape(self):
        if unit := ESCAPED_UNIT.match(self.text, self.position - 1):
            self.position = unit.end()
            return self.unicode(int(unit[1], 16))
        character = ESCAPES.get(self.text[self.position : self.position + 1])
        if character is None:
            raise Refused("json_syntax")
        self.position += 1
        return character

    def unicode(self, unit):
        if unit == 0:
            raise Refused("json_nul")
        if not 0xD800 <= unit < 0xE000:
            return chr(unit)
        low = ESCAPED_UNIT.match(self.text, self.position)
        if unit >= 0xDC00 or not low or not 0xDC00 <= int(low[1], 16) < 0xE000:
            raise Refused("json_lone_surrogate")
        self.position = low.end()
        return chr(0x10000 + (unit - 0xD800 << 10) + int(low[1], 16) - 0xDC00)


def strict_number(spelling, digits_only):
    """Converts a number as the strict reader does."""
    if digits_only and (len(spelling) > 17 or abs(int(spelling)) > MAX_INTEGER):
        raise Refused("json_integer_range")
    double = nearest(spelling)
    if MAX_INTEGER < abs(double) < 1e21:  # RFC 8785 would spell it with digits only
        raise Refused("json_integer_range")
    return double


def stored_number(spelling, digits_only):
    """Converts a number of stored text. Its decimal value has to equal that of its canonical spelling."""
    double = nearest(spelling)
    # Otherwise a number could be changed to another that rounds to the same double.
    if double == 0:
        same = not re.search("[1-9]", re.split("[eE]", spelling)[0])
    else:
        same = Decimal(spelling) == Decimal(number_text(double))
    if not same:
        raise Refused("json_number_range")
    return double


def nearest(spelling):
    """Returns the nearest double."""
    double = float(spelling)
    if double in (float("inf"), float("-inf")):
        raise Refused("json_number_range")
    return double


def write(value):
    """Returns the RFC 8785 text of a value."""
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
    """Formats a double as ECMAScript's Number::toString does, using Python's shortest digits."""
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
