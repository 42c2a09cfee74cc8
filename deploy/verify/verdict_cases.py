"""Makes the golden verdicts of a ledger. They are the findings of a verifier that can read the database and open the payloads.

A bundle lacks the seal queue, the table of leaves and the data keys, so bundle_cases.py does not cover them. A case is a
merge patch (RFC 7396) on {ledger, trust}.
"""

import envelope
import merkle
import seal
from cases import HMAC, ORIGIN, SIGN, SIGN_NEXT, V1_SECRET, record
from envelope_cases import key_id_of, key_of, nonce_of, plaintext_of, sealed
from log_cases import LOG, LOG_TIME, STRANGER, WITNESS_1, WITNESS_2
from sample_bundles import FIRST_ANCHOR, NOW, SECOND_ANCHOR, checkpoint_of, leaf_of, where, whole_ledger

PERSON = {"plan": "person-1", "type": "user.created"}


def encrypted(number, predecessor, index, data_key=None, key_id=None, aad_of=None, plaintext=None):
    """Makes an encrypted event. The keyword arguments make a faulty envelope, which the signing key nevertheless sealed."""
    event_id = f"0193000000007000800000000000ee{number:02x}"
    event = PERSON | {"origin": ORIGIN, "tenant": "acme", "event_id": event_id, "data_version": 1}
    text = sealed(
        plaintext or plaintext_of(f'{{"name":"person {number}"}}', "{}"), data_key or key_of(f"person {number}"),
        key_id or key_id_of(number), nonce_of(f"person {number}"), envelope.aad_of(event | (aad_of or {})),
    )
    return record(SIGN, predecessor, text, index, mode=2, event_id=event_id, **PERSON)


def ledger_of(records):
    """Returns the log of records: tiles, checkpoint, anchors and the table of leaves."""
    leaves = sorted((record for record in records if record["log_index"] is not None), key=lambda record: record["log_index"])
    tree = merkle.Tree(seal.leaf_hash(leaf_of(record)) for record in leaves)
    size = len(leaves)
    newest = checkpoint_of(tree, size, SECOND_ANCHOR)
    return tree, {
        "tiles": {merkle.tile_path(*tile): tree.tile(*tile).hex() for tile in merkle.tiles(size)}, "checkpoint": newest,
        "leaves": {str(record["log_index"]): where(record) for record in leaves},
        "anchors": {"0": checkpoint_of(tree, 5, FIRST_ANCHOR), "1": newest},
    }


def base():
    """Returns the ledger of sample_bundles.py with two encrypted events, eleven leaves and an event in the seal queue."""
    keys, chain, private, older = whole_ledger()
    person = [encrypted(1, None, 9)]
    person.append(encrypted(2, person[0], 10))
    records = {where(record): record for record in [*keys, *chain, private, *older, *person]}
    tree, log = ledger_of(records.values())
    tail = chain[4]
    ledger = {"records": records} | log | {
        "queue": {where(tail): tail["event_hash"]}, "receipts": {},
        "data_keys": {key_id_of(number): key_of(f"person {number}").hex() for number in (1, 2)}, "erased": [],
    }
    trust = {
        "origin": ORIGIN, "keys": [{"kid": SIGN[0], "public": SIGN[1]["public"].hex()}, {"kid": HMAC[0], "secret": HMAC[1]["secret"].hex()}],
        "v1": [V1_SECRET.hex()], "log": [LOG[0].vkey], "witnesses": [LOG_TIME[0].vkey, WITNESS_1[0].vkey, WITNESS_2[0].vkey], "quorum": 1,
        "max_age": 180, "now": NOW,
    }
    return ledger, trust, tree, chain, person


def case(row, name, findings, trust=None, **ledger):
    """Returns a case. The exit code follows from the findings."""
    kinds = {verdict for verdict, _ in findings} - {"ERASED"}
    exit_code = 0 if not kinds else 4 if kinds == {"UNANCHORED"} else 3
    patch = {name: part for name, part in (("ledger", ledger), ("trust", trust)) if part}
    return {"row": row, "name": name, "exit": exit_code, "findings": sorted(map(list, findings)), "patch": patch}


def cases():
    ledger, trust, tree, chain, person = base()
    place, first, second, third = "acme/case-7/{}".format, "acme/person-1/1", "acme/person-1/2", "acme/person-1/3"
    tail = ("UNANCHORED", place(5))
    found = lambda *findings: [*findings, tail]
    edited = lambda row, name, verdict, where, **change: case(row, name, found((verdict, where)), records={where: change})
    unsealed = lambda row, name, verdict, made: case(row, name, found((verdict, third)), records={third: made})
    other_tree = merkle.Tree([bytes(32)] * 11)
    rewritten = record(SIGN, chain[2], '{"n":99}', 7, type="case.noted")
    stranger = record(SIGN_NEXT, chain[3], "[]", None, type="case.noted")
    flipped = lambda hex_text: f"{int(hex_text[:2], 16) ^ 1:02x}{hex_text[2:]}"
    tile = ledger["tiles"]["tile/0/000.p/11"]
    return [
        case("", "nothing changed", [tail]),
        edited("1", "payload value changed", "PAYLOAD_HASH", place(2), payload='{"n":20}'),
        edited("1", "payload of an encrypted event replaced", "PAYLOAD_HASH", first, payload=person[1]["payload"]),
        edited("2", "actor changed", "EVENT_HASH", place(2), actor="other"),
        edited("3", "metadata changed", "METADATA_HASH", place(3), metadata="{}"),
        edited("4", "MAC bit flipped", "MAC", place(1), mac=flipped(chain[0]["mac"])),
        edited("5", "signature removed", "SUITE", place(3), sig=""),
        case("6", "middle row deleted", found(("SEQ_GAP", place(2))), records={place(2): None}),
        case("7", "first row deleted", found(("GENESIS", place(1))), records={place(1): None}),
        case("8", "sealed tail deleted", [("MISSING_LEAF", place(4))], records={place(4): None, place(5): None}, queue={place(5): None}),
        case("8", "sealed tail deleted, and its row in the table of leaves", [("MISSING_LEAF", "leaf 7")],
             records={place(4): None, place(5): None}, queue={place(5): None}, leaves={"7": None}),
        case("9", "unsealed tail deleted, queue row left", [("MISSING", place(5))], records={place(5): None}),
        case("9", "unsealed tail deleted with its queue row, receipt kept", [("MISSING", place(5))],
             records={place(5): None}, queue={place(5): None}, receipts={place(5): chain[4]["event_hash"]}),
        case("9", "unsealed tail deleted with its queue row, no receipt: not detectable", [], records={place(5): None}, queue={place(5): None}),
        case("10", "a whole plan deleted", found(("MISSING_LEAF", "beta/older-1/1"), ("MISSING_LEAF", "beta/older-1/2")),
             records={"beta/older-1/1": None, "beta/older-1/2": None}),
        case("14", "suffix rewritten to the same length", [("LEAF_MISMATCH", place(4))],
             records={place(4): rewritten, place(5): None}, queue={place(5): None}),
        case("16", "two anchored checkpoints, one size, two roots", found(("SPLIT_VIEW", "size 11")),
             anchors={"2": checkpoint_of(other_tree, 11, SECOND_ANCHOR)}),
        case("18", "key id swapped to a key of the other suite", found(("SUITE", place(2))), records={place(2): {"kid": SIGN[0]}}),
        case("19", "unsealed head signed with a key that is not pinned", [("UNTRUSTED_KEY", place(5))],
             records={place(5): stranger}, queue={place(5): None}),
        case("22", "payload in another spelling", [tail], records={place(2): {"payload": ' {"n" : 2.0}'}}),
        case("24", "an anchor of another tree", found(("INCONSISTENT", "size 4")), anchors={"2": checkpoint_of(other_tree, 4, FIRST_ANCHOR)}),
        case("25", "tile byte flipped", found(("TILE", "tile/0/000.p/11")), tiles={"tile/0/000.p/11": flipped(tile)}),
        case("27", "checkpoint signed by an unknown key only", found(("CHECKPOINT", "checkpoint")),
             checkpoint=checkpoint_of(tree, 11, SECOND_ANCHOR, (STRANGER,))),
        case("28", "fewer cosignatures than the quorum", found(("QUORUM", "size 11")), trust={"quorum": 3}),
        case("28", "old heartbeat", found(("STALE", "size 11")), trust={"now": SECOND_ANCHOR + 1000}),
        case("30", "data key destroyed by an erasure event", found(("ERASED", first)), data_keys={key_id_of(1): None}, erased=[key_id_of(1)]),
        unsealed("31", "ciphertext of another event", "AAD", encrypted(3, person[1], None, key_of("person 1"), key_id_of(1), {"event_id": "00" * 16})),
        unsealed("31", "envelope under another data key than it names", "COMMITMENT", encrypted(3, person[1], None, key_id=key_id_of(1))),
        unsealed("31", "plaintext of another form", "FORMAT",
                 encrypted(3, person[1], None, key_of("person 1"), key_id_of(1), plaintext=b'{"data":1.0,"metadata":{}}')),
        case("31", "data keys swapped", found(("COMMITMENT", first), ("COMMITMENT", second)),
             data_keys={key_id_of(1): key_of("person 2").hex(), key_id_of(2): key_of("person 1").hex()}),
        edited("37", "a field outside its limits", "FORMAT", place(2), data_version=0),
        case("38", "data key gone and no erasure event names it", found(("KEY_LOST", second)), data_keys={key_id_of(2): None}),
        case("39", "v1 columns removed from every event of a plan", found(("V1_SIGNATURE", "beta/older-1/1"), ("V1_SIGNATURE", "beta/older-1/2")),
             records={"beta/older-1/1": {"v1": None}, "beta/older-1/2": {"v1": None}}),
        edited("39", "v1 signature changed", "V1_SIGNATURE", "beta/older-1/2", v1={"signature": "00" * 32}),
    ]


def verdict_file():
    ledger, trust, *_ = base()
    return {
        "about": "Made by deploy/verify/vectors.py; test keys only. ledger and trust are the base. A case is a merge patch (RFC 7396) on both; "
        "`row` is the row of the tampering table; findings: [verdict, where].",
        "ledger": ledger, "trust": trust, "cases": cases(),
    }
