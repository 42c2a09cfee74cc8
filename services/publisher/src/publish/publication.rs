//! Events of a publish request.

use sealbus_core::error::Refused;
use sealbus_core::request::{EventKey, EventRequest};

/// An event of a publish request, with the headers that apply to it.
#[derive(Debug)]
pub(crate) struct Publication {
    /// The event's index in the request's array, or `None` if the request is one event.
    pub index: Option<usize>,
    /// The event.
    pub request: EventRequest,
    /// The trace context of the event.
    pub traceparent: Option<String>,
    /// The idempotency key of the event.
    pub key: Option<EventKey>,
}

impl Publication {
    /// Returns the idempotency key if the id of the event is made from it.
    pub(super) fn key_of_id(&self) -> Option<&EventKey> {
        self.key.as_ref().filter(|_| self.request.id.is_none())
    }
}

/// What a refusal of an event names.
pub(super) struct Named {
    /// The event's index in the request's array.
    index: Option<usize>,
    /// Whether the event's id is made from an idempotency key.
    pub by_key: bool,
}

impl Named {
    pub(super) fn of(publication: &Publication) -> Self {
        Self { index: publication.index, by_key: publication.key_of_id().is_some() }
    }

    /// Adds the event's index to the pointers of a refusal.
    pub(super) fn locate(&self, refused: Refused) -> Refused {
        match self.index {
            Some(index) => refused.within(&format!("/{index}")),
            None => refused,
        }
    }
}
