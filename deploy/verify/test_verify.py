#!/usr/bin/env python3
"""Tests of the verifier. They cover golden and published verdicts, changes to every member of every record, key windows and tiles.

When this file is run as a program, it runs all tests of the folder. The golden bundles are checked by vectors.py.
"""

import functools
import json
import sys
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import bundle
import bundle_cases
import checks
import ed25519
import merkle
import sample_bundles
import seal
import survey
import vectors
import verify
from checks import trust_in
from log_cases import base64_of
from sample_bundles import SECOND_ANCHOR, files_of, patched, where

SHARED = HERE.parents[2] / "shared/vectors"


def published(path):
    """Returns a published file for which there are no golden vectors. Skips the test if the file is not present."""
    if not (SHARED / path).exists():
        print(f"SKIPPED: ../shared/vectors/{path} is not here", flush=True)
        raise unittest.SkipTest(path)
    return (SHARED / path).read_text(encoding="utf-8")


def golden(name):
    return json.loads((vectors.GOLDEN / name).read_text(encoding="utf-8"))


def found(report):
    return sorted(["/".join(map(str, place)), verdict] for place, (verdict, _) in report.findings.items())


class Verdicts(unittest.TestCase):
    """Each case of the tampering table produces exactly its expected findings."""

    def test_the_golden_and_the_published_cases(self):
        files = [golden("verdicts.json")]
        if (SHARED / "seal/verdicts.json").is_file():
            files.append(json.loads(published("seal/verdicts.json")))
        for file in files:
            for case in file["cases"]:
                with self.subTest(f"row {case['row']}: {case['name']}"):
                    report = checks.verified_ledger(patched({"ledger": file["ledger"], "trust": file["trust"]}, case["patch"]))
                    expected = sorted([where, verdict] for verdict, where in case["findings"])
                    self.assertEqual((found(report), report.exit_code()), (expected, case["exit"]))


class Tampering(unittest.TestCase):
    """No member of a record can be changed, and no file removed, without a finding."""

    def setUp(self):
        # The tests verify the same signatures many times.
        self.enterContext(mock.patch.object(ed25519, "verify", functools.cache(ed25519.verify)))
        self.bundles, self.trust = sample_bundles.bundles(), trust_in(sample_bundles.trust(secrets=True))

    def findings(self, made):
        return found(verify.verify(files_of(made), self.trust, now=sample_bundles.NOW))

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

    def test_a_proof_in_addition_to_tiles_must_hold(self):
        proof = self.bundles["plans"]["records"]["acme/case-7/2"]["proof"]
        for place, findings in (("acme/case-7/2", []), ("acme/case-7/3", [["acme/case-7/3", "PROOF"]])):
            self.assertEqual(self.findings(patched(self.bundles["whole"], {"records": {place: {"proof": proof}}})), findings)

    def test_no_note_at_all(self):
        for name in ("whole", "plans"):
            made = patched(self.bundles[name], {"files": {"checkpoint": None, "anchors/0": None, "anchors/1": None}})
            unanchored = [[place, "UNANCHORED"] for place in made["records"]]
            self.assertEqual(self.findings(made), sorted([*unanchored, ["checkpoint", "CHECKPOINT"]]))

    def test_an_empty_log(self):
        checkpoint = sample_bundles.checkpoint_of(merkle.Tree([]), 0, SECOND_ANCHOR)
        for files in ({"checkpoint": checkpoint}, {"checkpoint": checkpoint, "anchors/0": checkpoint}):
            report = verify.verify(files_of({"files": files, "records": {}}), self.trust, now=sample_bundles.NOW)
            self.assertEqual((report.exit_code(), report.vouched), (0, (None, None)))

    def test_the_findings_of_a_huge_gap_are_bounded(self):
        last = self.bundles["whole"]["records"]["acme/case-7/4"]
        made = patched(self.bundles["whole"], {"records": {"far": last | {"seq": 2**53 - 1}}})
        findings = self.findings(made)
        self.assertIn(["acme/case-7/5", "SEQ_GAP"], findings)
        self.assertLess(len(findings), 2 * verify.MAX_GAP_FINDINGS)


class Windows(unittest.TestCase):
    """Key windows and erasures change only by sealed events of the plans `_keys` and `_erasures`."""

    def survey(self, *events):
        made, (_, _, first) = [], events[0] if events else ("", "", {})
        for index, (plan, kind, payload) in enumerate(events):
            tenant = "_system" if plan == "_keys" else "acme"
            record = {"type": kind, "payload_mode": "encrypted", "kid": first.get("kid")}
            about = {"index": index, "seq": index + 1, "recorded": 0, "data.return_value": payload}
            made.append(mock.Mock(tenant=tenant, plan=plan, record=record, **about))
        trust = mock.Mock(keys=dict.fromkeys(["k", "other"], bundle.Key(b"", b"", 0, float("inf"))))
        with mock.patch("survey.sealed_data", lambda event, trust: event.data()), mock.patch("survey.is_proven", return_value=True):
            return survey.Survey(made, trust), made

    def window(self, *events, start=0, end=float("inf")):
        made, _ = self.survey(*events)
        pinned = bundle.Key(b"", b"", start, end)
        return [index for index in range(10) if made.key_counts("k", pinned, index)]

    def test_from_its_leaf_to_the_event_that_ends_it(self):
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
        data_key, other = ("01a223c2-5570-77b4-80f3-d7bc1dfbf1f" + digit for digit in "de")
        for plan, kind, keys, erased in [
            ("_erasures", "subject.erased", [data_key], True), ("_erasures", "subject.erased", [other, data_key], True),
            ("_erasures", "subject.erased", data_key, False), ("_erasures", "subject.noted", [data_key], False),
            ("orders", "subject.erased", [data_key], False), ("_erasures", "subject.erased", [other], False),
        ]:
            added, person = ("_keys", "key.added", {"kid": "k"}), ("person", "user.created", {"key": data_key})
            made, (_, _, event) = self.survey(added, (plan, kind, {"keys": keys}), person)
            self.assertEqual(made.has_erased(event), erased)


class Vouching(unittest.TestCase):
    def test_it_vouches_up_to_the_newest_anchor_without_findings(self):
        file = json.loads(json.dumps(bundle_cases.bundle_file(), default=bytes.hex))
        expected = {"two anchors, one size, two roots": 8, "anchored only in part": 4, "old, and a young one is asked": 8, "payload changed": 8}
        nothing = ["a tile cut", "no witness", "rolled back behind the anchor", "no anchors", "an anchor of another tree, the newest"]
        tree = merkle.Tree([bytes(32)] * 9)
        newest = bundle_cases.case("an anchor of another tree, the newest", "plans", [], files={"anchors/2": sample_bundles.checkpoint_of(tree, 9, SECOND_ANCHOR)})
        cases = {case["name"]: case for case in [*file["cases"], newest]}
        for name, index in (expected | dict.fromkeys(nothing)).items():
            case = cases[name]
            both = patched({"bundle": file["bundles"][case["bundle"]], "trust": file["trust"]}, case["patch"])
            with self.subTest(name):
                self.assertEqual(checks.verified(both, case, file["now"]).vouched[0], index)


class Tiles(unittest.TestCase):
    """Checks the tiles of a log that has several tiles on two levels."""

    def setUp(self):
        self.tree = merkle.Tree(seal.sha256(b"%d" % number) for number in range(600))
        self.files = {"events.jsonl": "", "checkpoint": sample_bundles.checkpoint_of(self.tree, 600, SECOND_ANCHOR)}
        self.files |= sample_bundles.tiles_of(self.tree, 600)
        self.trust = trust_in(sample_bundles.trust())

    def findings(self, **changed):
        files = {path: file for path, file in (self.files | changed).items() if file is not None}
        report = verify.verify(files_of({"files": files, "records": {}}), self.trust, now=sample_bundles.NOW)
        return [verdict for verdict in found(report) if verdict[1] != "MISSING_LEAF"]

    def tile(self, level, n, width, change=lambda data: data):
        return {merkle.tile_path(level, n, width): {"base64": base64_of(change(self.tree.tile(level, n, width)))}}

    def test_tiles_must_be_present_and_correct(self):
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


if __name__ == "__main__":
    result = unittest.TextTestRunner().run(unittest.TestLoader().discover(str(HERE)))
    failed = len({getattr(test, "test_case", test) for test, _ in result.failures + result.errors})
    skipped = len(result.skipped)
    # The line has the form of the summary of `cargo test`, so that a script can add up the tests of both languages.
    print(f"test result: {'FAILED' if failed else 'ok'}. {result.testsRun - failed - skipped} passed; {failed} failed; 0 ignored")
    sys.exit(0 if result.wasSuccessful() else 1)
