"""What the verifier builds on, against vectors that others published: proofs, notes, tiles, signatures, envelopes. And policies."""

import base64
import json
import unittest

import ed25519
import envelope
import merkle
import note
import seal
from log_cases import LOG, LOG_TIME, STRANGER, WITNESS_1, WITNESS_2, signature_line, signed, text_of
from test_verify import SHARED, published

raw = bytes.fromhex


def base64_or_nothing(text):
    return base64.b64decode(text or "")


class Proofs(unittest.TestCase):
    def published_cases(self, kind):
        published("merkle-rfc6962/LICENSE")
        for path in sorted((SHARED / "merkle-rfc6962/testdata" / kind).rglob("*.json")):
            case = json.loads(path.read_text(encoding="utf-8"))
            # Its root is of 12 bytes, and held to be one.
            if path.name != "sizes-are-equal-one-and-proof-is-empty.json":
                yield path, case, [base64_or_nothing(part) for part in case["proof"] or []]

    def test_inclusion(self):
        for path, case, proof in self.published_cases("inclusion"):
            root, leaf_hash = base64_or_nothing(case["root"]), base64_or_nothing(case["leafHash"])
            with self.subTest(path):
                self.assertEqual(merkle.includes(root, case["treeSize"], leaf_hash, case["leafIdx"], proof), not case["wantErr"])

    def test_consistency(self):
        for path, case, proof in self.published_cases("consistency"):
            old_root, root = base64_or_nothing(case["root1"]), base64_or_nothing(case["root2"])
            with self.subTest(path):
                self.assertEqual(merkle.extends(old_root, case["size1"], root, case["size2"], proof), not case["wantErr"])

    def test_every_proof_of_small_trees_and_no_other_index(self):
        tree = merkle.Tree(seal.sha256(bytes([number])) for number in range(34))
        for size in range(1, 34):
            for index in range(size):
                proof = tree.inclusion(index, 0, size)
                holds = [at for at in range(size + 1) if merkle.includes(tree.root(size), size, tree.levels[0][index], at, proof)]
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
    """What the golden notes leave out."""

    def read(self, text, latest=float("inf")):
        return note.read_note(text.encode(), LOG[0].name, [LOG[0], LOG_TIME[0]], latest)

    def test_control_characters_and_the_empty_tree(self):
        text = text_of(9, bytes(32))
        self.assertEqual(self.read(signed(text, LOG) + signature_line("stranger", bytes(68))).size, 9)
        for wrong in (signed(text, LOG) + signature_line("stran\x01ger", bytes(68)), signed(text_of(0, bytes(32)), LOG)):
            self.assertRaises(note.Refused, self.read, wrong)

    def test_times_after_the_latest_do_not_count(self):
        made = signed(text_of(9, bytes(32)), LOG, LOG_TIME, at=100)
        self.assertEqual([self.read(made, latest).times for latest in (99, 100, 101)], [[], [100], [100]])

    def test_vkeys(self):
        key = LOG[0]
        self.assertEqual(note.key_of(key.vkey, note.SIGNED), key)
        for wrong in (key._replace(name=""), key._replace(public=key.public[:31]), key._replace(kind=note.COSIGNED)):
            self.assertRaises(note.Refused, note.key_of, wrong.vkey, note.SIGNED)
        for wrong in (key.vkey.replace(key.id.hex(), "00000000"), key.vkey.replace(key.id.hex(), key.id.hex().upper()), key.name, ""):
            self.assertRaises(note.Refused, note.key_of, wrong, note.SIGNED)


class Logs(unittest.TestCase):
    """A log that another program wrote."""

    def test_its_checkpoints_tiles_and_entries(self):
        key = note.key_of(published("tlog-tiles-log/log.vkey").strip(), note.SIGNED)
        folder = SHARED / "tlog-tiles-log/testdata/log"
        for size in range(1, 16):
            checkpoint = note.read_note((folder / f"checkpoint.{size}").read_bytes(), key.name, [key])
            tile = (folder / merkle.tile_path(0, 0, size)).read_bytes()
            tree = merkle.Tree(tile[at : at + 32] for at in range(0, len(tile), 32))
            self.assertEqual((checkpoint.size, checkpoint.root), (size, tree.root(size)))
            entries, leaves = (folder / merkle.tile_path("entries", 0, size)).read_bytes(), []
            while entries:
                length = int.from_bytes(entries[:2], "big")
                leaves.append(entries[2 : 2 + length])
                entries = entries[2 + length :]
            self.assertEqual(list(map(seal.leaf_hash, leaves)), tree.levels[0])

    def test_the_example_of_a_signed_note(self):
        key = note.key_of(published("c2sp/signed-note-example.vkey").strip(), note.SIGNED)
        text, line = published("c2sp/signed-note-example.note").split("\n\n")
        name, signature = line.removeprefix("\u2014 ").split()
        signature = note.bytes_of(signature)
        self.assertEqual((name, signature[:4]), (key.name, key.id))
        self.assertEqual(key.verifies(f"{text}\n".encode(), signature[4:]), (True, None))


class Signatures(unittest.TestCase):
    def test_wycheproof(self):
        for group in json.loads(published("wycheproof/testvectors_v1/ed25519_test.json"))["testGroups"]:
            for case in group["tests"]:
                with self.subTest(case["tcId"]):
                    signed = ed25519.verify(raw(group["publicKey"]["pk"]), raw(case["msg"]), raw(case["sig"]))
                    self.assertEqual(signed, case["result"] == "valid")


class Envelopes(unittest.TestCase):
    def test_the_published_ones(self):
        file = json.loads(published("seal/envelope.json"))
        for case in file["cases"]:
            keys = envelope.keys_of(raw(case["data_key"]), raw(case["nonce"]))
            self.assertEqual((envelope.aad_of(case).hex(), *(key.hex() for key in keys)), (case["aad"], case["key"], case["commitment"]))
            opened = envelope.open_envelope(case["envelope"], raw(case["data_key"]), raw(case["aad"]))
            self.assertEqual(opened.decode(), case["plaintext"])
        for case in file["refused"]:
            with self.subTest(case["name"]), self.assertRaisesRegex(envelope.Refused, case["refused"]):
                envelope.open_envelope(case["envelope"], raw(case["data_key"]), raw(case["aad"]))
        for case in file["wraps"]:
            wrapped, aad = raw(case["wrapped"]), envelope.wrap_aad(*(case[name] for name in ("kek_id", "tenant", "subject", "epoch", "key_id")))
            self.assertEqual(envelope.aead_open(raw(case["kek"]), wrapped[:24], wrapped[24:], aad).hex(), case["data_key"])

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

    def test_who_is_enough(self):
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

    def test_what_is_no_policy(self):
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
