//! The state that the endpoints share: one handle per use case.

use std::sync::Arc;

use axum::extract::FromRef;
use sealbus_core::catalog::Catalog;
use sealbus_core::request::Limits;
use sealbus_ledger::Ledger;

use crate::auth::tokens::Tokens;
use crate::http::body::BodyReader;
use crate::metrics::Metrics;
use crate::publish::publishing::Publishing;
use crate::publish::sealed::SealWaiting;
use crate::publish::sealed::receipts::Receipts;
use crate::read::reading::Reading;
use crate::read::streams::Streams;
use crate::read::verification::Verification;

/// The state that the endpoints share. None of it survives a restart, which loses no event: clients resume their streams.
pub(crate) struct App {
    /// The ledger, for endpoints that return stored facts as they are: plans, heads, checkpoints and tiles.
    pub ledger: Ledger,
    /// The event types.
    pub catalog: Arc<Catalog>,
    /// The tokens in effect.
    pub tokens: Tokens,
    /// The limits of a publish request.
    pub limits: Limits,
    /// Reads request bodies.
    pub bodies: BodyReader,
    /// Publishes events.
    pub publishing: Publishing,
    /// Waits until published events are sealed.
    pub seal_waiting: SealWaiting,
    /// Creates receipts and proofs.
    pub receipts: Receipts,
    /// Reads events as a client may see them.
    pub reading: Reading,
    /// Opens live streams.
    pub streams: Arc<Streams>,
    /// Verifies plans.
    pub verification: Verification,
    /// The counters.
    pub metrics: Metrics,
}

impl FromRef<Arc<App>> for Tokens {
    fn from_ref(app: &Arc<App>) -> Self {
        app.tokens.clone()
    }
}
