"""The golden cases of bundles. Each case changes a bundle of sample_bundles.py or the verifier's pins, and lists the findings.

A case is a merge patch (RFC 7396) on the files and records of a bundle and on the pins. The records become the
lines of `events.jsonl`, ordered by tenant, plan and seq.
"""

import base64
import json

import merkle
from cases import HMAC, SIGN, SIGN_NEXT, added, record
from log_cases import LOG, LOG_TIME, STRANGER, WITNESS_1, WITNESS_2, base64_of, line, proof_of, signed, text_of
from sample_bundles import DATA_KEY, FIRST_ANCHOR, KEYS, NOW, SECOND_ANCHOR, bundles, checkpoint_of, leaf_of, proven, tiles_of, tree_of, trust, where, whole_ledger, with_policy


def case(name, bundle, findings, files=None, records=None, pinned=None, **more):
    """Returns a case. The exit code follows from the findings. `findings` is None if the bundle, the pins or a receipt cannot be
    read; the exit code is then 1."""
    kinds = None if findings is None else {verdict for verdict, _ in findings} - {"ERASED"}
    exit_code = 1 if kinds is None else 0 if not kinds else 4 if kinds == {"UNANCHORED"} else 3
    patch = {"bundle": {name: part for name, part in (("files", files), ("records", records)) if part}, "trust": pinned}
    patch = {name: part for name, part in patch.items() if part}
    return {"name": name, "bundle": bundle, "patch": patch} | more | {"findings": findings and sorted(map(list, findings)), "exit": exit_code}


def cases_of_records():
    keys, chain, private, older = whole_ledger()
    place = "acme/case-7/{}".format
    tail = {place(5): chain[4]}
    rewritten = record(SIGN, chain[2], '{"n":99}', 7, type="case.noted")
    return [
        case("an event that is not sealed yet", "whole", [("UNANCHORED", place(5))], records=tail),
        case("its receipt", "whole", [("UNANCHORED", place(5))], records=tail, receipts=[chain[4]]),
        case("only its receipt", "whole", [("MISSING", place(5))], receipts=[chain[4]]),
        case("a receipt that was never sealed", "whole", None, receipts=[chain[4] | {"sig": chain[3]["sig"]}]),
        case("payload changed", "plans", [("PAYLOAD_HASH", place(2))], records={place(2): {"payload": '{"n":20}'}}),
        case("payload gone", "whole", [("PAYLOAD_HASH", place(2))], records={place(2): {"payload": None}}),
        case("a hash-only payload put back", "whole", [("PAYLOAD_HASH", where(private))], records={where(private): {"payload": '{"iban":"x"}'}}),
        case("metadata changed", "whole", [("METADATA_HASH", place(3))], records={place(3): {"metadata": "{}"}}),
        case("an event deleted", "whole", [("SEQ_GAP", place(3)), ("MISSING_LEAF", "leaf 5")], records={place(3): None}),
        case("the end of a plan deleted", "whole", [("MISSING_LEAF", "leaf 7")], records={place(4): None}),
        case("the end of a plan deleted, as if there was no more", "plans", [], records={place(4): None}),
        case("a plan deleted", "whole", [("MISSING_LEAF", "leaf 6"), ("MISSING_LEAF", "leaf 8")], records={where(older[0]): None, where(older[1]): None}),
        case("the beginning of a plan deleted", "plans", [("GENESIS", place(1)), ("GENESIS", place(2))], records={place(1): None, place(2): None}),
        case("kept out of the log", "whole", [("UNSEALED", place(3)), ("MISSING_LEAF", "leaf 5")], records={place(3): {"log_index": None}}),
        case("a second record", "whole", [("FORK", place(3))], records={place(3) + "#2": chain[2]}),
        case("sealed again by the key's holder", "whole", [("LEAF_MISMATCH", place(4))], records={place(4): rewritten}),
        case("sealed again, the proof kept", "plans", [("LEAF_MISMATCH", place(4))], records={place(4): rewritten}),
        case("a MAC that nobody can check, but the log", "whole", [("LEAF_MISMATCH", place(1))], records={place(1): {"mac": "00" * 32}}),
        case("a MAC that is none", "whole", [("MAC", place(1))], records={place(1): {"mac": "00" * 31}}),
        case("a MAC that can be checked", "whole", [("MAC", place(1))], records={place(1): {"mac": "00" * 32}}, pinned=trust(True)),
        case("a signature beside the MAC", "whole", [("SUITE", place(1))], records={place(1): {"sig": chain[2]["sig"]}}),
        case("a MAC beside the signature", "whole", [("SUITE", place(3))], records={place(3): {"mac": chain[0]["mac"]}}),
        case("everything checked", "whole", [], pinned=trust(True)),
        case("a v1 plan that follows something", "whole", [("V1_PREV_HASH", where(older[0]))],
             records={where(older[0]): {"v1": {"prev_hash": older[1]["v1"]["signature"]}}}),
        case("v1 signature changed", "whole", [("V1_SIGNATURE", where(older[1]))], pinned=trust(True),
             records={where(older[1]): {"v1": {"signature": "00" * 32}}}),
        case("v1 columns removed from every event of a plan", "whole", [("V1_SIGNATURE", where(event)) for event in older],
             records={where(event): {"v1": None} for event in older}),
        case("v1 columns removed, and what says so respelled", "whole", [("V1_SIGNATURE", where(older[0])), ("V1_SIGNATURE", where(older[1]))],
             records={where(older[0]): {"v1": None, "metadata": r'{"sealbus": {"auth": "token", "\u00761": true}}'}, where(older[1]): {"v1": None}}),
        case("v1 link cut", "whole", [("V1_PREV_HASH", where(older[1]))], records={where(older[1]): {"v1": {"prev_hash": None}}}),
        case("a time without its digits", "whole", [("FORMAT", place(2))], records={place(2): {"occurred": "2025-11-20T01:00:02Z"}}),
        case("a hash in capitals", "whole", [("FORMAT", place(2))], records={place(2): {"payload_hash": chain[1]["payload_hash"].upper()}}),
        case("a number as text", "whole", [("FORMAT", place(2))], records={place(2): {"data_version": "1"}}),
        case("a number beyond what can be sealed", "whole", [("FORMAT", place(2))], records={place(2): {"payload_size": 2**53}}),
        case("an index beyond all logs", "whole", [("FORMAT", place(2)), ("MISSING_LEAF", "leaf 3")], records={place(2): {"log_index": 10**30}}),
        case("a field emptied that must be", "whole", [("FORMAT", place(2))], records={place(2): {"type": ""}}),
        case("an id in braces", "whole", [("FORMAT", place(2))], records={place(2): {"event_id": "{" + chain[1]["event_id"] + "}"}}),
        case("lines in another order", "whole", None, files={"events.jsonl": '{"tenant":"b","plan":"p","seq":1}\n{"tenant":"a","plan":"p","seq":1}\n'}),
        case("a member twice", "whole", None, files={"events.jsonl": '{"tenant":"a","plan":"p","seq":1,"seq":2}\n'}),
        case("a seq that is spelled as a fraction", "whole", None, files={"events.jsonl": '{"tenant":"a","plan":"p","seq":1.0}\n'}),
        case("not JSON", "whole", None, files={"events.jsonl": "seq 1\n"}),
    ]


def cases_of_times():
    _, chain, _, _ = whole_ledger()
    made, place = bundles(), "acme/case-7/{}".format
    last = 1763600404  # The time at which the newest sealed event was recorded, in seconds since 1970.
    stray = lambda time: {"acme/stray/1": record(SIGN, None, "{}", None, plan="stray", recorded_us=str(time * 1_000_000))}
    next_recorded = lambda us: {place(5): record(SIGN, chain[3], "{}", None, type="case.noted", recorded_us=str(us))}
    second = [where(record) for record in made["whole"]["records"].values() if record["log_index"] < 5 and record["seq"] == 2]
    tree = tree_of(made["whole"]["records"].values())
    return [
        case("recorded at the moment of the event before", "whole", [("UNANCHORED", place(5))], records=next_recorded(last * 1_000_000)),
        case("recorded a moment before the event before", "whole", [("TIME", place(5))], records=next_recorded(last * 1_000_000 - 1)),
        case("not in the log, a minute before what is", "whole", [("UNANCHORED", "acme/stray/1")], records=stray(last - 60)),
        case("not in the log, over a minute before what is", "whole", [("UNSEALED", "acme/stray/1")], records=stray(last - 61)),
        case("recorded over a minute after a cosignature", "whole", [("TIME", where) for where in second],
             files={"anchors/0": checkpoint_of(tree, 5, 1763600401 - 60)}),
    ]


def cases_of_proofs():
    _, chain, _, _ = whole_ledger()
    place, made = "acme/case-7/{}".format, bundles()
    tree, notes = tree_of(made["whole"]["records"].values()), made["plans"]["files"]
    proofs = {seq: made["plans"]["records"][place(seq)]["proof"] for seq in (1, 2, 3, 4)}
    older = proof_of(leaf_of(chain[1]), 3, tree.inclusion(3, 0, 5), notes["anchors/0"])
    again = proven(tree, chain[1], checkpoint_of(tree, 9, SECOND_ANCHOR + 30, (LOG,)))
    by_stranger = proven(tree, chain[1], checkpoint_of(tree, 9, SECOND_ANCHOR, (STRANGER,)))
    without_tiles = [where(record) for record in made["whole"]["records"].values()]
    wrong = lambda name, **change: case(name, "plans", [("PROOF", place(2))], records={place(2): change})
    return [
        wrong("no proof", proof=None), wrong("the proof of another event", proof=proofs[3]), wrong("another index", log_index=4),
        wrong("a proof against an older checkpoint", proof=older), wrong("a proof against a stranger's checkpoint", proof=by_stranger),
        case("a proof against the checkpoint with another signature", "plans", [], records={place(2): {"proof": again}}),
        case("no tiles", "whole", [("PROOF", place) for place in without_tiles], files={"tile/0/000.p/9": None}),
    ]


def cases_of_notes():
    _, chain, _, _ = whole_ledger()
    made = bundles()
    tree, files = tree_of(made["whole"]["records"].values()), made["whole"]["files"]
    others = merkle.Tree([bytes(32)] * 9)
    good, place = files["checkpoint"], "acme/case-7/{}".format
    after = [where(record) for record in made["whole"]["records"].values() if record["log_index"] >= 5]
    anchored_later = {"records": {where: None for where in after}, "files": tiles_of(tree, 5) | {"tile/0/000.p/9": None}}
    data = base64.b64decode(files["tile/0/000.p/9"]["base64"])
    tile = lambda data: {"tile/0/000.p/9": {"base64": base64_of(data)}}
    alone = checkpoint_of(tree, 9, SECOND_ANCHOR, (LOG, LOG_TIME))
    return [
        case("a checkpoint with a bad signature", "whole", [("CHECKPOINT", "checkpoint")], files={"checkpoint": good.replace("\n9\n", "\n8\n")}),
        case("no checkpoint", "whole", [("CHECKPOINT", "checkpoint")], files={"checkpoint": None}),
        case("a checkpoint of another origin", "plans", [("CHECKPOINT", "checkpoint")],
             files={"checkpoint": signed(text_of(9, tree.root(9), "bus.golden/other"), LOG)}),
        case("an anchor signed by a stranger", "whole", [("CHECKPOINT", "anchors/0")], files={"anchors/0": checkpoint_of(tree, 5, FIRST_ANCHOR, (STRANGER,))}),
        case("a stranger's line beside the log's", "whole", [], files={"checkpoint": good + line(STRANGER, text_of(9, tree.root(9)))}),
        case("two anchors, one size, two roots", "whole", [("SPLIT_VIEW", "size 5")], files={"anchors/2": checkpoint_of(others, 5, FIRST_ANCHOR)}),
        case("an anchor of another tree", "whole", [("INCONSISTENT", "size 4")], files={"anchors/2": checkpoint_of(others, 4, FIRST_ANCHOR)}),
        case("rolled back behind the anchor", "whole", [("INCONSISTENT", "size 9")], records=anchored_later["records"],
             files=anchored_later["files"] | {"checkpoint": files["anchors/0"]}),
        case("anchored only in part", "whole", [("UNANCHORED", where) for where in after], files={"anchors/1": None}),
        case("no anchor but the checkpoint", "plans", [], files={"anchors/0": None, "anchors/1": None}),
        case("no anchors", "whole", [("UNANCHORED", where) for where in made["whole"]["records"]], files={"anchors/0": None, "anchors/1": None}),
        case("a tile with a bit flipped", "whole", [("TILE", "tile/0/000.p/9")], files=tile(data[:-1] + bytes([data[-1] ^ 1]))),
        case("a tile cut", "whole", [("TILE", "tile/0/000.p/9")], files=tile(data[:-32])),
        case("a tile with a byte more", "whole", [("TILE", "tile/0/000.p/9")], files=tile(data + b"\0")),
        case("a tile of another width", "whole", [("TILE", "tile/0/000.p/9")], files={"tile/0/000.p/9": None} | tiles_of(tree, 5)),
        case("no witness", "whole", [("QUORUM", "size 9")], files={"anchors/1": alone}),
        case("a witness of the first anchor alone", "plans", [("QUORUM", "size 9")], files={"anchors/1": alone, "checkpoint": alone}),
        case("one witness where two are asked", "whole", [("QUORUM", "size 9")], files={"anchors/1": checkpoint_of(tree, 9, SECOND_ANCHOR, (LOG, WITNESS_1))},
             pinned=with_policy(f"witness w1 {WITNESS_1[0].vkey}", f"witness w2 {WITNESS_2[0].vkey}", "group two all w1 w2", "quorum two")),
        case("the log as its own witness", "whole", [("QUORUM", "size 9")], pinned=with_policy(f"witness own {LOG_TIME[0].vkey}", "quorum own")),
        case("no witness asked", "whole", [], files={"anchors/1": alone}, pinned=with_policy("quorum none")),
        # The log cosigned at SECOND_ANCHOR, and the witnesses cosigned one and two seconds later.
        case("witnesses over five minutes ahead", "whole", [("QUORUM", "size 9")], now=SECOND_ANCHOR - 300),
        case("a witness five minutes ahead", "whole", [], now=SECOND_ANCHOR - 299),
        case("old, and a young one is asked", "whole", [("STALE", "size 9")], now=SECOND_ANCHOR + 183, max_age=180),
        case("young enough", "whole", [], now=SECOND_ANCHOR + 182, max_age=180),
        case("without a time, and a young one is asked", "whole", [("STALE", "size 9")], max_age=180, pinned=with_policy("quorum none"),
             files={"anchors/1": checkpoint_of(tree, 9, SECOND_ANCHOR, (LOG,))}),
        case("young by a heartbeat", "whole", [], now=SECOND_ANCHOR + 190, max_age=180,
             files={"anchors/2": checkpoint_of(tree, 9, SECOND_ANCHOR + 60, (LOG, LOG_TIME, WITNESS_1))}),
    ]


def cases_of_trust():
    made = bundles()
    sealed_by = lambda key: [where(record) for record in made["whole"]["records"].values() if record["kid"] == key[0]]
    late = [where(record) for record in made["whole"]["records"].values() if record["log_index"] >= 7]
    keyring = json.loads(trust()["keyring.json"])["keys"]
    only = lambda *keys: {"keyring.json": json.dumps({"keys": keys})}
    everything = [("KEY_WINDOW", where) for where in made["plans"]["records"] if not where.startswith("_system")]
    other = keyring[0] | {"id": SIGN_NEXT[0]}
    behind = lambda first: [("KEY_WINDOW", where) for where in made["whole"]["records"] if where != first]
    by_hmac = [("KEY_WINDOW", where) for where in sealed_by(HMAC)]
    unproven = record(SIGN, whole_ledger()[0][0], json.dumps({"kid": HMAC[0], "proof": base64_of(bytes(32))}), 1, **KEYS)
    return [
        case("a key that is not pinned", "whole", [("UNTRUSTED_KEY", where) for where in sealed_by(HMAC)], pinned=only(keyring[0])),
        case("a key pinned until 7", "whole", [("KEY_WINDOW", where) for where in late], pinned=trust(ed25519={"until": 7})),
        case("a key pinned from 3", "whole", [("KEY_WINDOW", "acme/case-7/1")], pinned=trust(hmac={"from": 3})),
        case("no plan of keys", "plans", everything, records={"_system/_keys/1": None, "_system/_keys/2": None}),
        case("the first key's event edited", "whole", [("EVENT_HASH", "_system/_keys/1"), *behind("_system/_keys/1")],
             records={"_system/_keys/1": {"actor": "somebody"}}),
        case("a later key's event edited", "whole", [("PAYLOAD_HASH", "_system/_keys/2"), *by_hmac], records={"_system/_keys/2": {"payload": added(SIGN, SIGN)}}),
        case("a key added without its proof", "whole", [("LEAF_MISMATCH", "_system/_keys/2"), *by_hmac], pinned=trust(True), records={"_system/_keys/2": unproven}),
        case("an erasure after its key ended", "erased", [("KEY_WINDOW", "acme/_erasures/1"), ("KEY_WINDOW", "acme/person-2/1")],
             pinned=trust(ed25519={"until": 2})),
        case("an erasure that nobody sealed", "erased", [("PAYLOAD_HASH", "acme/_erasures/1")],
             records={"acme/_erasures/1": {"payload": json.dumps({"keys": [DATA_KEY], "reason": "forged"})}}),
        case("a quorum of nobody", "plans", None, pinned=with_policy("quorum nobody")),
        case("a key under another's id", "whole", None, pinned=only(other, keyring[1])),
        case("a key twice", "whole", None, pinned=only(keyring[0], keyring[0] | {"until": 3})),
        case("a policy without a quorum", "whole", None, pinned=with_policy()),
        case("a group of nobody", "whole", None, pinned=with_policy("group g any w9", "quorum g")),
    ]


def cases_of_vouching():
    tree, older = tree_of(bundles()["whole"]["records"].values()), bundles()["plans"]
    older_note = older["files"]["anchors/0"]
    records = {}
    for where, record in older["records"].items():
        covered = record["log_index"] < 5
        proof = covered and proof_of(leaf_of(record), record["log_index"], tree.inclusion(record["log_index"], 0, 5), older_note)
        records[where] = {"proof": proof} if covered else None
    return [
        case("a bundle of plans whose checkpoint is older than an anchor", "plans", [("INCONSISTENT", "size 9")],
             files={"checkpoint": older_note}, records=records, vouched=None),
        case("a bundle of plans without the newer anchor", "plans", [],
             files={"checkpoint": older_note, "anchors/1": None}, records=records, vouched={"log_index": 4, "time": "2025-11-20T01:00:32Z"}),
    ]


def bundle_file():
    vouched = {"log_index": 8, "time": "2025-11-20T01:01:02Z"}
    clean = [
        case("a whole log", "whole", [], vouched=vouched), case("two plans of it", "plans", [], vouched=vouched),
        case("a subject erased", "erased", [("ERASED", "acme/person-1/1")], vouched=vouched | {"log_index": 3}),
    ]
    return {
        "about": "Made by deploy/verify/vectors.py; test keys only. A case is a merge patch (RFC 7396) on {bundle, trust}, where `bundle` "
        "names one of `bundles`. Its records make events.jsonl, unless its files hold one. findings: [verdict, where], null where "
        "verify must refuse; max_age absent: not asked; now: seconds.",
        "now": NOW, "trust": trust(), "bundles": bundles(), "cases": clean + cases_of_records() + cases_of_times() + cases_of_proofs() + cases_of_notes() + cases_of_trust()
        + cases_of_vouching(),
    }
