"""Makes the golden cases of strict JSON, which are accepted, refused and stored texts."""

import base64

import strict_json

# Accepted texts; the canonical form is computed.
TAKEN = [
    "null", " true ", '"x"', "-12.50", "{}", "[ ]", '{"":{"":[]}}', '{"b":[2,{"d":4,"c":3}],"a":1}', '{"a":1,"A":2,"aa":3,"Z":4}',
    '{"\\ue000":1,"😀":2,"z":3,"\\t":4}', '"\\u0041\\u000a\\u001F\\/\\b\\f"', '"\\"\\\\"', '"\x7f\u0080\u2028\ufeff"', '"\\uD834\\uDD1E"', '"\\uFFFF"',
    "[1.0,1e0,10E-1,0.1e+1,100e-2]", "[-0,-0.0,0e9,-0E-9]", "[9007199254740991,-9007199254740991,9007199254740990.6]", "[1e21,-1e21,1e+300]",
    "[0.000001,0.0000001,1e-6,1e-7]", "[1.7976931348623157e308,2.2250738585072014e-308,5e-324,2e-324]",
    "[0.1,0.30000000000000004,1.1e1,123456.789e3,4.35,0.5e-5]", "[123456789012345.6,1234567890123456.7,0.12345678901234567890123]",
    "[1e5,1.5e9,9007199254740.9915]", "[[[[[[]]]]]]", '{"é":1,"e\u0301":2}', "[" * 64 + "]" * 64,
]
REFUSED = [
    ("json_syntax", ["", " ", "tru", "True", "NaN", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "0x1", "1 1", "[1,]", "[,]", "{\"a\":1,}",
                     "{a:1}", "{'a':1}", "{\"a\"1}", "[1", "{\"a\"", "\"a", "\"\\x\"", "\"\\u12g4\"", "\"\n\"", "\"\0\"", "\ufeff1", "1\u00a0",
                     "/**/1", "[1]]", "{\"a\":1}}", "١"]),
    ("json_depth", ["[" * 65 + "]" * 65, '{"a":' * 65 + "1" + "}" * 65]),
    ("json_duplicate_key", ['{"a":1,"a":1}', '{"\\u0062":1,"b":2}', '[{"x":{"":1,"":2}}]']),
    ("json_lone_surrogate", ['"\\ud800"', '"\\udfff"', '"\\ud800\\ue000"', '"\\udc00\\ud800"', '"\\udbff\\n"', '{"\\ud800":1}']),
    ("json_nul", ['"\\u0000"', '"a\\u0000b"', '{"\\u0000":1}']),
    ("json_integer_range", ["9007199254740992", "-9007199254740992", "12345678901234567890", "9007199254740991.6", "1e20", "-1.5e18",
                            "0.9007199254740993e16", "9" * 400, "18446744073709551616"]),
    ("json_number_range", ["1e309", "-1e309", "1.7976931348623159e308", "1e99999"]),
]
NOT_UTF_8 = [b'"\x80"', b'"\xc0\x80"', b'"\xed\xbf\xbf"', b'"\xf5\x80\x80\x80"', b'"\xc3', b"\xff\xfe\x31\x00"]
STORED = [
    ('{"a":0.5}', '{"a": 0.50}', True), ('{"a":0.5}', '{"a":0.5000000000000000000000001}', False), ("[1e+22]", "[10000000000000000000000]", True),
    ("[1e+22]", "[10000000000000000000001]", False), ("[0]", "[-0.000e7]", True), ("[0]", "[1e-999]", False), ("[5e-324]", "[4.9e-324]", False),
    ('{"a":1,"b":2}', '{"b":2,"a":1}', True), ('{"a":1}', '{"a":1,"a":1}', False), ('"é"', '"\\u00E9"', True), ('"é"', '"e\u0301"', False),
    ("true", "false", False), ("1", "1 ", True), ("1", "", False), ("[1]", "[1", False),
]


def strict_file():
    cases = [{"name": f"taken {n}", "input": text, "canonical": strict_json.canonicalise(text.encode())} for n, text in enumerate(TAKEN)]
    refused = [(code, text.encode()) for code, texts in REFUSED for text in texts] + [("json_utf8", text) for text in NOT_UTF_8]
    for n, (code, text) in enumerate(refused):
        cases.append({"name": f"refused {n}", "input_b64": base64.b64encode(text).decode(), "refused": code})
    for text, cap, result in [('"123"', 5, None), ('"123"', 4, "json_size"), ("[1e-6]", 9, "json_size"), ("1    ", 4, "json_size")]:
        case = {"name": f"{text!r} within {cap}", "input": text, "max_bytes": cap}
        cases.append(case | ({"refused": result} if result else {"canonical": text.encode()}))
    stored = [{"name": f"{kept} for {sealed}", "canonical": sealed, "stored": kept, "same": same} for sealed, kept, same in STORED]
    return {
        "about": "Made by deploy/verify/vectors.py. `canonical` is hex, `refused` the code; `stored`: does the text still match?",
        "max_depth": strict_json.MAX_DEPTH, "max_bytes": strict_json.MAX_PAYLOAD, "cases": cases, "stored": stored,
    }
