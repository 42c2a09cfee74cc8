//! How far each subscription is in each plan, and what happens to a plan whose event fails.

pub mod attempts;
pub mod counts;
pub mod dead_letters;
pub mod floors;
pub mod parking;
pub mod positions;
pub mod subscriptions;
