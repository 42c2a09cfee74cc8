"""Tests of the forms and limits of records and keyrings."""

import json
import unittest

import bundle
import cases
import sample_bundles
from checks import trust_in
from log_cases import base64_of


class Records(unittest.TestCase):
    def event(self, text=None, **changed):
        _, _, _, (first, _) = sample_bundles.whole_ledger()
        return bundle.event_of((text or json.dumps(first | changed)).encode(), cases.ORIGIN)

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

    def test_lines_that_are_not_records_are_unreadable(self):
        for text in ("[]", "1", "null", "{}", '{"tenant":"t","plan":"p"}', "{", "[" * 70, "9" * 5000, "\ufeff{}"):
            with self.subTest(text), self.assertRaises(bundle.Unreadable):
                self.event(text)
        for changed in ({"tenant": 1}, {"plan": None}, {"seq": "1"}, {"seq": True}, {"seq": 1.5}):
            with self.subTest(changed), self.assertRaises(bundle.Unreadable):
                self.event(**changed)

    def test_malformed_keyrings_are_refused(self):
        pinned = sample_bundles.trust()
        hmac = {"id": "hmac-0123456789abcdef"}
        for keyring, accepted in [
            ({"keys": []}, True), ({"keys": [hmac]}, True), ({"keys": [hmac | {"until": 0, "from": 0}]}, True), ({"keys": [{"id": "v1-0123456789abcdef"}]}, True),
            ({"keys": [{"id": "kek-0123456789abcdef", "secret": "AA=="}]}, True), ({}, False), ([], False), ({"keys": [hmac, hmac]}, False),
            ({"keys": [hmac | {"until": "7"}]}, False), ({"keys": [hmac | {"from": 1.5}]}, False), ({"keys": [hmac | {"secret": "A"}]}, False),
            ({"keys": ["hmac"]}, False), ({"keys": [{}]}, False), ({"keys": [{"id": 1}]}, False), ({"keys": [{"id": "ed25519-0123456789abcdef"}]}, False),
        ]:
            with self.subTest(keyring):
                make = lambda: trust_in(pinned | {"keyring.json": json.dumps(keyring)})
                self.assertTrue(make()) if accepted else self.assertRaises(bundle.Unreadable, make)

    def test_the_public_key_is_derived_from_the_secret_if_absent(self):
        key = {"id": cases.SIGN[0], "secret": base64_of(cases.SIGN[1]["seed"])}
        trust = trust_in(sample_bundles.trust() | {"keyring.json": json.dumps({"keys": [key]})})
        self.assertEqual(trust.keys[key["id"]].public, cases.SIGN[1]["public"])
