#!/usr/bin/env python3
"""The verifier: the published verdicts, every field of every record, and the command as it is called. Run alone, this file runs
all tests of the folder. The golden bundles are checked by vectors.py."""

import functools
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import unittest
from functools import partial
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import bundle
import bundle_cases
import ed25519
import envelope
import merkle
import seal
import vectors
import verify
from bundle_cases import SECOND_ANCHOR, files_of, patched, where
from log_cases import base64_of

SHARED = HERE.parents[2] / "shared/vectors"


def published(path):
    """A published file, where the folder beside the project is."""
    if not (SHARED / path).exists():
        print(f"SKIPPED: ../shared/vectors/{path} is not here", flush=True)
        raise unittest.SkipTest(path)
    return (SHARED / path).read_text(encoding="utf-8")


def trust_in(contents):
    return bundle.Trust({name: partial(io.BytesIO, text.encode()) for name, text in contents.items()})


def found(report):
    return sorted(["/".join(map(str, place)), verdict] for place, (verdict, _) in report.findings.items())


class Verdicts(unittest.TestCase):
    """Each row of the table of tamperings: its findings, and no others."""

    def test_the_published_cases(self):
        file = json.loads(published("seal/verdicts.json"))
        for case in file["cases"]:
            with self.subTest(f"row {case['row']}: {case['name']}"):
                report = self.verified(patched({"ledger": file["ledger"], "trust": file["trust"]}, case["patch"]))
                expected = sorted([where, verdict] for verdict, where in case["findings"])
                self.assertEqual((found(report), report.exit_code()), (expected, case["exit"]))

    def verified(self, both):
        ledger, trust = both["ledger"], both["trust"]
        files = {"checkpoint": ledger["checkpoint"]} | {f"anchors/{name}": text for name, text in ledger["anchors"].items()}
        files |= {path: {"base64": base64_of(bytes.fromhex(tile))} for path, tile in ledger["tiles"].items()}
        owed = [(self.place(where), event_hash) for part in ("queue", "receipts") for where, event_hash in ledger[part].items()]
        leaf_places = {int(index): self.place(where) for index, where in ledger["leaves"].items()}
        data_keys = {key_id: bytes.fromhex(key) for key_id, key in ledger["data_keys"].items()}
        opens = partial(envelope.fault_of, data_keys, ledger["erased"])
        files = files_of({"files": files, "records": ledger["records"]})
        return verify.verify(files, self.pinned(trust), owed, trust["now"], trust["max_age"], leaf_places, opens)

    def place(self, where):
        tenant, rest = where.split("/", 1)
        plan, seq = rest.rsplit("/", 1)
        return tenant, plan, int(seq)

    def pinned(self, trust):
        keys = [{"id": f"v1-{number:016x}", "secret": base64_of(bytes.fromhex(secret))} for number, secret in enumerate(trust["v1"])]
        for key in trust["keys"]:
            parts = {part: base64_of(bytes.fromhex(key[part])) for part in ("secret", "public") if part in key}
            keys.append({"id": key["kid"], "until": key.get("until")} | parts)
        witnesses = {f"w{number}": vkey for number, vkey in enumerate(trust["witnesses"])}
        policy = [f"log {vkey}" for vkey in trust["log"]] + [f"witness {name} {vkey}" for name, vkey in witnesses.items()]
        policy += [f"group enough {trust['quorum']} {' '.join(witnesses)}", "quorum enough"] if trust["quorum"] else ["quorum none"]
        return trust_in({"origin": trust["origin"], "keyring.json": json.dumps({"keys": keys}), "policy": "\n".join(policy)})


class Tampering(unittest.TestCase):
    """Nothing of a record can be changed, and no file left out, without a finding."""

    def setUp(self):
        # The same signatures are checked again and again.
        self.enterContext(mock.patch.object(ed25519, "verify", functools.cache(ed25519.verify)))
        self.bundles, self.trust = bundle_cases.bundles(), trust_in(bundle_cases.trust(secrets=True))

    def findings(self, made):
        return found(verify.verify(files_of(made), self.trust, now=bundle_cases.NOW))

    def test_every_member_of_every_record(self):
        for name, left_out in (("whole", {"tenant", "plan", "seq"}), ("plans", set(bundle.TEXTS | bundle.NUMBERS))):
            self.assertEqual(self.findings(self.bundles[name]), [])
            for place, record in self.bundles[name]["records"].items():
                for member in record.keys() - left_out:
                    for value in (None, "", -1, 2**53, True, {"kid": 1}, "00" * 32, "\x7f"):
                        made = patched(self.bundles[name], {"records": {place: {member: None}}})
                        made["records"][place] |= {member: value}
                        with self.subTest(f"{name}, {place}, {member}: {value!r}"):
                            self.assertEqual(self.findings(made) == [], repr(value) == repr(record[member]))

    def test_a_record_under_another_name(self):
        for place, record in self.bundles["whole"]["records"].items():
            for member, value in (("tenant", "acme2"), ("plan", "case-8"), ("seq", record["seq"] + 9), ("note", "not sealed")):
                made = patched(self.bundles["whole"], {"records": {place: {member: value}}})
                with self.subTest(f"{place}, {member}"):
                    self.assertIn(where(made["records"][place]), dict(self.findings(made)))

    def test_every_bit_of_a_tile_counts(self):
        path = "tile/0/000.p/9"
        tile = bundle.read(files_of(self.bundles["whole"]), path)
        for bit in range(0, 8 * len(tile), 37):
            flipped = (int.from_bytes(tile, "big") ^ 1 << bit).to_bytes(len(tile), "big")
            made = patched(self.bundles["whole"], {"files": {path: {"base64": base64_of(flipped)}}})
            self.assertEqual(self.findings(made), [[path, "TILE"]])

    def test_a_proof_beside_tiles_must_hold_too(self):
        proof = self.bundles["plans"]["records"]["acme/case-7/2"]["proof"]
        for place, findings in (("acme/case-7/2", []), ("acme/case-7/3", [["acme/case-7/3", "PROOF"]])):
            self.assertEqual(self.findings(patched(self.bundles["whole"], {"records": {place: {"proof": proof}}})), findings)

    def test_no_note_at_all(self):
        for name in ("whole", "plans"):
            made = patched(self.bundles[name], {"files": {"checkpoint": None, "anchors/0": None, "anchors/1": None}})
            unanchored = [[place, "UNANCHORED"] for place in made["records"]]
            self.assertEqual(self.findings(made), sorted([*unanchored, ["checkpoint", "CHECKPOINT"]]))

    def test_an_empty_log(self):
        checkpoint = bundle_cases.checkpoint_of(merkle.Tree([]), 0, SECOND_ANCHOR)
        for files in ({"checkpoint": checkpoint}, {"checkpoint": checkpoint, "anchors/0": checkpoint}):
            report = verify.verify(files_of({"files": files, "records": {}}), self.trust, now=bundle_cases.NOW)
            self.assertEqual((report.exit_code(), report.vouched), (0, (None, None)))

    def test_a_gap_that_never_ends_is_not_counted_out(self):
        last = self.bundles["whole"]["records"]["acme/case-7/4"]
        made = patched(self.bundles["whole"], {"records": {"far": last | {"seq": 2**53 - 1}}})
        findings = self.findings(made)
        self.assertIn(["acme/case-7/5", "SEQ_GAP"], findings)
        self.assertLess(len(findings), 2 * verify.LONGEST_GAP)


class Records(unittest.TestCase):
    """What is a record, and where its fields end."""

    def event(self, text=None, **changed):
        _, _, _, (first, _) = bundle_cases.whole_ledger()
        return bundle.event_of((text or json.dumps(first | changed)).encode(), bundle_cases.ORIGIN)

    def test_limits_of_fields(self):
        v1 = self.event().v1
        for changed, kept in [
            ({}, True), ({"payload_size": 0}, True), ({"payload_size": -1}, False), ({"payload_size": 2**32 - 1}, True), ({"payload_size": 2**32}, False),
            ({"log_index": 0}, True), ({"log_index": -1}, False), ({"log_index": 2**53 - 1}, True), ({"log_index": 2**53}, False),
            ({"data_version": 2**31 - 1}, True), ({"data_version": 2**31}, False), ({"data_version": 1.0}, False), ({"data_version": 10**30}, False),
            ({"prev": "00" * 31}, False), ({"prev": "00" * 33}, False), ({"sig": ""}, True), ({"sig": "0"}, False), ({"mac": "0g"}, False),
            ({"v1": None}, True), ({"plan": "a|b"}, False), ({"type": "a|b"}, False), ({"plan": "a|b", "v1": None}, True),
            ({"v1": {}}, True), ({"v1": v1 | {"key": "x"}}, False), ({"v1": v1 | {"prev_hash": 1}}, False), ({"v1": []}, False),
            ({"recorded": "0000-12-31T00:00:00.000000Z"}, False), ({"recorded": "2025-11-20t01:00:01.000000Z"}, False), ({"other": None}, False),
        ]:
            with self.subTest(changed):
                self.assertEqual(self.event(**changed).header is not None, kept)

    def test_what_is_no_record(self):
        for text in ("[]", "1", "null", "{}", '{"tenant":"t","plan":"p"}', "{", "[" * 70, "9" * 5000, "\ufeff{}"):
            with self.subTest(text), self.assertRaises(bundle.Unreadable):
                self.event(text)
        for changed in ({"tenant": 1}, {"plan": None}, {"seq": "1"}, {"seq": True}, {"seq": 1.5}):
            with self.subTest(changed), self.assertRaises(bundle.Unreadable):
                self.event(**changed)

    def test_what_is_no_keyring(self):
        pinned = bundle_cases.trust()
        hmac = {"id": "hmac-0123456789abcdef"}
        for keyring, taken in [
            ({"keys": []}, True), ({"keys": [hmac]}, True), ({"keys": [hmac | {"until": 0, "from": 0}]}, True), ({"keys": [{"id": "v1-0123456789abcdef"}]}, True),
            ({"keys": [{"id": "kek-0123456789abcdef", "secret": "AA=="}]}, True), ({}, False), ([], False), ({"keys": [hmac, hmac]}, False),
            ({"keys": [hmac | {"until": "7"}]}, False), ({"keys": [hmac | {"from": 1.5}]}, False), ({"keys": [hmac | {"secret": "A"}]}, False),
            ({"keys": ["hmac"]}, False), ({"keys": [{}]}, False), ({"keys": [{"id": 1}]}, False), ({"keys": [{"id": "ed25519-0123456789abcdef"}]}, False),
        ]:
            with self.subTest(keyring):
                make = lambda: trust_in(pinned | {"keyring.json": json.dumps(keyring)})
                self.assertTrue(make()) if taken else self.assertRaises(bundle.Unreadable, make)

    def test_a_key_without_its_public_half_is_known_by_its_secret(self):
        key = {"id": bundle_cases.SIGN[0], "secret": base64_of(bundle_cases.SIGN[1]["seed"])}
        trust = trust_in(bundle_cases.trust() | {"keyring.json": json.dumps({"keys": [key]})})
        self.assertEqual(trust.keys[key["id"]].public, bundle_cases.SIGN[1]["public"])


class Windows(unittest.TestCase):
    """When a key counts, and what was erased: as sealed events of the plans for it say, and no others."""

    def survey(self, *events):
        made = []
        for index, (plan, kind, said) in enumerate(events):
            tenant = "_system" if plan == "_keys" else "acme"
            record = {"type": kind, "payload_mode": "encrypted"}
            made.append(mock.Mock(tenant=tenant, plan=plan, record=record, index=index, recorded=0, **{"data.return_value": said}))
        return verify.Survey(made), made

    def window(self, *events, start=0, end=float("inf")):
        survey, _ = self.survey(*events)
        pinned = bundle.Key(b"", b"", start, end)
        return [index for index in range(10) if survey.key_counts("k", pinned, index)]

    def test_from_its_leaf_until_what_ends_it(self):
        added, filler = ("_keys", "key.added", {"kid": "k"}), ("_keys", "key.added", {"kid": "other"})
        ended = lambda until, kind="key.retired", kid="k": ("_keys", kind, {"kid": kid, "until": until})
        for events, pinned, counts in [
            ([], {}, range(0)), ([filler], {}, range(0)), ([filler, added], {}, range(1, 10)), ([added, added], {}, range(10)),
            ([added, ended(7)], {}, range(7)), ([added, ended(0)], {}, range(1)), ([added, filler, ended(1, "key.revoked")], {}, range(2)),
            ([added, ended(None)], {}, range(1)), ([added, ended("7")], {}, range(1)), ([added, ended(7), ended(9)], {}, range(7)),
            ([added, ended(9), ended(7)], {}, range(7)), ([added, ended(5, kid="other")], {}, range(10)), ([added, ended(5, "key.noted")], {}, range(10)),
            ([added], {"start": 3, "end": 6}, range(3, 6)), ([filler, added, ended(4)], {"end": 9}, range(1, 4)),
            ([("orders", "key.added", {"kid": "k"})], {}, range(0)), ([added, ("orders", "key.retired", {"kid": "k"})], {}, range(10)),
        ]:
            with self.subTest(f"{events}, {pinned}"):
                self.assertEqual(self.window(*events, **pinned), list(counts))

    def test_erasures(self):
        for plan, kind, keys, erased in [
            ("_erasures", "subject.erased", ["d"], True), ("_erasures", "subject.erased", ["e", "d"], True), ("_erasures", "subject.erased", "d", False),
            ("_erasures", "subject.noted", ["d"], False), ("orders", "subject.erased", ["d"], False), ("_erasures", "subject.erased", ["e"], False),
        ]:
            survey, (_, event) = self.survey((plan, kind, {"keys": keys}), ("person", "user.created", {"key": "d"}))
            self.assertEqual(survey.has_erased(event), erased)


class Vouching(unittest.TestCase):
    def test_up_to_the_newest_anchor_if_nothing_is_wrong_with_it(self):
        file = json.loads(json.dumps(bundle_cases.bundle_file(), default=bytes.hex))
        expected = {"two anchors, one size, two roots": 8, "anchored only in part": 4, "old, and a young one is asked": 8, "payload changed": 8}
        nothing = ["a tile cut", "no witness", "rolled back behind the anchor", "no anchors", "an anchor of another tree, the newest"]
        tree = merkle.Tree([bytes(32)] * 9)
        newest = bundle_cases.case("an anchor of another tree, the newest", "plans", [], files={"anchors/2": bundle_cases.checkpoint_of(tree, 9, SECOND_ANCHOR)})
        cases = {case["name"]: case for case in [*file["cases"], newest]}
        for name, index in (expected | dict.fromkeys(nothing)).items():
            case = cases[name]
            both = patched({"bundle": file["bundles"][case["bundle"]], "trust": file["trust"]}, case["patch"])
            with self.subTest(name):
                self.assertEqual(vectors.verified(both, case, file["now"]).vouched[0], index)


class Tiles(unittest.TestCase):
    """A log of several tiles, two levels high."""

    def setUp(self):
        self.tree = merkle.Tree(seal.sha256(b"%d" % number) for number in range(600))
        self.files = {"events.jsonl": "", "checkpoint": bundle_cases.checkpoint_of(self.tree, 600, SECOND_ANCHOR)}
        self.files |= bundle_cases.tiles_of(self.tree, 600)
        self.trust = trust_in(bundle_cases.trust())

    def findings(self, **changed):
        files = {path: file for path, file in (self.files | changed).items() if file is not None}
        report = verify.verify(files_of({"files": files, "records": {}}), self.trust, now=bundle_cases.NOW)
        return [verdict for verdict in found(report) if verdict[1] != "MISSING_LEAF"]

    def tile(self, level, n, width, change=lambda data: data):
        return {merkle.tile_path(level, n, width): {"base64": base64_of(change(self.tree.tile(level, n, width)))}}

    def test_they_must_be_there_and_right(self):
        self.assertEqual(set(self.files) - {"events.jsonl", "checkpoint"}, {"tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"})
        flip = lambda data: data[:-1] + bytes([data[-1] ^ 1])
        for tile, blamed in [((0, 0, 256), "tile/1/000.p/2"), ((0, 2, 88), "tile/0/002.p/88"), ((1, 0, 2), "tile/1/000.p/2")]:
            path = merkle.tile_path(*tile)
            self.assertEqual(self.findings(**self.tile(*tile, flip)), [[blamed, "TILE"]])
            self.assertEqual(self.findings(**self.tile(*tile, lambda data: data[32:])), [[path, "TILE"]])
            self.assertEqual(self.findings(**{path: None}), [[path, "TILE"]])

    def test_a_partial_tile_may_have_grown(self):
        grown = {"tile/0/002.p/88": None, "tile/0/002.p/90": {"base64": base64_of(self.tree.tile(0, 2, 88) + bytes(64))}}
        self.assertEqual(self.findings(**grown), [])
        self.assertEqual(self.findings(**grown | {"tile/0/002.p/90": {"base64": base64_of(self.tree.tile(0, 2, 88))}}), [["tile/0/002.p/88", "TILE"]])


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.write("trust", {name: text.encode() for name, text in bundle_cases.trust().items()})
        self.write("bundle", self.contents("whole"))

    def contents(self, name):
        return {path: opens().read() for path, opens in files_of(bundle_cases.bundles()[name]).items()}

    def write(self, folder, contents):
        for path, data in contents.items():
            (self.folder / folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / folder / path).write_bytes(data)

    def run_with(self, *words):
        call = [sys.executable, "-B", HERE / "verify.py", *words]
        return subprocess.run(call, cwd=self.folder, capture_output=True, text=True, encoding="utf-8", check=False)

    def verified(self, *words):
        run = self.run_with("bundle", "--trust", "trust", *words)
        self.assertEqual(run.stderr, "")
        return run.returncode, run.stdout

    def receipt(self, name, **changed):
        tail = bundle_cases.whole_ledger()[1][4]
        (self.folder / name).write_text(json.dumps(tail | changed), encoding="utf-8")

    def test_a_clean_bundle(self):
        code, said = self.verified()
        self.assertEqual(code, 0)
        self.assertIn("9 events of 4 plans; 4 MACs or v1 signatures unchecked", said)
        self.assertIn("Vouches for the whole log, up to log index 8 as of 2025-11-20T01:01:02Z", said)

    def test_findings_on_lines_and_as_json(self):
        self.receipt("receipt.json")
        code, said = self.verified("--receipt", "receipt.json")
        self.assertEqual((code, said.splitlines()[0].split(":")[0].split()), (3, ["MISSING", "acme/case-7/5"]))
        code, said = self.verified("-o", "json", "--receipt", "receipt.json")
        finding = json.loads(said)["findings"][0]
        self.assertEqual(code, 3)
        self.assertIn("nowhere", finding.pop("detail"))
        self.assertEqual(finding, {"verdict": "MISSING", "where": "acme/case-7/5", "tenant": "acme", "plan": "case-7", "seq": 5})
        self.assertEqual(json.loads(said)["vouched"], {"log_index": 8, "time": "2025-11-20T01:01:02Z"})

    def test_the_age_is_that_of_now(self):
        self.assertEqual([self.verified("--max-age", age)[0] for age in ("180s", "180", "9999999999")], [3, 3, 0])

    def test_a_tar_is_a_folder(self):
        for name, top in (("bundle.tar", "."), ("compressed.tar.gz", "")):
            with tarfile.open(self.folder / name, "w:gz" if name.endswith("gz") else "w") as tar:
                for path in sorted(self.contents("whole")):
                    tar.add(self.folder / "bundle" / path, arcname=f"{top}/{path}" if top else path)
            self.assertEqual(self.run_with(name, "--trust", "trust").stdout, self.verified()[1])

    def test_what_cannot_be_read(self):
        with tarfile.open(self.folder / "twice.tar", "w") as tar:
            for path in [*self.contents("whole"), "checkpoint"]:
                tar.add(self.folder / "bundle" / path, arcname=path)
        (self.folder / "cut.tar").write_bytes((self.folder / "twice.tar").read_bytes()[:9000])
        with tarfile.open(self.folder / "broken.tar.gz", "w:gz") as tar:
            tar.add(self.folder / "bundle", arcname=".")
        packed = (self.folder / "broken.tar.gz").read_bytes()
        (self.folder / "broken.tar.gz").write_bytes(packed[:3000] + bytes(100) + packed[3100:])
        (self.folder / "empty").mkdir()
        self.receipt("forged.json", sig="00" * 64)
        for words in [
            ["nowhere", "--trust", "trust"], ["bundle", "--trust", "nowhere"], ["empty", "--trust", "trust"], ["bundle", "--trust", "bundle"],
            ["twice.tar", "--trust", "trust"], ["cut.tar", "--trust", "trust"], ["broken.tar.gz", "--trust", "trust"], ["trust/policy", "--trust", "trust"],
            ["bundle", "--trust", "trust", "--receipt", "forged.json"], ["bundle", "--trust", "trust", "--receipt", "trust/policy"],
        ]:
            with self.subTest(words):
                run = self.run_with(*words)
                self.assertEqual((run.returncode, run.stdout), (1, ""))
                self.assertRegex(run.stderr, "^verify: .*\n$")

    def test_a_wrong_call(self):
        for words in ([], ["bundle"], ["bundle", "--trust", "trust", "--max-age", "soon"], ["bundle", "--trust", "trust", "-o", "xml"]):
            self.assertEqual(self.run_with(*words).returncode, 2)

    def test_names_cannot_speak_to_the_terminal(self):
        record = bundle_cases.whole_ledger()[1][0] | {"plan": "\x1b[2Jcase"}
        self.write("bundle", {"events.jsonl": json.dumps(record).encode()})
        code, said = self.verified()
        self.assertEqual((code, "\x1b" in said, "acme/\\x1b[2Jcase/1" in said), (3, False, True))


if __name__ == "__main__":
    result = unittest.TextTestRunner().run(unittest.TestLoader().discover(str(HERE)))
    failed = len({getattr(test, "test_case", test) for test, _ in result.failures + result.errors})
    skipped = len(result.skipped)
    # In cargo's words, so that they are counted with the other tests.
    print(f"test result: {'FAILED' if failed else 'ok'}. {result.testsRun - failed - skipped} passed; {failed} failed; 0 ignored")
    sys.exit(0 if result.wasSuccessful() else 1)
