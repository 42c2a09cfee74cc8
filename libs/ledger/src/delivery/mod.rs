//! Delivery: the events that each subscription has applied, and those that it still has to apply
//! (`docs/spec/protocol.md#consume`).
//!
//! A subscription ([`subscriptions`]) has a position in each plan ([`positions`]): the seq to apply next, and one of the states
//! below. A position moves in the transaction of the effect, and only from the place and state that were read before. In each
//! partition a subscription has a floor ([`floors`]): the log index below which each event is applied, or recorded as work
//! that is owed in a position. The floor makes it possible to find events that the stream did not deliver,
//! and to delete positions of idle plans.
//!
//! | from | to | by |
//! |---|---|---|
//! | live | deferred (stored as `behind`) | [`defer`](positions::Positions::defer): its events do not fit in memory, or the stream lost one |
//! | live, deferred, parked | parked, dead, fork | [`set_aside`](positions::Positions::set_aside): its next event failed, or two events claim its place |
//! | deferred, parked | live | [`unpark`](positions::Positions::unpark): nothing acknowledged is left to apply |
//! | deferred, parked, dead, fork | parked | [`resume`](positions::Positions::resume): an operator command |
//!
//! Positions that cannot move now are set aside and resumed by [`parking`]. Operators see them, with the errors of failed
//! handler runs, through [`dead_letters`], and give commands for them through [`operator`]. [`metrics`] counts them.

pub mod command;
pub mod dead_letters;
pub mod effects;
pub mod floors;
pub mod metrics;
pub mod operator;
pub mod parking;
pub mod positions;
pub mod subscriptions;
