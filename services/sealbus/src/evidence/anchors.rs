//! Reading the checkpoints that are kept outside the database.

use std::collections::HashSet;
use std::sync::Arc;

use sealbus_broker::{Broker, BrokerConfig};
use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use sealbus_core::log::note::Note;
use sealbus_core::log::policy::Policy;
use sealbus_runtime::settings::{Settings, table};
use sealbus_sealer::anchors::{Anchor, AnchorFile, AnchorStream};

use crate::failure::Failure;
use crate::output::notice;

/// The anchors of a deployment that the environment names.
pub(crate) struct Anchors {
    anchors: Vec<Arc<dyn Anchor>>,
    broker: Option<Broker>,
}

impl Anchors {
    /// Opens the file of `SEALBUS_ANCHORS` and the stream of `SEALBUS_NATS_URL`, as far as they are set.
    ///
    /// # Errors
    /// Neither the file nor the stream is set; or only the stream is set, and the broker is unreachable.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let mut anchors: Vec<Arc<dyn Anchor>> = Vec::new();
        anchors.extend(settings.find(table::ANCHORS).map(|path| Arc::new(AnchorFile::new(path)) as Arc<dyn Anchor>));
        let mut broker = None;
        if let Some(url) = settings.find(table::NATS_URL) {
            match Broker::connect(BrokerConfig::new(url.expose(), "sealbus-verify")).await {
                Ok(connected) => {
                    anchors.push(Arc::new(AnchorStream::new(connected.clone())));
                    broker = Some(connected);
                }
                Err(error) if anchors.is_empty() => return Err(error.into()),
                Err(error) => {
                    notice(format_args!("the stream of checkpoints is not compared: {}", error_chain(&error)));
                }
            }
        }
        if anchors.is_empty() {
            return Err(Failure::new(
                "no anchor is configured, and nothing can be vouched for without one: set SEALBUS_NATS_URL or SEALBUS_ANCHORS",
            ));
        }
        Ok(Self { anchors, broker })
    }

    /// Returns every note of every readable anchor, without duplicates. Reports anchors that cannot be read on stderr.
    ///
    /// # Errors
    /// No anchor can be read.
    pub(crate) async fn notes(&self) -> Result<Vec<Vec<u8>>, Failure> {
        self.read(true).await
    }

    /// Returns the size of the largest anchored checkpoint that a key of the policy signed; 0 if no checkpoint is.
    pub(super) async fn newest_size(&self, policy: &Policy, origin: &str) -> Result<u64, Failure> {
        let notes = self.read(false).await?;
        let opened = notes.iter().filter_map(|note| policy.open(&Note::parse(note).ok()?, origin).ok());
        Ok(opened.map(|signed| signed.checkpoint().size()).max().unwrap_or(0))
    }

    /// Closes the connection to the broker.
    pub(crate) async fn close(self) {
        if let Some(broker) = self.broker {
            broker.close().await;
        }
    }

    /// Reads all notes, or only the last few of each anchor.
    async fn read(&self, all: bool) -> Result<Vec<Vec<u8>>, Failure> {
        let (mut notes, mut unreadable) = (Vec::new(), Vec::new());
        for anchor in &self.anchors {
            match anchor.notes(all).await {
                Ok(read) => notes.extend(read),
                Err(error) => unreadable.push(error_chain(&error)),
            }
        }
        if unreadable.len() == self.anchors.len() {
            return Err(Failure::new(format!("no anchor can be read: {}", unreadable.join("; "))));
        }
        for error in unreadable {
            notice(format_args!("an anchor is not compared: {error}"));
        }
        // Two anchors usually hold the same notes. The order is kept, so that a repeated run names the same places.
        let mut seen = HashSet::new();
        notes.retain(|note| seen.insert(Hash::of(note)));
        Ok(notes)
    }
}
