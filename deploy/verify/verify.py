#!/usr/bin/env python3
"""Verifies an exported bundle of events offline: no server, no database, no secret; Python's standard library alone.

BUNDLE is a folder or a tar. DIR holds what the verifier pins: origin, keyring.json, policy. A receipt is a record that
was handed out: its event must be there. A line is printed for each finding. Ends with 0 if there is none but erasures,
4 if events that no anchor covers yet are all there is, 3 for any other finding, 2 for a wrong call, 1 if something could
not be read.
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

# In the order of the checks: of one note, tile or event only the first that fails is said.
VERDICTS = (
    "CHECKPOINT SPLIT_VIEW INCONSISTENT TILE QUORUM STALE FORK GENESIS SEQ_GAP FORMAT LINK SUITE EVENT_HASH UNTRUSTED_KEY "
    "KEY_WINDOW MAC SIGNATURE PAYLOAD_HASH METADATA_HASH V1_PREV_HASH V1_PAYLOAD_HASH V1_SIGNATURE UNSEALED PROOF "
    "LEAF_MISMATCH ORDER TIME KEY_LOST COMMITMENT AAD MISSING_LEAF MISSING UNANCHORED ERASED"
).split()
MINUTE = 60_000_000  # microseconds
LONGEST_GAP = 1000  # missing records of one gap that are named


class Report:
    def __init__(self):
        self.findings, self.events, self.plans, self.unchecked = {}, 0, 0, 0
        self.is_whole, self.vouched = False, (None, None)  # up to which log index, as of which time

    def add(self, place, verdict, detail):
        """`place` is (tenant, plan, seq), or (name,) of a note, a tile or a leaf."""
        if place not in self.findings or VERDICTS.index(verdict) < VERDICTS.index(self.findings[place][0]):
            self.findings[place] = verdict, detail

    def exit_code(self):
        verdicts = {verdict for verdict, _ in self.findings.values()} - {"ERASED"}
        return 3 if verdicts - {"UNANCHORED"} else 4 if verdicts else 0


def faults_of_content(event):
    """Checks 10 and 11."""
    record, payload = event.record, event.record.get("payload")
    if (payload is None) != (record["payload_mode"] == "hash-only"):
        yield "PAYLOAD_HASH", "a payload where none is kept, or none where one is"
    if payload is not None and not strict_json.stored_matches(payload, bytes.fromhex(record["payload_hash"])):
        yield "PAYLOAD_HASH", "the payload is not what was sealed"
    if not strict_json.stored_matches(record["metadata"], bytes.fromhex(record["metadata_hash"])):
        yield "METADATA_HASH", "the metadata is not what was sealed"


def faults_of_v1(event, before, follows, trust):
    """Check 12."""
    v1, record = event.v1, event.record
    if before and (v1 is None) != (before.v1 is None):
        yield "V1_SIGNATURE", "scheme v1 begins or ends inside the plan"
        return
    if v1 is None:
        return
    prev_hash = v1.get("prev_hash")
    if event.seq == 1 and prev_hash is not None or follows and prev_hash != before.v1.get("signature"):
        yield "V1_PREV_HASH", "not the v1 signature of the event before"
    if v1.get("payload_hash") != record["payload_hash"]:
        yield "V1_PAYLOAD_HASH", "not the sealed payload hash"
    signed = (event.plan, record["type"], record["payload_hash"], prev_hash)
    if trust.v1 and v1.get("signature") not in [seal.v1_signature(secret, *signed) for secret in trust.v1]:
        yield "V1_SIGNATURE", "the v1 signature is wrong"


def faults(event, before, sealed_later, trust, log, survey, opens):
    """The checks 3 to 20 that an event fails, in their order; `before` is the plan's event before it, if there is one."""
    record, header, index = event.record, event.header, event.index
    if header is None:
        yield "FORMAT", "a field is outside its limits"
        return
    follows = before is not None and before.seq == event.seq - 1
    if event.seq == 1 and record["prev"] != seal.genesis(trust.origin, event.tenant, event.plan).hex():
        yield "GENESIS", "prev is not the genesis of this plan"
    if follows and record["prev"] != before.record.get("event_hash"):
        yield "LINK", "prev is not the event_hash of the event before"
    if before and event.suite < before.suite:
        yield "SUITE", "a lower suite than the event before"
    at = log.size if index is None else index
    yield from faults_of_seal(event, trust, lambda kid, key: survey.key_counts(kid, key, at))
    yield from faults_of_content(event)
    yield from faults_of_v1(event, before, follows, trust)
    if index is None and (sealed_later or survey.last_sealed > event.recorded + MINUTE):
        yield "UNSEALED", "not in the log, though later events are"
    if index is not None:
        leaf = seal.leaf_of(seal.encode(header), bytes.fromhex(record["mac"]), bytes.fromhex(record["sig"]))
        yield from log.faults_of_leaf(leaf, index, record.get("proof"))
        if before and before.index is not None and index <= before.index:
            yield "ORDER", "not after the event before in the log"
    if before and before.header and event.recorded < before.recorded:
        yield "TIME", "recorded before the event before"
    if index is not None and event.recorded > log.seen(index) + MINUTE:
        yield "TIME", "recorded after a cosignature over it"
    if verdict := opens(event):
        yield verdict, "the envelope does not open"
    if index is None or index >= log.anchored:
        yield "UNANCHORED", "no anchor covers it"
    if survey.has_erased(event):
        yield "ERASED", "an erasure says that its data key was destroyed"


def check_plan(events, trust, log, survey, opens, report):
    last_sealed, before = max((event.seq for event in events if event.index is not None), default=0), None
    for event in events:
        if before and event.seq == before.seq:
            report.add(event.place, "FORK", "a second record of this seq")
            continue
        gap = range(max(1, before.seq + 1 if before else 1), event.seq)
        for seq in gap[:LONGEST_GAP]:
            detail = f"the record is missing, one of {len(gap)} in a row"
            report.add((event.tenant, event.plan, seq), "SEQ_GAP" if before else "GENESIS", detail)
        if fault := next(faults(event, before, last_sealed > event.seq, trust, log, survey, opens), None):
            report.add(event.place, *fault)
        before = event


def verify(files, trust, owed=(), now=None, max_age=None, leaf_places=(), opens=lambda event: None):
    """The report on a bundle. `owed` are (place, event_hash) of events that must be there.

    Who has the ledger too knows where its leaves belong (index, place), and may open envelopes: a verdict of check 16, or None.
    """
    report, missing, claimed = Report(), {event_hash: place for place, event_hash in owed}, set()
    log = Log(files, trust, time.time() if now is None else now, max_age, report)
    survey = Survey(bundle.events(files, trust.origin), trust)
    for _, plan in groupby(bundle.events(files, trust.origin), key=lambda event: event.place[:2]):
        plan = list(plan)
        check_plan(plan, trust, log, survey, opens, report)
        report.plans, report.events = report.plans + 1, report.events + len(plan)
        for event in plan:
            claimed.add(event.index)
            missing.pop(str(event.record.get("event_hash")), None)
            report.unchecked += trust.passes_over(event)
    places = dict(leaf_places)
    for index in range(log.size if log.tree else 0):
        if index not in claimed:
            report.add(places.get(index, (f"leaf {index}",)), "MISSING_LEAF", "no record claims this leaf of the log")
    for event_hash, place in missing.items():
        report.add(place, "MISSING", f"event {event_hash} was acknowledged, and is nowhere")
    return report


def owed_by(receipt, trust):
    """What a receipt says must be there; the receipt must be sealed itself."""
    event = bundle.event_of(receipt, trust.origin)
    fault = next(faults_of_seal(event, trust, lambda kid, key: True), None) if event.header else ("FORMAT", "")
    if fault:
        raise bundle.Unreadable(f"no receipt of this ledger: {fault[0]}")
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
        trust = bundle.Trust(bundle.files_of(call.trust))
        owed = [owed_by(Path(path).read_bytes(), trust) for path in call.receipt]
        report = verify(bundle.files_of(call.bundle), trust, owed, max_age=call.max_age)
    except (OSError, EOFError, tarfile.TarError, zlib.error, bundle.Unreadable) as error:
        print("verify:", *str(error).split(), file=sys.stderr)
        return 1
    say(report, call.output)
    return report.exit_code()


def say(report, output):
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
        print("".join(character if character.isprintable() else ascii(character)[1:-1] for character in line))
    print("{events} events of {plans} plans; {unchecked} MACs or v1 signatures unchecked for want of a secret".format(**counted))
    if index is None:
        print("Vouches for nothing")
    else:
        of = "the whole log" if report.is_whole else "the plans that are here, not that nothing followed"
        print(f"Vouches for {of}, up to log index {index} as of {vouched['time'] or 'no trusted time'}")


if __name__ == "__main__":
    sys.exit(main())
