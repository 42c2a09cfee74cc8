//! Paging: the size of a page, `Link` headers, and the cursors of a plan's events.

use axum::http::Uri;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Tenant, TypePattern};
use sealbus_ledger::history::MAX_READ_BYTES;

use super::responses::EventFormat;

/// The memory that making a page takes at most: the events of one read ([`MAX_READ_BYTES`]), with their headers twice as large as
/// records, and in a buffer for their text that is doubled as it grows.
pub(crate) const PAGE_BYTES: usize = 6 * MAX_READ_BYTES;
/// The memory that an answer with one event takes while it is made: the stored event, the event as it is shown, and its text, each
/// with up to 256 KiB of data.
pub(crate) const EVENT_BYTES: usize = 1024 * 1024;
/// How many times as much memory an answer in `CloudEvents` takes. Text that is not JSON is stored in Base64, as four bytes for
/// three, and each of the three can be an escape of six bytes in the JSON string of the answer.
const CLOUDEVENTS_FACTOR: usize = 3;

/// Returns the memory that making an answer of at most `events` events takes.
pub(crate) fn page_bytes(events: usize, format: EventFormat) -> usize {
    let bytes = PAGE_BYTES.min(events * EVENT_BYTES);
    match format {
        EventFormat::Native => bytes,
        EventFormat::CloudEvents => CLOUDEVENTS_FACTOR * bytes,
    }
}

/// Returns the `Link` header of the next page: the request's own path and query with `parameter` set to `value`.
///
/// `value` is copied as it is: the caller percent-encodes it.
pub(crate) fn next_link(uri: &Uri, parameter: &str, value: &str) -> String {
    let prefix = format!("{parameter}=");
    let kept = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with(&prefix));
    let query: Vec<&str> = kept.collect();
    let separator = if query.is_empty() { "" } else { "&" };
    format!("<{}?{}{separator}{prefix}{value}>; rel=\"next\"", uri.path(), query.join("&"))
}

/// A list of a plan's events. A cursor is opaque to the client and valid only for the list that returned it.
#[derive(Debug)]
pub(crate) struct EventList<'a> {
    /// The plan's tenant.
    pub tenant: &'a Tenant,
    /// The plan.
    pub plan: &'a Plan,
    /// The type filter. An empty one selects all types.
    pub types: &'a [TypePattern],
    /// Whether the newest event comes first.
    pub descending: bool,
}

impl EventList<'_> {
    /// Returns the cursor of the page that follows the event with this seq.
    pub(crate) fn cursor_after(&self, seq: u64) -> String {
        URL_SAFE_NO_PAD.encode([seq.to_be_bytes(), self.fingerprint()].concat())
    }

    /// Returns the seq in a cursor of this list.
    ///
    /// # Errors
    /// `invalid_cursor` if the text is not a cursor, or belongs to another list.
    pub(crate) fn seq_of_cursor(&self, cursor: &str) -> Result<u64, Refused> {
        let refuse = || {
            let detail = "after must be the `next` value of a page of this list, unchanged";
            Refused::new(ErrorKind::InvalidCursor, detail)
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refuse())?;
        let (seq, fingerprint) = bytes.split_first_chunk::<8>().ok_or_else(refuse)?;
        if fingerprint == self.fingerprint() { Ok(u64::from_be_bytes(*seq)) } else { Err(refuse()) }
    }

    /// Returns a short hash of the list's parameters. It detects mistakes, not attacks: a cursor grants no access.
    fn fingerprint(&self) -> [u8; 8] {
        let mut types: Vec<_> = self.types.iter().map(TypePattern::as_str).collect();
        types.sort_unstable();
        let order = if self.descending { "desc" } else { "asc" };
        let parameters = [self.tenant.as_str(), self.plan.as_str(), order, &types.join(",")].join("\n");
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&Hash::of(parameters.as_bytes()).as_bytes()[..8]);
        fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_link_replaces_its_own_parameter_and_keeps_the_others() {
        let link = |uri: &str| next_link(&uri.parse().unwrap(), "after", "abc");
        assert_eq!(link("/v1/plans/p/events"), "</v1/plans/p/events?after=abc>; rel=\"next\"");
        assert_eq!(
            link("/v1/plans/p/events?after=old&type=a.*&limit=5"),
            "</v1/plans/p/events?type=a.*&limit=5&after=abc>; rel=\"next\""
        );
    }

    #[test]
    fn a_cursor_is_valid_only_for_the_list_that_returned_it() {
        let (tenant, other_tenant) = (Tenant::parse("acme").unwrap(), Tenant::parse("other").unwrap());
        let (plan, other_plan) = (Plan::parse("p").unwrap(), Plan::parse("q").unwrap());
        let types = [TypePattern::parse("a.*").unwrap(), TypePattern::parse("b").unwrap()];
        let reversed = [types[1].clone(), types[0].clone()];
        let list = EventList { tenant: &tenant, plan: &plan, types: &types, descending: false };
        let cursor = list.cursor_after(7);
        assert_eq!(list.seq_of_cursor(&cursor), Ok(7));
        assert_eq!(
            EventList { types: &reversed, ..list }.seq_of_cursor(&cursor),
            Ok(7),
            "the order of the type filter must not matter"
        );
        let list = || EventList { tenant: &tenant, plan: &plan, types: &types, descending: false };
        for (difference, other_list) in [
            ("tenant", EventList { tenant: &other_tenant, ..list() }),
            ("plan", EventList { plan: &other_plan, ..list() }),
            ("types", EventList { types: &types[..1], ..list() }),
            ("order", EventList { descending: true, ..list() }),
        ] {
            assert_eq!(
                other_list.seq_of_cursor(&cursor).map_err(|refused| refused.kind),
                Err(ErrorKind::InvalidCursor),
                "a cursor was accepted by a list with a different {difference}"
            );
        }
        for text in ["", "7", "x x", "AAAA", &cursor[1..]] {
            assert_eq!(
                list().seq_of_cursor(text).map_err(|refused| refused.kind),
                Err(ErrorKind::InvalidCursor),
                "{text:?} was accepted as a cursor"
            );
        }
    }
}
