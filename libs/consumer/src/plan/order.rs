//! What becomes of an arriving event: the pure core of a plan's actor.
//!
//! A function of where the position stands and of what arrives, nothing else (PROTOCOL, Consume, rules 2, 4 and 8). It
//! trusts that the event's seal was checked; whether it is the *right* event, its hashes say here.

use sealbus_core::hash::Hash;
use sealbus_ledger::delivery::positions::{Standing, State};

/// Events that are filled in from the ledger at once, in one read; a wider gap is left to replay.
pub(crate) const FILL: u64 = 100;

/// Where the position stands, or will stand once the run that is being gathered has been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The seq to apply next.
    pub next_seq: u64,
    /// `event_hash` of the event before it.
    pub last_hash: Hash,
    /// What the position is doing.
    pub state: State,
}

impl From<&Standing> for Place {
    fn from(standing: &Standing) -> Self {
        Self { next_seq: standing.next_seq, last_hash: standing.last_hash, state: standing.state }
    }
}

/// What the decision needs to know of an event that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arriving {
    /// Its place in the plan.
    pub seq: u64,
    /// Its hash.
    pub event_hash: Hash,
    /// The hash of the event that it follows.
    pub prev: Hash,
    /// Whether it was delivered so often, without being applied, that it may have killed its handler each time.
    pub worn: bool,
    /// Whether more is queued for its plan, or its tenant, than memory is meant to hold.
    pub crowded: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is the plan's next: run it.
    Run,
    /// Its elders are missing: read them from the ledger, both ends included, run them, and decide again.
    Fill {
        /// The first that is missing.
        from: u64,
        /// The last before the arriving one.
        to: u64,
    },
    /// It claims a place that is applied already: decide again with the hash that was applied there.
    Compare,
    /// It is applied already.
    Duplicate,
    /// Another event was applied at its place, or it follows another: no handler runs until an operator has chosen.
    Fork,
    /// Park the plan, with an attempt, before anything runs.
    Park,
    /// Leave the plan behind, to be replayed from the ledger.
    Behind,
    /// The position is not live and owes it: note that it was seen.
    Owed,
}

/// Decides about one arriving event. `applied` is the hash of what was applied at its seq, as far as that is known.
pub(crate) fn decide(place: &Place, arriving: &Arriving, applied: Option<Hash>) -> Decision {
    if place.state == State::Fork {
        return Decision::Owed;
    }
    if arriving.seq < place.next_seq {
        return match applied {
            None => Decision::Compare,
            Some(applied) if applied == arriving.event_hash => Decision::Duplicate,
            Some(_) => Decision::Fork,
        };
    }
    if arriving.seq == place.next_seq && arriving.prev != place.last_hash {
        return Decision::Fork;
    }
    if place.state != State::Live {
        return Decision::Owed;
    }
    if arriving.crowded || arriving.seq - place.next_seq > FILL {
        return Decision::Behind;
    }
    if arriving.worn {
        return Decision::Park;
    }
    if arriving.seq == place.next_seq {
        return Decision::Run;
    }
    Decision::Fill { from: place.next_seq, to: arriving.seq - 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The hash of event `seq` of history `history`; two histories share their events below the seq at which they part.
    fn hash(seq: u64, history: u8) -> Hash {
        Hash::of(&[&[history][..], &seq.to_be_bytes()].concat())
    }

    fn chain(length: u64) -> Vec<Hash> {
        (0..=length).map(|seq| hash(seq, 0)).collect()
    }

    fn arriving(seq: u64) -> Arriving {
        Arriving { seq, event_hash: hash(seq, 0), prev: hash(seq - 1, 0), worn: false, crowded: false }
    }

    fn place(next_seq: u64, state: State) -> Place {
        Place { next_seq, last_hash: hash(next_seq - 1, 0), state }
    }

    const WAITING: [State; 3] = [State::Behind, State::Parked, State::Dead];

    proptest! {
        /// The model: a list of what was applied. Whatever order, loss and doubling the stream shows, a live position applies
        /// each event of the ledger once, in order, up to the highest that arrived.
        #[test]
        fn any_delivery_of_a_chain_applies_it_once_in_order(length in 1..60_u64, stream in prop::collection::vec(1..60_u64, 0..200)) {
            let ledger = chain(length);
            let mut applied: Vec<u64> = Vec::new();
            for seq in stream.into_iter().map(|seq| (seq - 1) % length + 1) {
                let mut known = None;
                loop {
                    let next_seq = applied.len() as u64 + 1;
                    match decide(&place(next_seq, State::Live), &arriving(seq), known) {
                        Decision::Run => applied.push(seq),
                        Decision::Fill { from, to } => {
                            prop_assert_eq!((from, to), (next_seq, seq - 1));
                            applied.extend(from..=to);
                            continue;
                        }
                        Decision::Compare => {
                            known = Some(ledger[usize::try_from(seq).unwrap()]);
                            continue;
                        }
                        Decision::Duplicate => prop_assert!(applied.contains(&seq)),
                        other => prop_assert!(false, "{:?} for {} at {}", other, seq, next_seq),
                    }
                    break;
                }
                prop_assert!(applied.contains(&seq));
            }
            prop_assert_eq!(&applied, &(1..=applied.len() as u64).collect::<Vec<_>>());
        }

        /// Whatever of another history arrives, at a known seq or as the next, it stops the plan, and nothing of it runs.
        #[test]
        fn another_history_is_never_run(next_seq in 2..50_u64, seq in 1..50_u64, crowded: bool, worn: bool) {
            prop_assume!(seq <= next_seq);
            let foreign = Arriving { event_hash: hash(seq, 1), prev: hash(seq - 1, 1), crowded, worn, seq };
            for state in [State::Live, State::Behind, State::Parked, State::Dead] {
                prop_assert_eq!(decide(&place(next_seq, state), &foreign, Some(hash(seq, 0))), Decision::Fork);
            }
        }

        /// A position that waits runs nothing that arrives: it is owed, a duplicate or a fork.
        #[test]
        fn a_waiting_position_runs_nothing(next_seq in 1..50_u64, seq in 1..300_u64, crowded: bool, worn: bool) {
            let arriving = Arriving { worn, crowded, ..arriving(seq) };
            for state in WAITING {
                let expected = if seq < next_seq { Decision::Duplicate } else { Decision::Owed };
                prop_assert_eq!(decide(&place(next_seq, state), &arriving, Some(hash(seq, 0))), expected);
            }
            prop_assert_eq!(decide(&place(next_seq, State::Fork), &arriving, Some(hash(seq, 0))), Decision::Owed);
        }

        /// Nothing runs of a worn or crowded event, or across a gap wider than one read.
        #[test]
        fn worn_crowded_and_distant_events_do_not_run(next_seq in 1..50_u64, ahead in 0..300_u64) {
            let event = arriving(next_seq + ahead);
            let live = place(next_seq, State::Live);
            let expected = if ahead > FILL { Decision::Behind } else { Decision::Park };
            prop_assert_eq!(decide(&live, &Arriving { worn: true, ..event }, None), expected);
            prop_assert_eq!(decide(&live, &Arriving { crowded: true, ..event }, None), Decision::Behind);
            let plain = decide(&live, &event, None);
            prop_assert_eq!(plain == Decision::Behind, ahead > FILL);
        }
    }

    #[test]
    fn what_was_applied_and_cannot_be_looked_up_is_never_called_a_duplicate() {
        assert_eq!(decide(&place(5, State::Live), &arriving(3), None), Decision::Compare);
    }
}
