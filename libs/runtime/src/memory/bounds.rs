//! The bounds in bytes of each role, computed from the settings.

use super::Budget;
use crate::net::CONNECTION_BYTES;
use crate::settings::{Settings, Size, table};

/// A bound in bytes of what one part of a role holds in memory.
#[derive(Clone, Copy)]
pub struct Bound {
    /// The role.
    pub role: &'static str,
    /// What the bytes are for.
    pub name: &'static str,
    bytes: fn(&Settings) -> u64,
}

impl Bound {
    const fn new(role: &'static str, name: &'static str, bytes: fn(&Settings) -> u64) -> Self {
        Self { role, name, bytes }
    }

    /// Returns the bound.
    pub fn size(&self, settings: &Settings) -> Size {
        Size::new((self.bytes)(settings))
    }

    /// Creates the budget that enforces the bound.
    pub fn budget(&self, settings: &Settings) -> Budget {
        // On a platform that can address less, the address space is the bound.
        Budget::new(self.name, usize::try_from((self.bytes)(settings)).unwrap_or(usize::MAX))
    }
}

/// Buffers of a publisher's connections, and the small answers on them.
pub const PUBLISHER_CONNECTIONS: Bound = Bound::new("publisher", "connections", connections);
/// Request bodies that are received or handled, and the answers to them.
pub const REQUEST_BODIES: Bound =
    Bound::new("publisher", "request bodies", |settings| settings.get(table::MAX_INTAKE).bytes());
/// Calls that wait for a batch or are in one.
pub const QUEUED_CALLS: Bound =
    Bound::new("publisher", "queued calls", |settings| settings.get(table::MAX_QUEUED).bytes());
/// Events of calls that wait until they are sealed.
pub const SEAL_WAITS: Bound =
    Bound::new("publisher", "calls that wait for the seal", |settings| settings.get(table::MAX_SEAL_WAITS).bytes());
/// Pages, events and stream frames that are read or written to clients.
pub const ANSWERS: Bound = Bound::new("publisher", "answers", |settings| settings.get(table::MAX_ANSWERS).bytes());
/// The newest events of followed plans and of the log.
pub const FEEDS: Bound = Bound::new("publisher", "feeds of streams", |settings| settings.get(table::MAX_FEEDS).bytes());
/// Buffers of a witness's connections.
pub const WITNESS_CONNECTIONS: Bound = Bound::new("witness", "connections", connections);
/// Request bodies that a witness receives or handles.
pub const WITNESS_BODIES: Bound = Bound::new("witness", "request bodies", |_| 32 << 20);

/// All bounds, by role. The sum of a role's bounds is what its clients can make it hold.
pub static BOUNDS: &[Bound] = &[
    PUBLISHER_CONNECTIONS,
    REQUEST_BODIES,
    QUEUED_CALLS,
    SEAL_WAITS,
    ANSWERS,
    FEEDS,
    WITNESS_CONNECTIONS,
    WITNESS_BODIES,
];

/// Returns the sum of a role's bounds. It is 0 for a role whose memory no bound describes.
pub fn sum(role: &str, settings: &Settings) -> Size {
    let bounds = BOUNDS.iter().filter(|bound| bound.role == role);
    Size::new(bounds.map(|bound| bound.size(settings).bytes()).sum())
}

fn connections(settings: &Settings) -> u64 {
    u64::from(settings.get(table::MAX_CONNECTIONS)) * CONNECTION_BYTES
}
