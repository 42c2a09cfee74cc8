#!/usr/bin/env python3
"""Writes the golden vectors (`--write`), or checks that this implementation still makes them byte for byte.

In both cases the program also checks this implementation against every vector in the golden files, and against the published
vectors in ../shared/vectors if that folder exists.
"""

import json
import sys
from pathlib import Path

import bundle_cases
import canonical_cases
import checks
import envelope_cases
import log_cases
import merkle_cases
import seal_cases
import strict_cases
import tlog_cases
import verdict_cases

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "libs/core/tests/golden"
PUBLISHED = ROOT.parent / "shared/vectors/seal"

# Maps each golden file to the function that makes it and to its checks.
FILES = {
    "seal.json": (seal_cases.seal_file, [checks.check_seal, lambda file: checks.check_v1(file["v1"])]),
    "strict.json": (strict_cases.strict_file, [checks.check_strict]),
    "canonical.json": (canonical_cases.canonical_file, [checks.check_canonical]),
    "log.json": (log_cases.log_file, [checks.check_log, checks.check_notes]),
    "merkle.json": (merkle_cases.merkle_file, [checks.check_merkle]),
    "tlog.json": (tlog_cases.tlog_file, [checks.check_tlog_file]),
    "envelope.json": (envelope_cases.envelope_file, [checks.check_envelopes]),
    "verdicts.json": (verdict_cases.verdict_file, [checks.check_verdicts]),
    "bundles.json": (bundle_cases.bundle_file, [checks.check_bundles]),
}
# Maps each published file to its checks. A published file has the form of a golden file that covers the same subject.
PUBLISHED_FILES = {
    "seal-v2.json": [checks.check_seal], "seal-v1.json": [checks.check_v1], "strict-json.json": [checks.check_strict],
    "log.json": [checks.check_log, checks.check_notes], "envelope.json": [checks.check_envelopes], "verdicts.json": [checks.check_verdicts],
}


def golden(name, make, write):
    """Checks that the golden file holds what `make` returns, and returns its content. With `write`, writes the file first."""
    text = json.dumps(make(), indent=1, ensure_ascii=False, default=bytes.hex) + "\n"
    if write:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        (GOLDEN / name).write_text(text, encoding="utf-8")
    checks.equal((GOLDEN / name).read_text(encoding="utf-8") == text, True, f"{name} is what this implementation makes")
    return json.loads(text)


def main():
    write = sys.argv[1:] == ["--write"]
    if sys.argv[1:] and not write:
        sys.exit(__doc__)
    try:
        for name, (make, checks_of_file) in FILES.items():
            file = golden(name, make, write)
            for check in checks_of_file:
                check(file)
        for name, checks_of_file in PUBLISHED_FILES.items():
            if (PUBLISHED / name).is_file():
                file = json.loads((PUBLISHED / name).read_text(encoding="utf-8"))
                for check in checks_of_file:
                    check(file)
    except checks.Different as different:
        sys.exit(str(different))
    print(f"{checks.equal.count} comparisons, all equal")


if __name__ == "__main__":
    main()
