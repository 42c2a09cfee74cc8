//! Ledgers with a log and anchors that are tampered with at random: an untouched ledger has no findings, and each
//! tampering is found.

use proptest::prelude::*;
use proptest::sample::Index;
use sealbus_core::event::Record;
use sealbus_core::log::note::Signature;
use sealbus_core::verify::bundle::{BundledRecord, Content, read_record, write_record};
use serde_json::{Value, json};

use crate::common::bundle::by_place;
use crate::common::chain::ORIGIN;
use crate::common::deployment::{bundled, deployments};
use crate::common::verification::{Input, findings};

/// Changes one member of the JSON of a record. Returns `None` if the line is unreadable then, which is a finding by
/// itself.
fn edited(record: &BundledRecord, member: Index, offset: Index) -> Option<BundledRecord> {
    let Content::Record(record, proof) = &record.content else { unreachable!("the record was well-formed") };
    let mut json: Value = serde_json::from_str(&write_record(record, proof.as_deref())).unwrap();
    let members = json.as_object_mut().unwrap();
    let names: Vec<String> = members.keys().cloned().collect();
    let changed = match &mut members[member.get(&names)] {
        Value::Null => json!(0),
        Value::Number(number) => json!(number.as_u64().unwrap() + 1),
        Value::String(text) if text.is_empty() => json!("00"),
        Value::String(text) => {
            let characters: Vec<char> = text.chars().collect();
            let offset = offset.index(characters.len());
            let other = match characters[offset] {
                '0' => '1',
                character if character.is_ascii_digit() => '0',
                'a' => 'b',
                character if character.is_ascii_lowercase() => 'a',
                '\n' => ' ',
                _ => 'x',
            };
            json!(
                characters
                    .iter()
                    .enumerate()
                    .map(|(index, old)| if index == offset { other } else { *old })
                    .collect::<String>()
            )
        }
        other => unreachable!("a record contains {other}"),
    };
    members[member.get(&names)] = changed;
    read_record(json.to_string().as_bytes(), ORIGIN).ok()
}

/// Returns the changed record without the signature line of its proof that was changed, or `None` if the change is
/// elsewhere or leaves the key of the line. A line with the name or id of another key is by an unknown one, which a
/// verifier has to ignore (`docs/spec/integrity.md#log-signatures`): it then must not matter that the line is missing.
fn without_edited_signature(original: &BundledRecord, changed: &BundledRecord) -> Option<BundledRecord> {
    let (Content::Record(record, Some(proof)), Content::Record(same, Some(edited))) =
        (&original.content, &changed.content)
    else {
        return None;
    };
    let (lines, edited): (Vec<_>, Vec<_>) = (proof.split('\n').collect(), edited.split('\n').collect());
    let at = (0..lines.len()).find(|at| edited.get(*at) != Some(&lines[*at]))?;
    if record != same || edited.len() != lines.len() || !lines[at].starts_with("— ") {
        return None;
    }
    let key = |line: &str| {
        let lines = Signature::parse_lines(&format!("{line}\n")).ok()?;
        Some((lines[0].name().to_owned(), lines[0].key_id()))
    };
    if key(edited[at]).is_none_or(|edited| Some(edited) == key(lines[at])) {
        return None;
    }
    let rest = [&edited[..at], &edited[at + 1..]].concat().join("\n");
    Some(BundledRecord { content: Content::Record(same.clone(), Some(rest)), ..changed.clone() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn an_untouched_ledger_has_no_findings(deployment in deployments()) {
        let sealed = deployment.records.iter().filter(|record| record.log_index.is_some()).count() as u64;
        for input in [deployment.whole(), deployment.plans()] {
            let report = deployment.verify(&input);
            let unanchored = deployment.records.len() as u64 - sealed;
            prop_assert!(findings(&report).iter().all(|(verdict, _)| verdict == "UNANCHORED"), "{:?}", findings(&report));
            prop_assert_eq!(report.findings().count() as u64, unanchored);
            prop_assert_eq!(report.exit_code(), if unanchored == 0 { 0 } else { 4 });
            prop_assert_eq!(report.vouched.map(|vouched| vouched.log_index), Some(sealed - 1));
            prop_assert_eq!((report.events, report.sealed), (deployment.records.len() as u64, sealed));
        }
    }

    #[test]
    fn any_edited_member_is_found(deployment in deployments(), which: Index, member: Index, offset: Index, whole: bool) {
        let mut input = if whole { deployment.whole() } else { deployment.plans() };
        let which = which.index(input.records.len());
        if let Some(changed) = edited(&input.records[which], member, offset) {
            let without = without_edited_signature(&input.records[which], &changed);
            input.records[which] = changed;
            let code = deployment.verify(&Input { records: by_place(input.records.clone()), ..input.clone() }).exit_code();
            if let Some(without) = without.filter(|_| code != 3) {
                input.records[which] = without;
                prop_assert_eq!(deployment.verify(&input).exit_code(), code, "the line of an unknown key was not ignored");
            } else {
                prop_assert_eq!(code, 3, "the change of record {} was not found", which);
            }
        }
    }

    #[test]
    fn a_deleted_record_is_found_if_it_was_sealed(deployment in deployments(), which: Index) {
        let mut input = deployment.whole();
        let BundledRecord { content, .. } = input.records.remove(which.index(input.records.len()));
        let Content::Record(record, _) = content else { unreachable!("the records are well-formed") };
        input.queue = vec![(record.header.tenant, record.header.plan, record.header.seq, record.event_hash)];
        let report = deployment.verify(&input);
        prop_assert_eq!(report.exit_code(), 3);
        let leaf = record.log_index.map(|index| ("MISSING_LEAF".to_owned(), format!("leaf {index}")));
        prop_assert!(leaf.is_none_or(|leaf| findings(&report).contains(&leaf)));
    }

    #[test]
    fn a_truncated_plan_is_found(deployment in deployments(), which: Index) {
        let mut input = deployment.whole();
        let last = input.records[which.index(input.records.len())].clone();
        let sealed = matches!(&last.content, Content::Record(record, _) if record.log_index.is_some());
        input.records.retain(|record| (&record.tenant, &record.plan) != (&last.tenant, &last.plan) || record.seq < last.seq);
        prop_assert!(!sealed || deployment.verify(&input).exit_code() == 3);
    }

    #[test]
    fn swapped_records_are_found(deployment in deployments(), one: Index, other: Index) {
        let mut input = deployment.whole();
        let (one, other) = (one.index(input.records.len()), other.index(input.records.len()));
        prop_assume!(one != other);
        let lines = input.records.clone();
        // Each record gets the tenant, plan and seq of the other.
        for (to, from) in [(one, &lines[other]), (other, &lines[one])] {
            let Content::Record(record, _) = &from.content else { unreachable!("the records are well-formed") };
            let mut moved = record.as_ref().clone();
            (moved.header.tenant, moved.header.plan) = (lines[to].tenant.clone(), lines[to].plan.clone());
            moved.header.seq = lines[to].seq;
            input.records[to] = bundled(&moved, None);
        }
        prop_assert_eq!(deployment.verify(&input).exit_code(), 3);
    }

    #[test]
    fn a_second_history_is_found(deployment in deployments(), which: Index, resigned: bool, older: bool) {
        let mut fork = deployment.clone();
        let from = 1 + which.index(fork.records.len() - 1);
        prop_assume!(fork.records[from].log_index.is_some());
        fork.rewrite(from);
        let (original, forked) = (deployment.whole(), fork.whole());
        // An attacker with all keys of the deployment writes another history and signs its tree. The anchors are out of
        // reach.
        let mut input = Input { records: forked.records.clone(), ..original.clone() };
        if resigned {
            input = Input { anchors: original.anchors, ..forked };
        }
        if older {
            input.anchors.swap(0, 1);
        }
        let report = deployment.verify(&input);
        prop_assert_eq!(report.exit_code(), 3);
        let expected = if resigned { "INCONSISTENT" } else { "LEAF_MISMATCH" };
        prop_assert!(findings(&report).iter().any(|(verdict, _)| verdict == expected), "{:?}", findings(&report));
        prop_assert_eq!(report.vouched.is_none(), resigned);
    }

    #[test]
    fn two_anchored_histories_are_found(deployment in deployments(), which: Index) {
        let mut fork = deployment.clone();
        let from = 1 + which.index(fork.records.len() - 1);
        prop_assume!(fork.records[from].log_index.is_some());
        fork.rewrite(from);
        let mut input = deployment.whole();
        input.anchors.push(("anchors/2".into(), fork.whole().anchors.remove(1).1));
        let report = deployment.verify(&input);
        let size = format!("size {}", fork.tree().edge.size());
        prop_assert_eq!(findings(&report)[0].clone(), ("SPLIT_VIEW".into(), size));
        prop_assert_eq!((report.exit_code(), report.vouched), (3, None));
    }

    #[test]
    fn a_rolled_back_log_is_found(deployment in deployments()) {
        let mut before = deployment.clone();
        before.records.retain(|record| record.log_index.is_some_and(|index| index < deployment.anchored));
        prop_assume!(deployment.anchored > 0);
        let input = Input { anchors: deployment.whole().anchors, ..before.whole_without_anchors() };
        let size = format!("size {}", deployment.tree().edge.size());
        prop_assert_eq!(findings(&deployment.verify(&input)), [("INCONSISTENT".to_owned(), size)]);
    }

    #[test]
    fn a_wrong_tile_is_found(deployment in deployments(), which: Index, byte: Index, bits in 1..=255_u8, drop: bool) {
        let mut input = deployment.whole();
        let path = which.get(&input.tiles.keys().cloned().collect::<Vec<_>>()).clone();
        let mut tile = input.tiles.remove(&path).unwrap();
        if !drop {
            let index = byte.index(tile.len());
            tile[index] ^= bits;
            input.tiles.insert(path.clone(), tile);
        }
        // Without any tile it is a bundle of plans, in which each record needs a proof.
        let expected = if input.tiles.is_empty() { "PROOF" } else { "TILE" };
        let found = findings(&deployment.verify(&input));
        prop_assert!(found.iter().any(|(verdict, _)| verdict == expected), "{found:?}");
    }

    #[test]
    fn a_changed_note_or_a_dropped_anchor_is_found(deployment in deployments(), which in 0..3_usize, byte: Index, drop: bool) {
        let mut input = deployment.whole();
        if drop && which > 0 {
            // Without the newest anchor, the events after the older one are not anchored.
            input.anchors.truncate(1);
            let covered = deployment.records.iter().filter(|record| record.log_index.is_some_and(|index| index < deployment.anchored));
            let expected = deployment.records.len() - covered.count();
            let report = deployment.verify(&input);
            prop_assert_eq!(report.findings().count(), expected);
            prop_assert_eq!(report.exit_code(), 4);
            return Ok(());
        }
        let note = if which == 2 { &mut input.checkpoint } else { &mut input.anchors[which].1 };
        let text = note.windows(2).position(|bytes| bytes == b"\n\n").unwrap();
        note[byte.index(text)] ^= 1;
        let place = if which == 2 { "checkpoint".to_owned() } else { format!("anchors/{which}") };
        prop_assert_eq!(findings(&deployment.verify(&input))[0].clone(), ("CHECKPOINT".into(), place));
    }

    #[test]
    fn a_record_round_trips(deployment in deployments(), which: Index) {
        let record = which.get(&deployment.records);
        let read = bundled(record, Some("p\n\"roof\""));
        prop_assert_eq!((&read.tenant, &read.plan, read.seq), (&record.header.tenant, &record.header.plan, record.header.seq));
        let kept = Record { request_mac: Vec::new(), ..record.clone() };
        prop_assert_eq!(read.content, Content::Record(Box::new(kept), Some("p\n\"roof\"".into())));
    }
}
