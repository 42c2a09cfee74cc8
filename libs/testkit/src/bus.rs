//! A ledger and a broker for one test.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sealbus_broker::topology::TopologySettings;
use sealbus_broker::{Broker, BrokerConfig};

use crate::{Nats, Postgres, TestLedger};

/// How long a broker request waits for its answer. Short, since tests stop the server on purpose.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

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
        let config = BrokerConfig { answer_timeout: ANSWER_TIMEOUT, ..BrokerConfig::new(self.nats.url(), "test") };
        Broker::connect(config).await.expect("the broker is reachable")
    }

    /// Connects to the broker and creates the streams, each of at most 64 MiB.
    pub async fn connect_with_streams(&self) -> Broker {
        let broker = self.connect().await;
        let settings = TopologySettings { max_bytes: 64 << 20, ..TopologySettings::default() };
        broker.ensure_topology(&settings).await.expect("the streams are created");
        broker
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
