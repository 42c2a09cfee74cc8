//! The state that the endpoints share: one handle per use case.

use std::sync::Arc;

use axum::extract::FromRef;
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use tokio::sync::Semaphore;

use crate::auth::Tokens;
use crate::http::{AnswerMemory, BodyReader};
use crate::metrics::Metrics;
use crate::publish::{Publishing, SealWaiting};
use crate::read::{Reading, Streams};

/// The state that the endpoints share. None of it survives a restart, which loses no event: clients resume their streams.
pub(crate) struct App {
    /// The ledger, for endpoints that return stored facts as they are: plans, heads, checkpoints, tiles and proofs.
    pub ledger: Ledger,
    /// The keys that check seals.
    pub keyring: Arc<Keyring>,
    /// The tokens in effect.
    pub tokens: Tokens,
    /// Reads request bodies.
    pub bodies: BodyReader,
    /// Publishes events.
    pub publishing: Publishing,
    /// Waits until published events are sealed.
    pub seal_waiting: SealWaiting,
    /// The memory for events that are read for clients.
    pub answers: AnswerMemory,
    /// Reads events as a client may see them.
    pub reading: Reading,
    /// Opens live streams.
    pub streams: Arc<Streams>,
    /// One permit for each verification of a plan that may be in flight.
    pub verifications: Semaphore,
    /// The counters.
    pub metrics: Metrics,
}

impl FromRef<Arc<App>> for Tokens {
    fn from_ref(app: &Arc<App>) -> Self {
        app.tokens.clone()
    }
}
