//! COMMIT, and the one warning that changes what it means.
//!
//! Where quorum synchronous replication is set and the wait for the standbys is cancelled, Postgres commits locally, sends
//! `WARNING 01000` and then reports success. Such a commit may be lost in a failover, so it is no 201. sqlx shows notices to
//! tracing alone; the commit therefore runs under a subscriber of its own that hears nothing else.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use sqlx::{Postgres, Transaction};
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, span};

use crate::LedgerError;

/// Commits; a warning makes the outcome [`LedgerError::UnknownCommit`].
pub(crate) async fn commit(transaction: Transaction<'_, Postgres>) -> Result<(), LedgerError> {
    let commit = Box::pin(transaction.commit().with_subscriber(LISTENER.clone()));
    let (result, warning) = Heard { commit, warning: None }.await;
    result?;
    match warning {
        None => Ok(()),
        Some(warning) => Err(LedgerError::UnknownCommit(warning)),
    }
}

const NOTICES: &str = "sqlx::postgres::notice";

/// One for the process: a new dispatch for each commit would rebuild every call site's interest.
static LISTENER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Listener));

thread_local! {
    /// The warning heard during the poll that is running on this thread.
    static WARNING: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Polls a commit and keeps what its polls heard, whichever thread they ran on.
struct Heard<F> {
    commit: Pin<Box<F>>,
    warning: Option<String>,
}

impl<F: Future> Future for Heard<F> {
    type Output = (F::Output, Option<String>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.commit.as_mut().poll(context);
        if let Some(warning) = WARNING.take() {
            self.warning = Some(warning);
        }
        polled.map(|result| (result, self.warning.take()))
    }
}

/// Hears Postgres' warnings and nothing else.
struct Listener;

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == NOTICES { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == NOTICES && *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == NOTICES && *event.metadata().level() <= Level::WARN {
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

/// The `message` field of an event.
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
