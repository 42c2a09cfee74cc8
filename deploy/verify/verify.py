#!/usr/bin/env python3
"""Verifies an exported bundle of events offline, without a server, a database or a secret.

BUNDLE is a folder or a tar. DIR contains the pins: origin, keyring.json and policy. A receipt is a record that a publisher
kept; its event must be in the bundle. Prints one line for each finding. Exit codes: 0 if there is no finding except
erasures, 4 if the only other findings are events that no anchor covers yet, 3 for any other finding, 2 for wrong usage,
1 if something cannot be read or the bundle has no event.
"""

import argparse
import json
import sys
import tarfile
import time
import zlib
from itertools import groupby
from pathlib import Path

import bundle
import seal
import strict_json
from log import Log, stamp
from survey import Survey, faults_of_seal

# In the order of the checks. Only the first failed check of a note, tile or event is reported.
VERDICTS = (
    "CHECKPOINT SPLIT_VIEW INCONSISTENT TILE QUORUM STALE FORK GENESIS SEQ_GAP FORMAT LINK SUITE EVENT_HASH UNTRUSTED_KEY "
    "KEY_WINDOW MAC SIGNATURE PAYLOAD_HASH METADATA_HASH V1_PREV_HASH V1_PAYLOAD_HASH V1_SIGNATURE UNSEALED PROOF "
    "LEAF_MISMATCH ORDER TIME KEY_LOST COMMITMENT AAD MISSING_LEAF MISSING UNANCHORED ERASED"
).split()
MINUTE = 60_000_000  # microseconds
MAX_GAP_FINDINGS = 1000  # missing records of one gap that are reported


class Report:
    """The findings and counts of a verification."""

    def __init__(self):
        self.findings, self.events, self.plans, self.unchecked = {}, 0, 0, 0
        self.is_whole, self.vouched = False, (None, None)  # log index and time

    def add(self, place, verdict, detail):
        """Adds a finding. `place` is (tenant, plan, seq), or (name,) of a note, a tile or a leaf."""
        if place not in self.findings or VERDICTS.index(verdict) < VERDICTS.index(self.findings[place][0]):
            self.findings[place] = verdict, detail

    def is_about_nothing(self):
        """Returns whether there is no event, and nothing shows that one is missing."""
        return not self.events and not {"MISSING_LEAF", "MISSING"} & {verdict for verdict, _ in self.findings.values()}

    def exit_code(self):
        verdicts = {verdict for verdict, _ in self.findings.values()} - {"ERASED"}
        return 3 if verdicts - {"UNANCHORED"} else 4 if verdicts else 0


def faults_of_content(event):
    """Performs checks 10 and 11."""
    record, payload = event.record, event.record.get("payload")
    if (payload is None) != (record["payload_mode"] == "hash-only"):
        yield "PAYLOAD_HASH", "the payload is missing, or a hash-only event has one"
    if payload is not None and not strict_json.stored_matches(payload, bytes.fromhex(record["payload_hash"])):
        yield "PAYLOAD_HASH", "the payload is not the sealed one"
    if not strict_json.stored_matches(record["metadata"], bytes.fromhex(record["metadata_hash"])):
        yield "METADATA_HASH", "the metadata is not the sealed one"


def faults_of_v1(event, predecessor, is_adjacent, trust):
    """Performs check 12."""
    v1, record = event.v1, event.record
    if predecessor and (v1 is None) != (predecessor.v1 is None):
        yield "V1_SIGNATURE", "scheme v1 begins or ends inside the plan"
        return
    if v1 is None:
        if event.carries_v1():
            yield "V1_SIGNATURE", "the sealed metadata says that the event carries scheme v1, and it has none"
        return
    prev_hash = v1.get("prev_hash")
    if event.seq == 1 and prev_hash is not None or is_adjacent and prev_hash != predecessor.v1.get("signature"):
        yield "V1_PREV_HASH", "v1 prev_hash is not the v1 signature of the predecessor"
    if v1.get("payload_hash") != record["payload_hash"]:
        yield "V1_PAYLOAD_HASH", "v1 payload_hash is not the sealed payload hash"
    signed = (event.plan, record["type"], record["payload_hash"], prev_hash)
    if trust.v1 and v1.get("signature") not in [seal.v1_signature(secret, *signed) for secret in trust.v1]:
        yield "V1_SIGNATURE", "the v1 signature is of no v1 key"


def faults(event, predecessor, is_sealed_later, trust, log, survey, opens):
    """Yields the failed checks 3 to 20 of an event, in their order. `predecessor` is the record of the plan read before it."""
    record, header, index = event.record, event.header, event.index
    if header is None:
        yield "FORMAT", "a field is outside its limits"
        return
    is_adjacent = predecessor is not None and predecessor.seq == event.seq - 1
    if event.seq == 1 and record["prev"] != seal.genesis(trust.origin, event.tenant, event.plan).hex():
        yield "GENESIS", "prev is not the genesis of the plan"
    if is_adjacent and record["prev"] != predecessor.record.get("event_hash"):
        yield "LINK", "prev is not the event hash of the predecessor"
    if predecessor and event.suite < predecessor.suite:
        yield "SUITE", "the suite is lower than the predecessor's"
    key_index = log.size if index is None else index
    yield from faults_of_seal(event, trust, lambda kid, key: survey.key_counts(kid, key, key_index))
    yield from faults_of_content(event)
    yield from faults_of_v1(event, predecessor, is_adjacent, trust)
    if index is None and (is_sealed_later or survey.last_sealed > event.recorded + MINUTE):
        yield "UNSEALED", "the event has no leaf, but later events have one"
    if index is not None:
        leaf = seal.leaf_of(seal.encode(header), bytes.fromhex(record["mac"]), bytes.fromhex(record["sig"]))
        yield from log.faults_of_leaf(leaf, index, record.get("proof"))
        if predecessor and predecessor.index is not None and index <= predecessor.index:
            yield "ORDER", "the log index is not above the predecessor's"
    if predecessor and predecessor.header and event.recorded < predecessor.recorded:
        yield "TIME", "recorded before the predecessor"
    if index is not None and event.recorded > log.seen(index) + MINUTE:
        yield "TIME", "recorded over 60 s after a trusted time over its leaf"
    if verdict := opens(event):
        yield verdict, "the envelope does not open"
    if index is None or index >= log.anchored:
        yield "UNANCHORED", "no anchor covers the event yet"
    if survey.has_erased(event):
        yield "ERASED", "an erasure names the data key"


def check_plan(events, trust, log, survey, opens, report):
    """Checks the events of one plan, in order of seq."""
    last_sealed, predecessor = max((event.seq for event in events if event.index is not None), default=0), None
    for event in events:
        if predecessor and event.seq == predecessor.seq:
            report.add(event.place, "FORK", "a second record has this seq")
            continue
        gap = range(max(1, predecessor.seq + 1 if predecessor else 1), event.seq)
        for seq in gap[:MAX_GAP_FINDINGS]:
            detail = f"the record is missing, one of {len(gap)} in a row"
            report.add((event.tenant, event.plan, seq), "SEQ_GAP" if predecessor else "GENESIS", detail)
        if fault := next(faults(event, predecessor, last_sealed > event.seq, trust, log, survey, opens), None):
            report.add(event.place, *fault)
        predecessor = event


def verify(files, trust, acknowledged=(), now=None, max_age=None, leaf_places=(), opens=lambda event: None):
    """Verifies a bundle and returns the report. `acknowledged` are (place, event_hash) of events that must be present.

    A caller with access to the ledger can pass in `leaf_places`, (index, place) of its leaves, and `opens`, which opens the
    envelope of an event and returns the verdict of check 16, or None.
    """
    report, missing, claimed = Report(), {event_hash: place for place, event_hash in acknowledged}, set()
    log = Log(files, trust, time.time() if now is None else now, max_age, report)
    survey = Survey(bundle.events(files, trust.origin), trust)
    for _, plan in groupby(bundle.events(files, trust.origin), key=lambda event: event.place[:2]):
        plan = list(plan)
        check_plan(plan, trust, log, survey, opens, report)
        report.plans, report.events = report.plans + 1, report.events + len(plan)
        for event in plan:
            claimed.add(event.index)
            missing.pop(str(event.record.get("event_hash")), None)
            report.unchecked += trust.lacks_secret_for(event)
    places = dict(leaf_places)
    for index in range(log.size if log.tree else 0):
        if index not in claimed:
            report.add(places.get(index, (f"leaf {index}",)), "MISSING_LEAF", f"no record claims leaf {index} of the log")
    for event_hash, place in missing.items():
        report.add(place, "MISSING", f"event {event_hash} was acknowledged and is missing")
    return report


def acknowledged_by(receipt, trust):
    """Returns (place, event_hash) of a receipt, which a pinned key must have sealed."""
    event = bundle.event_of(receipt, trust.origin)
    fault = next(faults_of_seal(event, trust, lambda kid, key: True), None) if event.header else ("FORMAT", "")
    if fault:
        raise bundle.Unreadable(f"no pinned key sealed the receipt: {fault[0]}")
    return event.place, event.record["event_hash"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--trust", metavar="DIR", required=True)
    parser.add_argument("--receipt", metavar="FILE", nargs="+", action="extend", default=[])
    parser.add_argument("--max-age", metavar="SECONDS", type=lambda text: int(text.removesuffix("s")))
    parser.add_argument("-o", choices=["text", "json"], default="text", dest="output")
    call = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        trust = bundle.Trust(bundle.pins_of(call.trust))
        acknowledged = [acknowledged_by(Path(path).read_bytes(), trust) for path in call.receipt]
        report = verify(bundle.files_of(call.bundle), trust, acknowledged, max_age=call.max_age)
        if report.is_about_nothing():
            raise bundle.Unreadable("the bundle has no event: there is nothing to verify")
    except (OSError, EOFError, tarfile.TarError, zlib.error, bundle.Unreadable) as error:
        print("verify:", *printable(str(error)).split(), file=sys.stderr)
        return 1
    print_report(report, call.output)
    return report.exit_code()


def printable(text):
    """Returns the text with each character that could act on a terminal as an escape sequence."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def print_report(report, output):
    """Prints the report as text or JSON."""
    (index, last), findings = report.vouched, []
    for place, (verdict, detail) in sorted(report.findings.items(), key=lambda finding: (len(finding[0]), finding[0])):
        tenant, plan, seq = place if len(place) == 3 else (None, None, None)
        where = "/".join(map(str, place))
        finding = {"verdict": verdict, "where": where, "tenant": tenant, "plan": plan, "seq": seq, "detail": detail}
        findings.append(finding)
    counted = {"events": report.events, "plans": report.plans, "unchecked": report.unchecked}
    vouched = {"log_index": index, "time": last and stamp(last)}
    if output == "json":
        print(json.dumps(counted | {"vouched": vouched, "findings": findings}))
        return
    for finding in findings:
        line = "{verdict:15} {where}: {detail}".format(**finding)
        print(printable(line))
    print("{events} events of {plans} plans; {unchecked} MACs or v1 signatures not checked, because their secret is missing".format(**counted))
    if index is None:
        print("Vouches for nothing")
    else:
        scope = "the whole log" if report.is_whole else "the plans in the bundle, not that they are complete at the end"
        print(f"Vouches for {scope}, up to log index {index} as of {vouched['time'] or 'no trusted time'}")


if __name__ == "__main__":
    sys.exit(main())
