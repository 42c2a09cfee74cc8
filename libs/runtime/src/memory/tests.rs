use std::collections::HashMap;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::budget::Wait;
use super::*;
use crate::settings::Settings;

const NO_PATIENCE: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_mins(1);

#[test]
fn one_owner_holds_half_and_leaves_the_rest_to_others() {
    let budget = Budget::new("tests", 100);
    let first = budget.try_reserve("a", 50).expect("half of the limit is free");
    assert_eq!(budget.try_reserve("a", 1).unwrap_err(), Exhausted("tests"));
    let second = budget.try_reserve("b", 25).expect("b holds as much as is left");
    budget.try_reserve("b", 1).unwrap_err();
    let third = budget.try_reserve("c", 12).expect("something is left for everybody");
    assert_eq!(budget.reserved(), 87);
    drop((first, second, third));
    assert_eq!(budget.reserved(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_waits_until_bytes_are_given_back_or_its_patience_ends() {
    let budget = Budget::new("tests", 100);
    let mut first = budget.try_reserve("a", 40).unwrap();
    budget.reserve("a", 20, NO_PATIENCE).await.unwrap_err();
    let waiting = tokio::spawn({
        let budget = budget.clone();
        async move { budget.reserve("a", 20, LONG).await }
    });
    tokio::task::yield_now().await;
    first.shrink_to(30);
    assert_eq!(waiting.await.unwrap().unwrap().bytes(), 20);
    assert_eq!(budget.reserved(), 30, "the granted reservation was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_reservation_grows_and_keeps_what_it_has_if_it_cannot() {
    let budget = Budget::new("tests", 100);
    let mut body = budget.try_reserve("a", 10).unwrap();
    body.grow(40, NO_PATIENCE).await.unwrap();
    body.grow(1, NO_PATIENCE).await.unwrap_err();
    assert_eq!((body.bytes(), budget.reserved()), (50, 50));
    drop(body);
    assert_eq!(budget.reserved(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_of_no_bytes_passes_the_waiters_of_its_owner() {
    let budget = Budget::new("tests", 100);
    let mut body = budget.try_reserve("a", 50).unwrap();
    let waiting = budget.wait("a", 20);
    drop(budget.try_reserve("a", 0).unwrap());
    body.grow(0, NO_PATIENCE).await.unwrap();
    // The waiter kept its turn.
    drop(body);
    assert_eq!(waiting.await.unwrap().bytes(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_can_never_be_granted_is_refused_at_once() {
    let budget = Budget::new("tests", 100);
    budget.reserve("a", 51, Duration::MAX).await.unwrap_err();
    budget.reserve("a", usize::MAX, Duration::MAX).await.unwrap_err();
}

/// The tests under load hold a publisher with default settings to this sum.
#[test]
fn a_publisher_with_default_settings_holds_less_than_256_mib() {
    let settings = Settings::load([]).expect("the defaults are valid");
    let sum = bounds::sum("publisher", &settings).bytes();
    assert!(sum < 256 << 20, "{sum}");
}

/// A step of a scenario. Numbers select one of the owners, reservations or waits, modulo their count.
#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve { owner: usize, bytes: usize },
    Wait { owner: usize, bytes: usize },
    Shrink { at: usize, bytes: usize },
    Release { at: usize },
    GiveUp { at: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = 0_usize..70;
    prop_oneof![
        (0..4_usize, bytes.clone()).prop_map(|(owner, bytes)| Step::Reserve { owner, bytes }),
        (0..4_usize, bytes.clone()).prop_map(|(owner, bytes)| Step::Wait { owner, bytes }),
        (any::<usize>(), bytes).prop_map(|(at, bytes)| Step::Shrink { at, bytes }),
        any::<usize>().prop_map(|at| Step::Release { at }),
        any::<usize>().prop_map(|at| Step::GiveUp { at }),
    ]
}

/// What the scenario expects the budget to hold.
#[derive(Default)]
struct Scenario {
    held: Vec<(usize, Reservation)>,
    /// The waits, in the order in which they began.
    waits: Vec<(usize, usize, Wait)>,
}

impl Scenario {
    fn run(&mut self, budget: &Budget, step: Step) {
        match step {
            Step::Reserve { owner, bytes } => {
                if let Ok(reservation) = budget.try_reserve(&owner.to_string(), bytes) {
                    self.held.push((owner, reservation));
                }
            }
            Step::Wait { owner, bytes } => {
                self.waits.push((owner, bytes, budget.wait(&owner.to_string(), bytes)));
            }
            Step::Shrink { at, bytes } => {
                let count = self.held.len();
                if let Some((_, reservation)) = self.held.get_mut(at % count.max(1)) {
                    reservation.shrink_to(bytes);
                }
            }
            Step::Release { at } if !self.held.is_empty() => drop(self.held.swap_remove(at % self.held.len())),
            Step::GiveUp { at } if !self.waits.is_empty() => drop(self.waits.remove(at % self.waits.len())),
            Step::Release { .. } | Step::GiveUp { .. } => {}
        }
        self.collect_granted();
    }

    fn collect_granted(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting = Vec::new();
        for (owner, bytes, mut wait) in self.waits.drain(..) {
            match std::pin::Pin::new(&mut wait).poll(&mut context) {
                Poll::Ready(granted) => self.held.push((owner, granted.expect("the budget exists"))),
                Poll::Pending => waiting.push((owner, bytes, wait)),
            }
        }
        self.waits = waiting;
    }

    fn held_by(&self, owner: usize) -> usize {
        self.held.iter().filter(|(holder, _)| *holder == owner).map(|(_, reservation)| reservation.bytes()).sum()
    }
}

proptest! {
    /// Whatever owners do: the limit holds, nobody gets more than is left, nothing that fits keeps waiting, and everything is
    /// given back.
    #[test]
    fn a_budget_holds_its_limit_and_forgets_nobody(steps in prop::collection::vec(step(), 1..80)) {
        const LIMIT: usize = 100;
        let budget = Budget::new("tests", LIMIT);
        let mut scenario = Scenario::default();
        for step in steps {
            let before: HashMap<usize, usize> = (0..4).map(|owner| (owner, scenario.held_by(owner))).collect();
            scenario.run(&budget, step);
            let reserved: usize = scenario.held.iter().map(|(_, reservation)| reservation.bytes()).sum();
            prop_assert_eq!(budget.reserved(), reserved);
            prop_assert!(reserved <= LIMIT);
            for owner in 0..4 {
                let held = scenario.held_by(owner);
                prop_assert!(held <= before[&owner] || held <= LIMIT / 2, "an owner got more than half");
                // Only the first wait of an owner is entitled to what is free.
                if let Some((_, bytes, _)) = scenario.waits.iter().find(|(waiter, ..)| *waiter == owner) {
                    prop_assert!(*bytes > 0 && held + bytes > (LIMIT - reserved).saturating_sub(*bytes), "a wait was forgotten");
                }
            }
        }
        drop(scenario);
        prop_assert_eq!(budget.reserved(), 0);
        prop_assert_eq!(budget.owners(), 0);
    }
}
