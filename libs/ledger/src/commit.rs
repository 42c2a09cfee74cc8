//! COMMIT, and the warning after which its outcome is unknown (`docs/spec/protocol.md#append-6`).
//!
//! If a commit waits for synchronous standbys and that wait is cancelled, Postgres commits locally, sends `WARNING 01000` and
//! reports success. A failover may lose such a commit, so nobody may be told that it succeeded. sqlx passes notices only to
//! tracing. The commit therefore runs under a separate tracing subscriber, which records nothing but notices.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::LazyLock;

use sqlx::{Postgres, Transaction};
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, span};

use crate::LedgerError;

/// Commits a transaction.
///
/// # Errors
/// [`LedgerError::OutcomeUnknown`] if the server warned.
pub(crate) async fn commit(transaction: Transaction<'_, Postgres>) -> Result<(), LedgerError> {
    let mut commit = pin!(transaction.commit().with_subscriber(RECORDER.clone()));
    let mut warning = None;
    // The polls may run on different threads, so the warning is taken from the thread after each poll.
    poll_fn(|context| {
        let polled = commit.as_mut().poll(context);
        warning = WARNING.take().or(warning.take());
        polled
    })
    .await?;
    warning.map_or(Ok(()), |warning| Err(LedgerError::OutcomeUnknown(warning)))
}

const NOTICES: &str = "sqlx::postgres::notice";

/// The dispatch that all commits share, because each new dispatch makes tracing compute the interest of every call site again.
static RECORDER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(WarningRecorder));

thread_local! {
    /// The warning that came during the current poll on this thread.
    static WARNING: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Stores the text of Postgres' warnings in [`WARNING`] and ignores everything else.
struct WarningRecorder;

impl Subscriber for WarningRecorder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == NOTICES { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == NOTICES && *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        if self.enabled(event.metadata()) {
            let mut message = Message(String::new());
            event.record(&mut message);
            WARNING.set(Some(message.0));
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Takes the field `message` out of a tracing event.
struct Message(String);

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
