//! The rules of the windows, one test each.

use super::*;

fn plan(name: &str) -> PlanId {
    PlanId { tenant: "acme".into(), name: name.into() }
}

fn row(id: i64) -> Row<&'static str> {
    Row { id, bytes: 10, event: "event" }
}

/// Sends all events that may be sent. Returns the seq and the attempt of each.
fn send_all(windows: &mut Windows<&'static str>) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| windows.next_to_send().map(|attempt| (attempt.seq, attempt.number))).collect()
}

fn seqs(sent: &[(u64, u64)]) -> Vec<u64> {
    sent.iter().map(|(seq, _)| *seq).collect()
}

#[test]
fn after_a_failure_at_n_the_plan_is_sent_again_from_n() {
    let (mut windows, plan) = (Windows::new(64, 10), plan("order-1"));
    for seq in 1..=5 {
        windows.add(&plan, seq, row(i64::try_from(seq).unwrap()), Source::Outbox);
    }
    let first = send_all(&mut windows);
    assert_eq!(seqs(&first), [1, 2, 3, 4, 5]);

    // Event 1 is acknowledged, event 2 fails.
    assert!(windows.on_acknowledged(&plan, 1, first[0].1).is_some());
    windows.on_failed(&plan, 2, first[1].1);
    let second = send_all(&mut windows);
    assert_eq!(seqs(&second), [2, 3, 4, 5]);

    // The first attempt at 3 fails later. It was given up before, so nothing is sent again.
    windows.on_failed(&plan, 3, first[2].1);
    assert_eq!(send_all(&mut windows), []);

    // The first attempt at 4 was stored after all. One acknowledgement suffices.
    assert!(windows.on_acknowledged(&plan, 4, first[3].1).is_some());
    assert!(windows.on_acknowledged(&plan, 4, second[2].1).is_none());
}

#[test]
fn a_hinted_event_waits_until_its_predecessor_is_decided() {
    let (mut windows, plan) = (Windows::new(64, 10), plan("order-1"));
    assert!(windows.add(&plan, 7, row(70), Source::Hint));
    assert_eq!(send_all(&mut windows), []);

    // The plan is reported as undecided once, and again on request.
    assert_eq!(
        windows.take_undecided(10),
        [UndecidedPlan { plan: plan.clone(), lowest: 7, highest: 7, acknowledged: 0 }]
    );
    assert_eq!(windows.take_undecided(10), [], "an undecided plan was reported twice");
    windows.report_undecided_again();
    assert_eq!(windows.take_undecided(10).len(), 1);

    // Event 7 is the smallest in the outbox, so it may be sent, and so may its successor.
    windows.set_smallest(&plan, 7);
    assert_eq!(send_all(&mut windows).len(), 1);
    windows.add(&plan, 8, row(80), Source::Hint);
    assert_eq!(send_all(&mut windows).len(), 1);
    assert!(!windows.has_undecided());
}

#[test]
fn an_acknowledged_event_is_ignored_if_hinted_and_sent_again_if_in_the_outbox() {
    let (mut windows, plan) = (Windows::new(64, 10), plan("order-1"));
    windows.add(&plan, 1, row(10), Source::Hint);
    let attempt = send_all(&mut windows)[0].1;
    windows.on_acknowledged(&plan, 1, attempt);
    windows.on_row_deleted(10);
    assert!(!windows.add(&plan, 1, row(10), Source::Hint));
    assert!(
        windows.add(&plan, 1, row(11), Source::Outbox),
        "a row of the outbox was ignored, although a failover may have undone the deletion or replaced the event"
    );
    assert_eq!(send_all(&mut windows).len(), 1);
}

#[test]
fn an_acknowledgement_counts_only_for_the_event_that_was_sent() {
    let (mut windows, plan) = (Windows::new(64, 10), plan("order-1"));
    windows.add(&plan, 1, row(10), Source::Hint);
    let attempt = send_all(&mut windows)[0].1;
    windows.on_connection_lost();
    // After a failover the outbox has another event with this seq.
    windows.add(&plan, 1, row(11), Source::Outbox);
    assert!(windows.on_acknowledged(&plan, 1, attempt).is_none(), "the other event counts as acknowledged");
    assert_eq!(send_all(&mut windows).len(), 1);
}

#[test]
fn idle_plans_over_the_limit_are_forgotten() {
    let mut windows = Windows::new(64, 10);
    for number in 0..1_000 {
        let plan = plan(&number.to_string());
        windows.add(&plan, 1, row(number), Source::Hint);
        let attempt = send_all(&mut windows)[0].1;
        windows.on_acknowledged(&plan, 1, attempt);
        windows.on_row_deleted(number);
    }
    assert!(windows.plans.len() <= 22, "{} plans are remembered", windows.plans.len());
}

#[test]
fn the_smallest_row_tells_that_its_predecessors_are_acknowledged_and_is_sent_itself() {
    let (mut windows, plan) = (Windows::new(64, 10), plan("order-1"));
    windows.add(&plan, 8, row(80), Source::Hint);
    windows.set_smallest(&plan, 7);
    assert_eq!(send_all(&mut windows), [], "event 8 was sent before event 7");
    windows.add(&plan, 7, row(70), Source::Outbox);
    assert_eq!(seqs(&send_all(&mut windows)), [7, 8]);
}

#[test]
fn an_empty_outbox_does_not_drop_events_that_were_added_after_it_was_read() {
    let (mut windows, plan) = (Windows::new(64, 10), plan("order-1"));
    windows.add(&plan, 7, row(70), Source::Hint);
    assert_eq!(
        windows.take_undecided(10),
        [UndecidedPlan { plan: plan.clone(), lowest: 7, highest: 7, acknowledged: 0 }]
    );
    windows.add(&plan, 9, row(90), Source::Hint);
    // The outbox, read before event 9 was added, has no row of the plan: another relay sent event 7.
    windows.drop_waiting(&plan, 7);
    assert!(!windows.knows_row(70) && windows.knows_row(90));
}
