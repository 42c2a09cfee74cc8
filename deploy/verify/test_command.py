"""Tests of the command verify.py, with its output, exit codes and input."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

import sample_bundles
from bundle import Unreadable
from bundle import files_of as bundle_files
from sample_bundles import files_of
from test_verify import HERE


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.write("trust", {name: text.encode() for name, text in sample_bundles.trust().items()})
        self.write("bundle", self.contents("whole"))

    def contents(self, name):
        return {path: opens().read() for path, opens in files_of(sample_bundles.bundles()[name]).items()}

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
        tail = sample_bundles.whole_ledger()[1][4]
        (self.folder / name).write_text(json.dumps(tail | changed), encoding="utf-8")

    def test_links_and_pipes_are_refused(self):
        bundle = self.folder / "bundle"
        for make in (
            lambda: (bundle / "anchors" / "loop").symlink_to(bundle),
            lambda: (bundle / "anchors" / "x").symlink_to(bundle / "checkpoint"),
            lambda: os.mkfifo(bundle / "anchors" / "pipe"),
        ):
            make()
            run = self.run_with("bundle", "--trust", "trust")
            self.assertEqual(run.returncode, 1)
            self.assertIn("is not a regular file", run.stderr)
            for name in ("loop", "x", "pipe"):
                (bundle / "anchors" / name).unlink(missing_ok=True)
        os.mkfifo(self.folder / "pipe.tar")
        self.assertEqual(self.run_with("pipe.tar", "--trust", "trust").returncode, 1)
        (self.folder / "link").symlink_to(bundle)
        self.assertEqual(self.run_with("link", "--trust", "trust").returncode, 0)

    def test_a_folder_that_cannot_be_listed_is_refused(self):
        self.folder.chmod(0o755)
        (self.folder / "bundle" / "anchors").chmod(0)
        user = os.geteuid()
        if user == 0:  # root can list every folder
            os.seteuid(65534)
        try:
            with self.assertRaisesRegex(Unreadable, "anchors cannot be read: "):
                bundle_files(self.folder / "bundle")
        finally:
            os.seteuid(user)
            (self.folder / "bundle" / "anchors").chmod(0o700)

    def test_control_characters_do_not_reach_the_terminal(self):
        lines = (self.folder / "bundle" / "events.jsonl").read_bytes().splitlines(keepends=True)
        self.write("bundle", {"events.jsonl": lines[0].replace(b'"seq"', b'"se\\u001b[2Jq"') + b"".join(lines[1:])})
        run = self.run_with("bundle", "--trust", "trust")
        self.assertEqual((run.returncode, "\x1b" in run.stdout + run.stderr), (1, False))
        plan = json.dumps(json.loads(lines[0]) | {"tenant": "!", "plan": "\x1b[2J\x9b31m\u202e", "proof": None})
        self.write("bundle", {"events.jsonl": plan.encode() + b"\n" + b"".join(lines)})
        run = self.run_with("bundle", "--trust", "trust")
        self.assertEqual(run.returncode, 3)
        self.assertFalse({"\x1b", "\x9b", "\u202e"} & set(run.stdout + run.stderr))

    def test_a_clean_bundle(self):
        code, output = self.verified()
        self.assertEqual(code, 0)
        self.assertIn("9 events of 4 plans; 4 MACs or v1 signatures not checked", output)
        self.assertIn("Vouches for the whole log, up to log index 8 as of 2025-11-20T01:01:02Z", output)

    def test_with_all_secrets_everything_is_checked(self):
        self.write("trust", {name: text.encode() for name, text in sample_bundles.trust(secrets=True).items()})
        code, output = self.verified("-o", "json")
        self.assertEqual((code, json.loads(output)["unchecked"]), (0, 0))

    def test_findings_on_lines_and_as_json(self):
        self.receipt("receipt.json")
        code, output = self.verified("--receipt", "receipt.json")
        self.assertEqual((code, output.splitlines()[0].split(":")[0].split()), (3, ["MISSING", "acme/case-7/5"]))
        code, output = self.verified("-o", "json", "--receipt", "receipt.json")
        finding = json.loads(output)["findings"][0]
        self.assertEqual(code, 3)
        self.assertIn("is missing", finding.pop("detail"))
        self.assertEqual(finding, {"verdict": "MISSING", "where": "acme/case-7/5", "tenant": "acme", "plan": "case-7", "seq": 5})
        self.assertEqual(json.loads(output)["vouched"], {"log_index": 8, "time": "2025-11-20T01:01:02Z"})

    def test_the_age_is_measured_from_now(self):
        self.assertEqual([self.verified("--max-age", age)[0] for age in ("180s", "180", "9999999999")], [3, 3, 0])

    def test_a_tar_is_read_like_a_folder(self):
        for name, top in (("bundle.tar", "."), ("compressed.tar.gz", "")):
            with tarfile.open(self.folder / name, "w:gz" if name.endswith("gz") else "w") as tar:
                for path in sorted(self.contents("whole")):
                    tar.add(self.folder / "bundle" / path, arcname=f"{top}/{path}" if top else path)
            self.assertEqual(self.run_with(name, "--trust", "trust").stdout, self.verified()[1])

    def test_unreadable_input_is_exit_code_1(self):
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

    def test_wrong_usage_is_exit_code_2(self):
        for words in ([], ["bundle"], ["bundle", "--trust", "trust", "--max-age", "soon"], ["bundle", "--trust", "trust", "-o", "xml"]):
            self.assertEqual(self.run_with(*words).returncode, 2)

    def test_control_characters_in_names_are_escaped(self):
        record = sample_bundles.whole_ledger()[1][0] | {"plan": "\x1b[2Jcase"}
        self.write("bundle", {"events.jsonl": json.dumps(record).encode()})
        code, output = self.verified()
        self.assertEqual((code, "\x1b" in output, "acme/\\x1b[2Jcase/1" in output), (3, False, True))
