//! Idempotency keys of events.

use uuid::Uuid;

use crate::event::event_id;
use crate::names::Tenant;

/// The source with which an idempotency key is hashed into an event id.
const SOURCE: &str = "idempotency-key";

/// The idempotency key of an event without an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventKey {
    /// The key of the request, 1 to 1,000 bytes without control characters.
    key: String,
    /// The place of the event in its array, or `None` if it is the only event of a request without an array.
    place: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    index: usize,
    /// Number of events in the array, if it is stored with the event.
    events: Option<usize>,
}

impl EventKey {
    /// Returns the key of the event of a request without an array.
    pub fn of_one(key: &str) -> Self {
        Self { key: key.to_owned(), place: None }
    }

    /// Returns the key of the event at `index` in an array of `events`.
    pub fn of_array(key: &str, index: usize, events: usize) -> Self {
        Self { key: key.to_owned(), place: Some(Place { index, events: Some(events) }) }
    }

    /// Returns the key of an event that was stored before the number of events was stored with it.
    #[must_use]
    pub fn without_events(self) -> Self {
        let place = self.place.map(|place| Place { events: None, ..place });
        Self { place, ..self }
    }

    /// Returns the number of events in the array, if it is stored with the event.
    pub fn events(&self) -> Option<usize> {
        self.place.and_then(|place| place.events)
    }

    /// Returns the keys that no event has whose request was this one: the key of the other form, and the one behind the last
    /// event of the array.
    pub fn of_other_requests(&self) -> Vec<Self> {
        let at = |index| Self { key: self.key.clone(), place: Some(Place { index, events: None }) };
        match self.place {
            None => vec![at(0)],
            Some(Place { events, .. }) => {
                [Some(Self::of_one(&self.key)), events.map(at)].into_iter().flatten().collect()
            }
        }
    }

    /// Returns the text of the key, which is followed by a slash and the index if the event is in an array.
    pub fn text(&self) -> String {
        match self.place {
            None => self.key.clone(),
            Some(Place { index, .. }) => format!("{}/{index}", self.key),
        }
    }

    /// Returns the id of the event.
    pub fn event_id(&self, tenant: &Tenant) -> Uuid {
        let identity = event_id(tenant.as_str(), SOURCE, &self.text());
        identity.expect("a key is at most 1,000 bytes long and has no control characters").id
    }
}
