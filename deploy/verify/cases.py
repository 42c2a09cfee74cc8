"""The project's own golden cases. Keys are made of their names, so that the files come out the same each time."""

import base64
from hashlib import sha512

import ed25519
import seal
import strict_json
from seal import sha256

ORIGIN = "bus.golden/main"


def hmac_key(name, size):
    return f"hmac-{sha256(name.encode())[:8].hex()}", {"secret": sha512(b"golden " + name.encode()).digest()[:size]}


def ed25519_key(name):
    seed = sha256(b"golden " + name.encode())
    public = ed25519.public_of(seed)
    return seal.key_id(public), {"seed": seed, "public": public}


HMAC, HMAC_LONG = hmac_key("mac", 32), hmac_key("long mac", 64)
SIGN, SIGN_NEXT = ed25519_key("signer"), ed25519_key("next signer")
KEYS = dict([HMAC, HMAC_LONG, SIGN, SIGN_NEXT])
V1_SECRET = sha256(b"golden older contract")


def event_of(key, payload, metadata="{}", before=None, **fields):
    """An event's header fields, its canonical texts, and its seal."""
    canonical = strict_json.canonicalise(payload.encode())
    canonical_metadata = strict_json.canonicalise(metadata.encode(), strict_json.MAX_METADATA)
    event = {
        "origin": ORIGIN, "tenant": "acme", "plan": "case-7", "seq": 1, "event_id": "01930000000070008000000000000001",
        "type": "case.opened", "data_version": 1, "occurred_us": "1763600400000000", "recorded_us": "1763600400250000",
        "source": "urn:golden", "actor": "tester", "correlation_id": "", "causation_id": "", "payload_mode": 1,
    } | fields
    event |= {"payload_size": len(canonical), "payload_hash": sha256(canonical).hex()}
    first = seal.genesis(event["origin"], event["tenant"], event["plan"]).hex()
    event |= {"metadata_hash": sha256(canonical_metadata).hex(), "prev": before or first, "kid": key[0]}
    seal.check_header(event)
    return event, canonical, canonical_metadata, seal.seal(event, key[1])


def sealed_cases():
    long = {
        "origin": "o" * 255, "tenant": "T" * 64, "plan": "é" * 127 + "p", "type": "~" * 255, "seq": 2**53 - 1,
        "data_version": 2**31 - 1, "source": "s" * 1024, "actor": "😀" * 63, "correlation_id": "c" * 255, "causation_id": "d" * 255,
    }
    short = {"origin": "o", "tenant": "t", "plan": "p", "type": "!", "source": "", "actor": ""}
    ends = {"occurred_us": str(seal.FIRST_TIME), "recorded_us": str(seal.LAST_TIME)}
    for name, key, payload, metadata, fields in [
        ("hmac", HMAC, '{"to": "é", "amount": 12.50}', "{}", {}),
        ("hmac, long secret", HMAC_LONG, "[1,2,3]", '{"ip":"198.51.100.7"}', {"seq": 2, "before": "11" * 32}),
        ("ed25519", SIGN, '{"to": "é", "amount": 12.50}', "{}", {}),
        ("ed25519, another key", SIGN_NEXT, "true", '{"sealbus":{"auth":"mtls","priority":"high"}}', {"plan": "case-8"}),
        ("no data", SIGN, "null", "{}", {"type": "case.closed"}),
        ("hash-only", SIGN, '{"iban":"GB33BUKB20201555555555"}', "{}", {"payload_mode": 3}),
        ("encrypted", HMAC, '{"scheme":"sealbus/envelope/v2","nonce":"AA=="}', "{}", {"payload_mode": 2}),
        ("longest", SIGN, "{}", "{}", long),
        ("shortest", HMAC, "0", "{}", short),
        ("first and last moment", SIGN, "{}", "{}", ends),
        ("before 1970", HMAC, "{}", "{}", {"occurred_us": "-1"}),
        ("composed", SIGN, '"\\u00e9"', "{}", {"plan": "\u00e9"}),
        ("decomposed", SIGN, '"e\\u0301"', "{}", {"plan": "e\u0301"}),
        ("boundary", HMAC, "{}", "{}", {"tenant": "ab", "plan": "c"}),
        ("boundary moved", HMAC, "{}", "{}", {"tenant": "a", "plan": "bc"}),
    ]:
        event, canonical, canonical_metadata, (event_hash, mac, sig) = event_of(key, payload, metadata, **fields)
        header = seal.encode(event)
        leaf = seal.leaf_of(header, mac, sig)
        expect = {
            "canonical_payload": canonical, "canonical_metadata": canonical_metadata, "header": header, "event_hash": event_hash,
            "genesis": seal.genesis(event["origin"], event["tenant"], event["plan"]), "mac": mac, "sig": sig,
            "leaf": leaf, "leaf_hash": seal.leaf_hash(leaf),
        }
        if "secret" in key[1]:
            expect["plan_key"] = seal.plan_key(key[1]["secret"], event["origin"], event["tenant"], event["plan"])
        yield {"name": name, "event": event, "payload": payload, "metadata": metadata, "expect": expect}


def refused_headers():
    event = event_of(HMAC, "{}")[0]
    good = seal.encode(event)
    changed = lambda **fields: seal.encode(event | fields)
    for name, header, verdict in [
        ("empty", b"", "FORMAT"),
        ("label of version 1", good.replace(b"event/v2", b"event/v1", 1), "FORMAT"),
        ("suite 0", good[:17] + b"\x00" + good[18:], "FORMAT"),
        ("suite 7", good[:17] + b"\x07" + good[18:], "FORMAT"),
        ("the other suite", good[:17] + b"\x02" + good[18:], "SUITE"),
        ("cut", good[:-1], "FORMAT"),
        ("a byte more", good + b"\x00", "FORMAT"),
        ("a length of 4 GiB", good[:18] + b"\xff" * 4 + good[22:], "FORMAT"),
        ("plan not UTF-8", good.replace(b"case-7", b"case-\xc3", 1), "FORMAT"),
        ("origin with a plus", changed(origin="a+b"), "FORMAT"),
        ("origin empty", changed(origin=""), "FORMAT"),
        ("tenant with a slash", changed(tenant="a/b"), "FORMAT"),
        ("tenant of 65", changed(tenant="t" * 65), "FORMAT"),
        ("plan with a tab", changed(plan="a\tb"), "FORMAT"),
        ("plan with U+009F", changed(plan="\u009f"), "FORMAT"),
        ("plan of 256 bytes", changed(plan="é" * 128), "FORMAT"),
        ("seq 0", changed(seq=0), "FORMAT"),
        ("seq 2^53", changed(seq=2**53), "FORMAT"),
        ("type with a space", changed(type="a b"), "FORMAT"),
        ("data_version 0", changed(data_version=0), "FORMAT"),
        ("data_version 2^31", changed(data_version=2**31), "FORMAT"),
        ("occurred in year 0", changed(occurred_us=seal.FIRST_TIME - 1), "FORMAT"),
        ("recorded in year 10000", changed(recorded_us=seal.LAST_TIME + 1), "FORMAT"),
        ("source of 1,025", changed(source="s" * 1025), "FORMAT"),
        ("actor with DEL", changed(actor="\x7f"), "FORMAT"),
        ("payload_mode 4", changed(payload_mode=4), "FORMAT"),
        ("a key that seals nothing", changed(kid="log-0123456789abcdef"), "FORMAT"),
        ("a kid cut", changed(kid=HMAC[0][:-1]), "FORMAT"),
    ]:
        yield {"name": name, "header": header, "refused": verdict}


def refused_leaves():
    event, _, _, (_, mac, _) = event_of(HMAC, "{}")
    header = seal.encode(event)
    good = seal.leaf_of(header, mac, b"")
    for name, leaf in [
        ("a byte more", good + b"\x00"), ("cut", good[:-1]), ("another label", good.replace(b"leaf/v1", b"leaf/v9", 1)),
        ("header with a byte more", seal.leaf_of(header + b"\x00", mac, b"")), ("a MAC of 31 bytes", seal.leaf_of(header, mac[:31], b"")),
    ]:
        yield {"name": name, "leaf": leaf, "refused": "FORMAT"}


def seals():
    mac_event, _, _, (mac_hash, mac, _) = event_of(HMAC, "{}")
    sig_event, _, _, (sig_hash, _, sig) = event_of(SIGN, "{}")
    plan_key = seal.plan_key(HMAC[1]["secret"], ORIGIN, "acme", "case-7")
    s_raised = (int.from_bytes(sig[32:], "little") + ed25519.ORDER).to_bytes(32, "little")
    flipped = lambda data: bytes([data[0] ^ 1]) + data[1:]
    small = b"\x01" + bytes(31)
    for name, kid, event_hash, mac, sig, key, result in [
        ("a right MAC", HMAC[0], mac_hash, mac, b"", plan_key, "ok"),
        ("a right signature", SIGN[0], sig_hash, b"", sig, SIGN[1]["public"], "ok"),
        ("a MAC with a bit flipped", HMAC[0], mac_hash, flipped(mac), b"", plan_key, "MAC"),
        ("a MAC cut", HMAC[0], mac_hash, mac[:31], b"", plan_key, "MAC"),
        ("no MAC", HMAC[0], mac_hash, b"", b"", plan_key, "MAC"),
        ("the MAC of another event", HMAC[0], sig_hash, mac, b"", plan_key, "MAC"),
        ("a signature beside the MAC", HMAC[0], mac_hash, mac, sig, plan_key, "SUITE"),
        ("no signature", SIGN[0], sig_hash, b"", b"", SIGN[1]["public"], "SUITE"),
        ("a MAC beside the signature", SIGN[0], sig_hash, mac, sig, SIGN[1]["public"], "SUITE"),
        ("a signature with a bit flipped", SIGN[0], sig_hash, b"", flipped(sig), SIGN[1]["public"], "SIGNATURE"),
        ("a signature cut", SIGN[0], sig_hash, b"", sig[:63], SIGN[1]["public"], "SIGNATURE"),
        ("a signature with a byte more", SIGN[0], sig_hash, b"", sig + b"\x00", SIGN[1]["public"], "SIGNATURE"),
        ("S raised by the group order", SIGN[0], sig_hash, b"", sig[:32] + s_raised, SIGN[1]["public"], "SIGNATURE"),
        ("the signature of another event", SIGN[0], mac_hash, b"", sig, SIGN[1]["public"], "SIGNATURE"),
        ("all of small order", SIGN[0], sig_hash, b"", small + bytes(32), small, "SIGNATURE"),
        ("R of small order", SIGN[0], sig_hash, b"", small + sig[32:], SIGN[1]["public"], "SIGNATURE"),
    ]:
        yield {"name": name, "kid": kid, "event_hash": event_hash, "mac": mac, "sig": sig, "key": key, "result": result}


def result_or_refused(name, make):
    try:
        return {name: make()}
    except seal.Refused as refused:
        return {"refused": str(refused)}


def event_ids():
    for tenant, source, text in [
        ("acme", "s", "01930000-0000-7000-8000-000000000001"), ("acme", "s", "01930000-0000-7000-8000-00000000000A"),
        ("acme", "s", "ffffffff-ffff-ffff-ffff-ffffffffffff"), ("acme", "s", "0193000000007000800000000000000a"),
        ("acme", "s", "invoice 7"), ("acme", "", "sinvoice 7"), ("acm", "es", "invoice 7"), ("acme", "s", "é" * 512),
        ("acme", "s", "é" * 512 + "x"), ("acme", "s", ""), ("acme", "s", "a\x85"),
    ]:
        case = {"tenant": tenant, "source": source, "id": text}
        yield case | result_or_refused("event_id", lambda: seal.event_id(tenant, source, text))


def times():
    for text in [
        "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "2000-02-29T23:59:59.1234567890123456789Z", "1900-02-29T00:00:00Z",
        "2026-11-20t10:00:00.5z", "2026-11-20T10:00:00.05-23:59", "2026-11-20T10:00:00+00:00", "2026-11-20T10:00:00+0000",
        "2026-11-20T10:00:00", "2026-11-20T10:00:60Z", "2026-11-20T24:00:00Z", "2026-11-20T10:00:00.Z", "2026-1-20T10:00:00Z",
        "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00-23:59",
        "2026-11-20T10:00:00 Z", "２026-11-20T10:00:00Z", "",
    ]:
        yield {"text": text} | result_or_refused("us", lambda: str(seal.microseconds(text)))


def key_proofs():
    for key, by in [(SIGN, SIGN), (SIGN_NEXT, SIGN), (HMAC, SIGN), (HMAC_LONG, HMAC)]:
        yield {"origin": ORIGIN, "kid": key[0], "by": by[0], "proof": seal.key_proof(ORIGIN, key[0], by[0], key[1])}


def secrets():
    for secret in [bytes(64), bytes(range(31)), bytes(range(7)) * 10, bytes(range(8)) * 4, bytes(range(32))]:
        yield {"secret": secret, "weak": seal.is_weak(secret)}


def v1():
    cases, prev = [], None
    for event_type, payload in [("case.opened", '{"b":1,"a":[1.0]}'), ("case.noted", '"ü"'), ("case.closed", "null")]:
        canonical = strict_json.canonicalise(payload.encode())
        payload_hash = sha256(canonical).hex()
        signature = seal.v1_signature(V1_SECRET, "older/ß", event_type, payload_hash, prev)
        cases.append({
            "plan": "older/ß", "type": event_type, "payload": payload, "canonical_payload": canonical.decode(),
            "payload_hash": payload_hash, "prev_hash": prev, "signature": signature,
        })
        prev = signature
    refused = [{"plan": plan, "type": kind, "refused": "FORMAT"} for plan, kind in [("a|b", "c"), ("a", "b|c"), ("|", "x")]]
    return {"secret": V1_SECRET, "cases": cases, "refused": refused}


def record(key, seq_before, payload, index, mode=1, v1_before=None, carries_v1=False, **fields):
    """An event in the bundle's form, after `seq_before`, the record before it in its plan."""
    before = seq_before and seq_before["event_hash"]
    seq = seq_before["seq"] + 1 if seq_before else 1
    at = 1763600400000000 + 1000000 * seq
    number = f"{sha256(str((fields, seq)).encode())[:6].hex()}"
    fields = {"event_id": "019300000000700080" + "00" + number, "occurred_us": str(at), "recorded_us": str(at)} | fields
    event, canonical, metadata, (event_hash, mac, sig) = event_of(
        key, payload, '{"sealbus":{"auth":"token"}}', before, seq=seq, payload_mode=mode, **fields
    )
    stamp = lambda us: strict_time(int(us))
    made = {
        name: event[name]
        for name in ("tenant", "plan", "seq", "type", "data_version", "source", "actor", "correlation_id", "causation_id",
                     "payload_size", "payload_hash", "metadata_hash", "prev", "kid")
    } | {
        "event_id": str(seal.UUID(event["event_id"])), "occurred": stamp(event["occurred_us"]), "recorded": stamp(event["recorded_us"]),
        "payload_mode": ["plain", "encrypted", "hash-only"][mode - 1], "event_hash": event_hash.hex(), "mac": mac.hex(),
        "sig": sig.hex(), "payload": None if mode == 3 else canonical.decode(), "metadata": metadata.decode(), "log_index": index,
    }
    if carries_v1:
        prev = seq_before["v1"]["signature"] if seq_before else None
        signature = seal.v1_signature(V1_SECRET, event["plan"], event["type"], event["payload_hash"], prev)
        made["v1"] = {"payload_hash": event["payload_hash"], "prev_hash": prev, "signature": signature}
    return made


def strict_time(us):
    from datetime import datetime, timedelta

    return (datetime(1970, 1, 1) + timedelta(microseconds=us)).isoformat(timespec="microseconds") + "Z"


def added(key, by):
    proof = base64.b64encode(seal.key_proof(ORIGIN, key[0], by[0], key[1])).decode()
    payload = {"kid": key[0], "proof": proof}
    if "public" in key[1]:
        payload["public"] = base64.b64encode(key[1]["public"]).decode()
    return strict_json.write(payload)


def chain():
    """A small ledger with `_keys`, both suites and a v1 plan; and what is found when it is tampered with."""
    keys = [record(SIGN, None, added(SIGN, SIGN), 0, tenant="_system", plan="_keys", type="key.added")]
    keys.append(record(SIGN, keys[-1], added(HMAC, SIGN), 1, tenant="_system", plan="_keys", type="key.added"))
    case = [record(HMAC, None, '{"amount":"10.00","n":1}', 2)]
    for key, payload, index in [(HMAC, '{"amount":"11.00","n":2.5}', 4), (SIGN, '{"n":3}', 5), (SIGN, '{"n":4}', 7), (SIGN, "[]", None)]:
        case.append(record(key, case[-1], payload, index, type="case.noted"))
    secret = [record(SIGN, None, '{"iban":"x"}', 3, mode=3, plan="private-1")]
    older = [record(SIGN, None, '{"n":1}', 6, plan="older-1", carries_v1=True)]
    older.append(record(SIGN, older[-1], '{"n":2}', 8, plan="older-1", carries_v1=True))
    records = {f'{r["tenant"]}/{r["plan"]}/{r["seq"]}': r for r in keys + case + secret + older}

    rewritten = record(HMAC, case[2], '{"n":99}', 7, type="case.noted")
    forked = record(SIGN, case[1], '{"n":"other"}', None, type="case.noted")
    early = record(SIGN, case[3], "[]", None, type="case.noted", recorded_us="1763600400000000")
    place = "acme/case-7/{}".format
    tampered = [
        ("nothing changed", {}, []),
        ("payload changed", {place(2): {"payload": '{"amount":"12.00","n":2.5}'}}, [("PAYLOAD_HASH", place(2))]),
        ("payload spelled anew", {place(2): {"payload": '{ "n" : 25e-1, "amount" : "\\u00311.00" }'}}, []),
        ("a number moved within its double", {place(2): {"payload": '{"amount":"11.00","n":2.50000000000000000001}'}}, [("PAYLOAD_HASH", place(2))]),
        ("hash-only payload put back", {"acme/private-1/1": {"payload": '{"iban":"x"}'}}, [("PAYLOAD_HASH", "acme/private-1/1")]),
        ("metadata changed", {place(3): {"metadata": "{}"}}, [("METADATA_HASH", place(3))]),
        ("actor changed", {place(1): {"actor": "other"}}, [("EVENT_HASH", place(1))]),
        ("event hash changed", {place(1): {"event_hash": "00" * 32}}, [("EVENT_HASH", place(1)), ("LINK", place(2))]),
        ("first deleted", {place(1): None}, [("GENESIS", place(1))]),
        ("two deleted", {place(2): None, place(3): None}, [("SEQ_GAP", place(2)), ("SEQ_GAP", place(3))]),
        ("a second record", {place(3) + "#2": forked}, [("FORK", place(3))]),
        ("rewritten under the hmac key", {place(4): rewritten}, [("LINK", place(5)), ("SUITE", place(4))]),
        ("signature of the event before", {place(4): {"sig": case[2]["sig"]}}, [("SIGNATURE", place(4))]),
        ("MAC cut", {place(1): {"mac": case[0]["mac"][:32]}}, [("MAC", place(1))]),
        ("signature removed", {place(3): {"sig": ""}}, [("SUITE", place(3))]),
        ("recorded before the one before", {place(5): early}, [("TIME", place(5))]),
        ("data_version 0", {place(2): {"data_version": 0}}, [("FORMAT", place(2))]),
        ("a key that nobody pins", {place(5): record(SIGN_NEXT, case[3], "[]", None, type="case.noted")}, [("UNTRUSTED_KEY", place(5))]),
        ("v1 signature changed", {"acme/older-1/2": {"v1": {"signature": "00" * 32}}}, [("V1_SIGNATURE", "acme/older-1/2")]),
        ("v1 link cut", {"acme/older-1/2": {"v1": {"prev_hash": None}}}, [("V1_PREV_HASH", "acme/older-1/2")]),
        ("v1 begins late", {"acme/older-1/1": {"v1": None}}, [("V1_SIGNATURE", "acme/older-1/2")]),
        ("the hmac key never added", {"_system/_keys/2": None}, [("KEY_WINDOW", place(1)), ("KEY_WINDOW", place(2))]),
    ]
    cases = [
        {"row": "", "name": name, "patch": {"ledger": {"records": patch}}, "findings": [list(finding) for finding in sorted(findings)]}
        for name, patch, findings in tampered
    ]
    pinned = [{"kid": SIGN[0], "public": SIGN[1]["public"]}, {"kid": HMAC[0], "secret": HMAC[1]["secret"]}]
    ended = [pinned[0] | {"until": 7}, pinned[1]]
    late = [("KEY_WINDOW", place(4)), ("KEY_WINDOW", place(5)), ("KEY_WINDOW", "acme/older-1/2")]
    cases.append({"row": "", "name": "a key pinned until 7", "patch": {"trust": {"keys": ended}}, "findings": sorted(map(list, late))})
    return {
        "ledger": {"records": records, "leaves": {str(index): "" for index in range(9)}},
        "trust": {"origin": ORIGIN, "keys": pinned, "v1": [V1_SECRET]},
        "cases": cases,
    }


def seal_file():
    return {
        "about": "Made by deploy/verify/vectors.py; test keys only. Bytes are lower-case hex, times decimal microseconds.",
        "keys": KEYS, "cases": list(sealed_cases()), "refused_headers": list(refused_headers()), "refused_leaves": list(refused_leaves()),
        "seals": list(seals()), "event_ids": list(event_ids()), "times": list(times()), "key_proofs": list(key_proofs()),
        "secrets": list(secrets()), "v1": v1(), "chain": chain(),
    }


# What is taken, by its text; the canonical form is worked out.
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
