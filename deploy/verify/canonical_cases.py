"""Makes the golden cases of canonical JSON (RFC 8785), which are documents, and doubles with their spelling."""

import struct

import seal
import strict_json

DOCUMENTS = {
    "order of names": '{"b":1,"a":2,"A":3,"10":4,"9":5,"":6,"\\u00e9":7,"z":8,"\\ufb33":9,"\\ud83d\\ude00":10,"\\u20ac":11,"\\r":12}',
    "nested": ' { "orders" : [ { "id" : "7", "lines" : [ { "sku" : "b", "n" : 2 }, { "sku" : "a", "n" : 1.50 } ] }, [ ], { } ] } ',
    "numbers": "[0, -0, 1.0, 10e-1, 1E2, 0.1, 1e-7, 123456.789, 1e21, 4.35, 5e-324, 1.7976931348623157e308, 0.000001]",
    "strings": '["\\"\\\\\\/\\b\\f\\n\\r\\t", "\\u0001\\u001f\\u007f\\u0080", "\\u00e9e\\u0301", "\\ud834\\udd1e", "\u2028</script>"]',
    "literals": '{"true":true,"false":false,"null":null,"list":[true,[false,[null]]]}',
    "names that need escapes": '{"\\u0022":1,"\\\\":2,"\\n":3,"a b":4,"a.b":5,"a/b":6}',
}
HASHED_NUMBERS = 500


def doubles():
    """Yields doubles with a short spelling, at the limits of the format, and with bits from a hash."""
    for exponent in range(-26, 27):
        yield from (float(f"1e{exponent}"), float(f"-1.5e{exponent}"), float(f"9.999999999999999e{exponent}"))
    for bits in (0, 1, 2, 0x000FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x433FFFFFFFFFFFFF, 0x4340000000000000, 1 << 63):
        yield struct.unpack(">d", bits.to_bytes(8, "big"))[0]
    for number in range(HASHED_NUMBERS):
        double = struct.unpack(">d", seal.sha256(b"golden %d" % number)[:8])[0]
        if abs(double) < float("inf"):
            yield double


def canonical_file():
    return {
        "about": "Made by deploy/verify/vectors.py. `numbers` are the bits of a double in hex, a comma, and its spelling.",
        "documents": [{"name": name, "input": text, "output": strict_json.canonicalise(text.encode()).decode()} for name, text in DOCUMENTS.items()],
        "numbers": [f"{struct.pack('>d', double).hex()},{strict_json.number_text(double)}" for double in doubles()],
    }
