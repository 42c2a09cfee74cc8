//! What two settings have to obey beside each other, each being right alone.

use super::table::{
    ACK_WAIT, LEASE, LEASE_RENEW_INTERVAL, MAX_BODY, MAX_INTAKE, PROGRESS_INTERVAL, RELAY_FULL_SWEEP_INTERVAL,
    RELAY_SWEEP_INTERVAL,
};

/// One setting that has to be so many times another, at least.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// The larger variable.
    pub larger: &'static str,
    /// How many times the smaller one it has to be.
    pub times: u8,
    /// The smaller variable, of the same kind.
    pub smaller: &'static str,
    /// What would go wrong otherwise, as the end of a sentence.
    pub otherwise: &'static str,
}

/// Every such pair.
pub static RATIOS: &[Ratio] = &[
    Ratio {
        larger: LEASE.name(),
        times: 2,
        smaller: LEASE_RENEW_INTERVAL.name(),
        otherwise: "one renewal that comes late would cost a process its share of the work",
    },
    Ratio {
        larger: ACK_WAIT.name(),
        times: 2,
        smaller: PROGRESS_INTERVAL.name(),
        otherwise: "one sign of progress that is lost would have a message delivered again while a handler works on it",
    },
    Ratio {
        larger: RELAY_FULL_SWEEP_INTERVAL.name(),
        times: 1,
        smaller: RELAY_SWEEP_INTERVAL.name(),
        otherwise: "no look into the outbox would be spared by the low-water bound",
    },
    Ratio {
        larger: MAX_INTAKE.name(),
        times: 1,
        smaller: MAX_BODY.name(),
        otherwise: "the largest body that is taken would find no room",
    },
];
