//! Rules for pairs of settings that have to fit together.

use super::table::{
    ACK_WAIT, LEASE, LEASE_RENEW_INTERVAL, MAX_BODY, MAX_INTAKE, PROGRESS_INTERVAL, RELAY_FULL_SWEEP_INTERVAL,
    RELAY_SWEEP_INTERVAL,
};

/// A rule that one setting must be at least a multiple of another.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// Name of the variable whose value must be larger.
    pub larger: &'static str,
    /// The multiple.
    pub times: u8,
    /// Name of the variable whose value must be smaller. Both values are of the same kind.
    pub smaller: &'static str,
    /// The effect of breaking the rule, as the end of a sentence.
    pub otherwise: &'static str,
}

/// All rules.
pub static RATIOS: &[Ratio] = &[
    Ratio {
        larger: LEASE.name(),
        times: 2,
        smaller: LEASE_RENEW_INTERVAL.name(),
        otherwise: "a process would lose its partitions when one renewal is late",
    },
    Ratio {
        larger: ACK_WAIT.name(),
        times: 2,
        smaller: PROGRESS_INTERVAL.name(),
        otherwise: "a message would be delivered again during its handling when one sign of progress is lost",
    },
    Ratio {
        larger: RELAY_FULL_SWEEP_INTERVAL.name(),
        times: 1,
        smaller: RELAY_SWEEP_INTERVAL.name(),
        otherwise: "the low-water bound would not shorten any scan of the outbox",
    },
    Ratio {
        larger: MAX_INTAKE.name(),
        times: 1,
        smaller: MAX_BODY.name(),
        otherwise: "the largest allowed body would never fit into memory",
    },
];
