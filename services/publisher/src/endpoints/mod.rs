//! The endpoints of the API (`docs/spec/interface.md#http`) and the table of their routes.

mod catalog;
mod event;
mod events;
mod log;
mod plan_events;
mod plans;
mod publish;
mod publish_cloudevents;
mod streams;

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
        ("/v1/plans/{plan}/events/stream", get(streams::plan)),
        ("/v1/plans/{plan}/head", get(plans::head)),
        ("/v1/plans/{plan}/verification", get(plans::verification)),
        ("/v1/plans", get(plans::list)),
        ("/v1/events", get(events::handle).post(publish_cloudevents::handle)),
        ("/v1/events/stream", get(streams::log)),
        ("/v1/events/{id}", get(event::handle)),
        ("/v1/events/{id}/data", get(event::data)),
        ("/v1/events/{id}/proof", get(event::proof)),
        ("/v1/events/{id}/receipt", get(event::receipt)),
        ("/v1/catalog", get(catalog::handle)),
        ("/log/checkpoint", get(log::checkpoint)),
        ("/log/tile/{*path}", get(log::tile)),
    ]
}
