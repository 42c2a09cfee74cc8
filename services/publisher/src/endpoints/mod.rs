//! The endpoints of the API (`docs/spec/interface.md#http`) and the table of their routes.
//!
//! More than 15 files: each endpoint has its own file with its documentation, handler and tests.

mod catalog;
mod event;
mod event_data;
mod event_proof;
mod event_receipt;
mod events;
mod events_stream;
mod log_checkpoint;
mod log_tile;
mod plan_events;
mod plan_head;
mod plan_stream;
mod plan_verification;
mod plans;
mod publish;
mod publish_cloudevents;

use std::sync::Arc;

use axum::routing::{MethodRouter, get};

use crate::app::App;

/// Returns every route of the API.
///
/// Each handler extracts a [`Caller`](crate::auth::caller::Caller). A test calls every route and checks that none answers
/// without a token.
pub(crate) fn table() -> Vec<(&'static str, MethodRouter<Arc<App>>)> {
    vec![
        ("/v1/plans/{plan}/events", get(plan_events::handle).post(publish::handle)),
        ("/v1/plans/{plan}/events/stream", get(plan_stream::handle)),
        ("/v1/plans/{plan}/head", get(plan_head::handle)),
        ("/v1/plans/{plan}/verification", get(plan_verification::handle)),
        ("/v1/plans", get(plans::handle)),
        ("/v1/events", get(events::handle).post(publish_cloudevents::handle)),
        ("/v1/events/stream", get(events_stream::handle)),
        ("/v1/events/{id}", get(event::handle)),
        ("/v1/events/{id}/data", get(event_data::handle)),
        ("/v1/events/{id}/proof", get(event_proof::handle)),
        ("/v1/events/{id}/receipt", get(event_receipt::handle)),
        ("/v1/catalog", get(catalog::handle)),
        ("/log/checkpoint", get(log_checkpoint::handle)),
        ("/log/tile/{*path}", get(log_tile::handle)),
    ]
}
