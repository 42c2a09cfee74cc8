//! A ledger and a broker for one test.

use std::ops::{Deref, DerefMut};

use sealbus_broker::Broker;

use crate::{Nats, Postgres, TestLedger};

/// A [`TestLedger`] and a nats-server, with none of the services between them. Dereferences to the ledger.
pub struct TestBus {
    /// The ledger and its database.
    pub ledger: TestLedger,
    /// The nats-server.
    pub nats: Nats,
}

impl TestBus {
    /// Starts a bus whose ledger has this origin.
    pub async fn start(origin: &str) -> Self {
        let (postgres, nats) = tokio::join!(Postgres::start(), Nats::start());
        Self { ledger: TestLedger::create(postgres, origin).await, nats }
    }

    /// Starts a bus on an existing database.
    pub async fn on(postgres: Postgres, origin: &str) -> Self {
        Self { ledger: TestLedger::create(postgres, origin).await, nats: Nats::start().await }
    }

    /// Connects to the broker.
    pub async fn connect(&self) -> Broker {
        self.nats.connect().await
    }

    /// Connects to the broker and creates the streams with [`stream_settings`](crate::stream_settings).
    pub async fn connect_with_streams(&self) -> Broker {
        self.nats.connect_with_streams().await
    }
}

impl Deref for TestBus {
    type Target = TestLedger;

    fn deref(&self) -> &TestLedger {
        &self.ledger
    }
}

impl DerefMut for TestBus {
    fn deref_mut(&mut self) -> &mut TestLedger {
        &mut self.ledger
    }
}
