//! A nats-server for one test.

use std::fmt::Write as _;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use async_nats::{HeaderMap, jetstream};
use futures::TryStreamExt;
use sealbus_backing::NatsOptions;
use sealbus_broker::topology::TopologySettings;
use sealbus_broker::{Broker, EventMessage};
use sealbus_core::error_chain;

/// The time that a broker has to answer in tests.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A nats-server with JetStream. It is stopped, and its store removed, when this is dropped.
pub struct Nats {
    server: sealbus_backing::Nats,
}

impl Nats {
    /// Starts a server on a free port with an empty store.
    pub async fn start() -> Self {
        // The server's supervisor removes it.
        let folder = tempfile::tempdir().expect("a folder for NATS").keep();
        let options = NatsOptions { folder, port: None, ephemeral: true };
        let started = sealbus_backing::Nats::start(options).await;
        Self { server: started.unwrap_or_else(|error| panic!("{}", error_chain(&error))) }
    }

    /// The URL of the server, password included.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Connects to the broker.
    pub async fn connect(&self) -> Broker {
        Broker::connect(&self.url(), "test", TIMEOUT).await.expect("the broker is reachable")
    }

    /// Connects to the broker and creates the streams with [`stream_settings`].
    pub async fn connect_with_streams(&self) -> Broker {
        let broker = self.connect().await;
        broker.ensure_topology(&stream_settings()).await.expect("the streams are created");
        broker
    }

    /// Connects with the NATS client itself, for what only an operator or an attacker does.
    pub async fn client(&self) -> async_nats::Client {
        let (user, password) = self.server.login();
        let options = async_nats::ConnectOptions::with_user_and_password(user.into(), password.into());
        options.connect(format!("nats://127.0.0.1:{}", self.server.port())).await.expect("the server is reachable")
    }

    /// Stores the message of an event again under another message id, so that the stream does not drop it as a
    /// duplicate. The copy has the body and the `sealbus-` headers.
    pub async fn publish_copy(&self, message: &EventMessage, message_id: &str) {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", message_id);
        for name in ["sealbus-leaf", "sealbus-metadata", "sealbus-request", "sealbus-v1"] {
            if let Some(value) = message.header(name) {
                headers.insert(name, value);
            }
        }
        let (subject, body) = (message.subject().to_owned(), message.body().to_vec());
        let jetstream = jetstream::new(self.client().await);
        let sent = jetstream.publish_with_headers(subject, headers, body.into()).await.expect("the copy is sent");
        sent.await.expect("the stream stores the copy");
    }

    /// Kills the server with SIGKILL.
    pub async fn kill(&mut self) {
        self.server.process.kill().await;
    }

    /// Starts the server again on the same port and store.
    pub async fn restart(&mut self) {
        self.server.restart().await.unwrap_or_else(|error| panic!("{}", error_chain(&error)));
    }

    /// Removes all messages of a stream.
    pub async fn purge(&self, stream: &str) {
        self.stream(stream).await.purge().await.expect("the stream is purged");
    }

    /// Removes the newest message of a stream on a subject, which may have wildcards.
    pub async fn delete_last(&self, stream: &str, subject: &str) {
        let stream = self.stream(stream).await;
        let last = stream.get_last_raw_message_by_subject(subject).await.expect("the subject has a message");
        stream.delete_message(last.sequence).await.expect("the message is deleted");
    }

    /// Returns how many messages a stream holds on a subject, which may have wildcards.
    pub async fn messages_of(&self, stream: &str, subject: &str) -> usize {
        let stream = self.stream(stream).await;
        let subjects = stream.info_with_subjects(subject).await.expect("the stream describes itself");
        let counts: Vec<_> =
            subjects.map_ok(|(_, messages)| messages).try_collect().await.expect("it does so to the end");
        counts.into_iter().sum()
    }

    /// Returns subjects, headers and bodies of all messages of a stream as one text.
    pub async fn text_of(&self, stream: &str) -> String {
        let mut stream = self.stream(stream).await;
        let state = &stream.info().await.expect("the stream describes itself").state;
        let (first, last) = (state.first_sequence, state.last_sequence);
        let mut text = String::new();
        for sequence in first..=last {
            // Deleted messages leave gaps in the sequence.
            let Ok(message) = stream.get_raw_message(sequence).await else { continue };
            let body = String::from_utf8_lossy(&message.payload).into_owned();
            writeln!(text, "{} {:?} {body}", message.subject, message.headers)
                .expect("writing to a String cannot fail");
        }
        text
    }

    async fn stream(&self, name: &str) -> Stream {
        jetstream::new(self.client().await).get_stream(name).await.expect("the stream exists")
    }
}

/// The limits of the streams in tests: each has at most 64 MiB, so that they fit on any disk.
pub fn stream_settings() -> TopologySettings {
    TopologySettings { replicas: 1, max_age: Duration::from_hours(7 * 24), max_bytes: 64 << 20 }
}
