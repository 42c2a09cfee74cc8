"""Makes the golden cases of the seal. They cover headers, leaves, both suites, event ids, times, key proofs, scheme v1, and
chains without a log."""

import ed25519
import seal
import strict_json
from cases import HMAC, HMAC_LONG, KEYS, ORIGIN, SIGN, SIGN_NEXT, V1_SECRET, added, event_of, record
from seal import sha256


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
    signed, _, _, (_, _, sig) = event_of(SIGN, "{}")
    signed_header = seal.encode(signed)
    for name, leaf in [
        ("a byte more", good + b"\x00"), ("cut", good[:-1]), ("another label", good.replace(b"leaf/v1", b"leaf/v9", 1)),
        ("header with a byte more", seal.leaf_of(header + b"\x00", mac, b"")), ("a MAC of 31 bytes", seal.leaf_of(header, mac[:31], b"")),
    ]:
        yield {"name": name, "leaf": leaf, "refused": "FORMAT"}
    for name, leaf, verdict in [
        ("a signature instead of the MAC", seal.leaf_of(header, b"", sig), "SUITE"),
        ("a signature in addition to the MAC", seal.leaf_of(header, mac, sig), "SUITE"),
        ("a MAC instead of the signature", seal.leaf_of(signed_header, mac, b""), "SUITE"),
        ("a MAC in addition to the signature", seal.leaf_of(signed_header, mac, sig), "SUITE"),
        ("an HMAC key without a MAC", seal.leaf_of(header, b"", b""), "SUITE"),
        ("an Ed25519 key without a signature", seal.leaf_of(signed_header, b"", b""), "SUITE"),
        ("a signature of 63 bytes", seal.leaf_of(signed_header, b"", sig[:63]), "FORMAT"),
    ]:
        yield {"name": name, "leaf": leaf, "refused": verdict}


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


def chain():
    """A small ledger with plan `_keys`, both suites and a v1 plan, and the findings when it is tampered with. It has no log."""
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
        ("v1 begins late", {"acme/older-1/1": {"v1": None}}, [("V1_SIGNATURE", "acme/older-1/1"), ("V1_SIGNATURE", "acme/older-1/2")]),
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
