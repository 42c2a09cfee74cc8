//! Replies to the broker, sent by a task apart from the worker, which must not wait for a broker that is unreachable.

use std::sync::Arc;

use sealbus_broker::Handle;
use tokio::sync::mpsc;

/// The most replies that wait to be sent. Acknowledgements beyond that wait in the worker; progress reports are
/// dropped.
const MAX_QUEUED: usize = 8_192;

/// A reply to the broker about one message.
pub(super) enum Reply {
    /// The message is acknowledged: the broker never delivers it again.
    Acknowledge(Arc<Handle>),
    /// The message is being worked on: its acknowledgement wait starts again.
    Progress(Arc<Handle>),
}

pub(super) fn channel() -> (mpsc::Sender<Reply>, mpsc::Receiver<Reply>) {
    mpsc::channel(MAX_QUEUED)
}

/// Sends replies until the sender is dropped. A reply that is lost leads to another delivery.
pub(super) async fn send(mut replies: mpsc::Receiver<Reply>) {
    while let Some(reply) = replies.recv().await {
        match reply {
            Reply::Acknowledge(handle) => handle.ack().await,
            Reply::Progress(handle) => handle.progress().await,
        }
    }
}
