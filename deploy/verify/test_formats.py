"""Tests of the formats that the verifier reads, with golden and published vectors. The formats are proofs, notes, tiles,
signatures, envelopes and policies."""

import json
import unittest

import checks
import ed25519
import envelope
import merkle
import note
import seal
from log_cases import LOG, LOG_TIME, STRANGER, WITNESS_1, WITNESS_2, signature_line, signed, text_of
from test_verify import SHARED, golden, published

raw = bytes.fromhex


class Proofs(unittest.TestCase):
    """Checks the golden proofs, and those of transparency-dev/merkle where they are present."""

    def published_cases(self, kind):
        for path in sorted((SHARED / "merkle-rfc6962/testdata" / kind).rglob("*.json")):
            # The equal roots of this case have 12 bytes, which no SHA-256 hash has.
            if path.name != "sizes-are-equal-one-and-proof-is-empty.json":
                yield json.loads(path.read_text(encoding="utf-8"))

    def check(self, kind):
        file = golden("merkle.json")
        checks.check_merkle(file | {"inclusion": [], "consistency": []} | {kind: [*file[kind], *self.published_cases(kind)]})

    def test_inclusion(self):
        self.check("inclusion")

    def test_consistency(self):
        self.check("consistency")

    def test_every_proof_of_small_trees_and_no_other_index(self):
        tree = merkle.Tree(seal.sha256(bytes([number])) for number in range(34))
        for size in range(1, 34):
            for index in range(size):
                proof = tree.inclusion(index, 0, size)
                holds = [other for other in range(size + 1) if merkle.includes(tree.root(size), size, tree.levels[0][index], other, proof)]
                self.assertEqual(holds, [index])
            for old in range(size + 1):
                proof = tree.consistency(old, 0, size)
                self.assertTrue(merkle.extends(tree.root(old), old, tree.root(size), size, proof))
                self.assertFalse(merkle.extends(tree.root(old), old, tree.root(size + 1), size, proof) and old)

    def test_from_nothing(self):
        nothing, root = seal.sha256(b""), bytes(32)
        for old_root, new_root, size, holds in [(nothing, root, 3, True), (root, root, 3, False), (nothing, nothing, 0, True), (nothing, root, 0, False)]:
            self.assertEqual(merkle.extends(old_root, 0, new_root, size, []), holds)


class Notes(unittest.TestCase):
    """Checks notes that the golden cases do not cover."""

    def read(self, text, latest=float("inf")):
        return note.read_note(text.encode(), LOG[0].name, [LOG[0], LOG_TIME[0]], latest)

    def test_control_characters_and_the_empty_tree(self):
        text = text_of(9, bytes(32))
        self.assertEqual(self.read(signed(text, LOG) + signature_line("stranger", bytes(68))).size, 9)
        for wrong in (signed(text, LOG) + signature_line("stran\x01ger", bytes(68)), signed(text_of(0, bytes(32)), LOG)):
            self.assertRaises(note.Refused, self.read, wrong)

    def test_times_after_the_latest_do_not_count(self):
        made = signed(text_of(9, bytes(32)), LOG, LOG_TIME, time=100)
        self.assertEqual([self.read(made, latest).times for latest in (99, 100, 101)], [[], [100], [100]])

    def test_vkeys(self):
        key = LOG[0]
        self.assertEqual(note.key_of(key.vkey, note.SIGNED), key)
        for wrong in (key._replace(name=""), key._replace(public=key.public[:31]), key._replace(kind=note.COSIGNED)):
            self.assertRaises(note.Refused, note.key_of, wrong.vkey, note.SIGNED)
        for wrong in (key.vkey.replace(key.id.hex(), "00000000"), key.vkey.replace(key.id.hex(), key.id.hex().upper()), key.name, ""):
            self.assertRaises(note.Refused, note.key_of, wrong, note.SIGNED)


class Logs(unittest.TestCase):
    """Checks the golden log, and a log written by Tessera where it is present."""

    def test_its_checkpoints_tiles_and_entries(self):
        checks.check_tlog_file(golden("tlog.json"))
        folder = SHARED / "tlog-tiles-log/testdata/log"
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        if files:
            checks.check_tlog((SHARED / "tlog-tiles-log/log.vkey").read_text(encoding="utf-8").strip(), files)

    def test_the_example_of_a_signed_note(self):
        example = golden("tlog.json")["note"]
        checks.check_note(example["vkey"], example["note"])
        folder = SHARED / "c2sp"
        if folder.is_dir():
            vkey, signed_note = ((folder / f"signed-note-example.{end}").read_text(encoding="utf-8") for end in ("vkey", "note"))
            checks.check_note(vkey.strip(), signed_note)


class Signatures(unittest.TestCase):
    def test_wycheproof(self):
        for group in json.loads(published("wycheproof/testvectors_v1/ed25519_test.json"))["testGroups"]:
            for case in group["tests"]:
                with self.subTest(case["tcId"]):
                    signed = ed25519.verify(raw(group["publicKey"]["pk"]), raw(case["msg"]), raw(case["sig"]))
                    self.assertEqual(signed, case["result"] == "valid")


class Envelopes(unittest.TestCase):
    def test_the_golden_and_the_published_ones(self):
        checks.check_envelopes(golden("envelope.json"))
        path = SHARED / "seal/envelope.json"
        if path.is_file():
            checks.check_envelopes(json.loads(path.read_text(encoding="utf-8")))

    def test_what_is_sealed_opens(self):
        key, nonce = bytes(range(32)), bytes(range(24))
        for length in (0, 1, 15, 16, 17, 63, 64, 65, 200):
            sealed = envelope.aead_seal(key, nonce, bytes(length), b"aad")
            self.assertEqual(envelope.aead_open(key, nonce, sealed, b"aad"), bytes(length))
            self.assertIsNone(envelope.aead_open(key, nonce, sealed, b"AAD"))

    def test_wycheproof(self):
        for group in json.loads(published("wycheproof/testvectors_v1/xchacha20_poly1305_test.json"))["testGroups"]:
            for case in group["tests"] if group["ivSize"] == 192 else []:
                with self.subTest(case["tcId"]):
                    opened = envelope.aead_open(*(raw(case[part]) for part in ("key", "iv")), raw(case["ct"] + case["tag"]), raw(case["aad"]))
                    self.assertEqual(opened, raw(case["msg"]) if case["result"] == "valid" else None)


class Policies(unittest.TestCase):
    KNOWN = [f"log {LOG[0].vkey} https://log.golden/", f"witness w1 {WITNESS_1[0].vkey}", f"\twitness\tw2 {WITNESS_2[0].vkey}  ", "", " # comment"]

    def policy(self, *lines):
        return note.Policy("\n".join([*self.KNOWN, *lines]) + "\n")

    def test_which_witnesses_reach_the_quorum(self):
        one, two, log = WITNESS_1[0], WITNESS_2[0], LOG_TIME[0]
        for lines, enough, lacking in [
            (["quorum none"], [set(), {one}], []),
            (["quorum w2"], [{two}, {one, two}], [set(), {one}, {log}]),
            (["group g all w1 w2", "quorum g"], [{one, two}], [{one}, {two}]),
            (["group g any w1 w2", "quorum g"], [{one}, {two}], [set(), {log}]),
            (["group g 2 w1 w2", "quorum g"], [{one, two}], [{one, log}]),
            (["group inner any w1", "group outer all inner w2", "quorum outer"], [{one, two}], [{one}, {two}]),
            ([f"witness own {log.vkey}", "group g any own w1", "quorum g"], [{one}], [{log}, {STRANGER[0]}]),
        ]:
            policy = self.policy(*lines)
            with self.subTest(lines):
                self.assertEqual([policy.is_met(keys) for keys in enough + lacking], [True] * len(enough) + [False] * len(lacking))

    def test_malformed_policies_are_refused(self):
        for lines in [
            [], ["quorum w3"], ["quorum g", "group g any w1"], ["quorum none", "quorum none"], ["group g 3 w1 w2", "quorum g"],
            ["group g 0 w1", "quorum g"], ["group g any", "quorum g"], ["group g any none", "quorum g"], ["group g any w1 w1", "quorum g"],
            ["group g any w1", "group h any w1", "quorum h"], ["group w1 any w2", "quorum w1"], ["quorum none more"], ["else", "quorum none"],
            [f"witness w3 {WITNESS_1[0].vkey}", "quorum none"], [f"witness w3 {LOG[0].vkey}", "quorum none"], [self.KNOWN[0], "quorum none"],
            [f"log {LOG_TIME[0].vkey}", "quorum none"], [f"witness w1 {STRANGER[0].vkey}", "quorum none"],
            [f"log {LOG[0].vkey[:-4]}AAA=", "quorum none"], ["log name+00000000+AAAA", "quorum none"], [f"witness none {LOG_TIME[0].vkey}", "quorum none"],
        ]:
            with self.subTest(lines), self.assertRaises(note.Refused):
                self.policy(*lines)
