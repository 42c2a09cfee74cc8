//! All checkpoints that are kept out of the database's reach.

use std::sync::Arc;

use sealbus_broker::{Broker, BrokerConfig};
use sealbus_core::error_chain;
use sealbus_core::log::note::Note;
use sealbus_core::log::policy::Policy;
use sealbus_runtime::settings::{Settings, table};
use sealbus_sealer::anchors::{Anchor, AnchorFile, AnchorStream};

use crate::failure::Failure;

/// The anchors of a deployment, as far as the environment names them.
pub(crate) struct Anchors {
    anchors: Vec<Arc<dyn Anchor>>,
    broker: Option<Broker>,
}

impl Anchors {
    /// The stream of `SEALBUS_NATS_URL` and the file of `SEALBUS_ANCHORS`: those of them that are set.
    ///
    /// # Errors
    /// None is set, or the broker is away and there is no file.
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
                Err(error) => eprintln!("sealbus: the stream of checkpoints is not compared: {error}"),
            }
        }
        if anchors.is_empty() {
            return Err(Failure::new(
                "no anchor is named, and without one nothing can be vouched for: set SEALBUS_NATS_URL or SEALBUS_ANCHORS",
            ));
        }
        Ok(Self { anchors, broker })
    }

    /// Every note of every anchor that can be read, each once.
    ///
    /// # Errors
    /// None can be read.
    pub(crate) async fn notes(&self) -> Result<Vec<Vec<u8>>, Failure> {
        self.read(true).await
    }

    /// The size of the newest checkpoint that is anchored, by a key that the policy trusts.
    pub(crate) async fn newest_size(&self, policy: &Policy, origin: &str) -> Result<u64, Failure> {
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
        for unreadable in unreadable {
            eprintln!("sealbus: an anchor is not compared: {unreadable}");
        }
        // The same note of two anchors says nothing twice. In their own order, so that findings name the same place again.
        let mut seen = std::collections::HashSet::new();
        notes.retain(|note| seen.insert(sealbus_core::hash::Hash::of(note)));
        Ok(notes)
    }
}
