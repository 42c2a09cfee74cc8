//! Handlers that record their calls and fail on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sealbus_consumer::{Delivery, ExternalEffect, Handler, HandlerError, LedgerEffect};
use sealbus_core::event::Record;
use sqlx::PgConnection;
use tokio::sync::Semaphore;

use super::Bus;

/// Returns the error of an attempt to apply an event, if it is to fail. The number of the attempt is 1 at first.
type Fault = Box<dyn Fn(&Record, usize) -> Option<&'static str> + Send + Sync>;

/// An external effect that records the events that it applied, in order, and the attempts for each event.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Inner>);

#[derive(Default)]
struct Inner {
    applied: Mutex<Vec<(String, u64)>>,
    attempts: Mutex<BTreeMap<(String, u64), usize>>,
    fault: Mutex<Option<Fault>>,
    gate: Mutex<Option<Arc<Semaphore>>>,
}

impl Recorder {
    pub(crate) fn handler(&self) -> Handler {
        Handler::External(Arc::new(self.clone()))
    }

    /// Lets attempts fail, from now on, for which `fault` returns an error.
    pub(crate) fn fail(&self, fault: impl Fn(&Record, usize) -> Option<&'static str> + Send + Sync + 'static) {
        *self.0.fault.lock().unwrap() = Some(Box::new(fault));
    }

    /// Lets all attempts succeed from now on.
    pub(crate) fn succeed(&self) {
        *self.0.fault.lock().unwrap() = None;
    }

    /// Lets each attempt wait, from now on, for a permit of the returned semaphore.
    pub(crate) fn block(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.0.gate.lock().unwrap() = Some(gate.clone());
        gate
    }

    /// Returns the seqs of a plan in the order in which they were applied.
    pub(crate) fn applied(&self, plan: &str) -> Vec<u64> {
        self.0.applied.lock().unwrap().iter().filter(|(applied, _)| applied == plan).map(|(_, seq)| *seq).collect()
    }

    /// Returns how many attempts were made for an event.
    pub(crate) fn attempts(&self, plan: &str, seq: u64) -> usize {
        self.0.attempts.lock().unwrap().get(&(plan.to_owned(), seq)).copied().unwrap_or(0)
    }

    async fn attempt(&self, record: &Record) -> Result<(), HandlerError> {
        let event = (record.header.plan.clone(), record.header.seq);
        let attempt = {
            let mut attempts = self.0.attempts.lock().unwrap();
            let count = attempts.entry(event.clone()).or_default();
            *count += 1;
            *count
        };
        let gate = self.0.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        let fault = self.0.fault.lock().unwrap().as_ref().and_then(|fault| fault(record, attempt));
        if let Some(error) = fault {
            return Err(HandlerError::new(error));
        }
        self.0.applied.lock().unwrap().push(event);
        Ok(())
    }
}

#[async_trait]
impl ExternalEffect for Recorder {
    async fn apply(&self, batch: &[Delivery]) -> Result<(), HandlerError> {
        for delivery in batch {
            self.attempt(&delivery.record).await?;
        }
        Ok(())
    }
}

/// An effect in the ledger's database: a row for each event. The table has no constraint, so a repeated effect would
/// show.
#[derive(Clone)]
pub(crate) struct Table {
    /// Records the calls in addition, and lets them fail.
    pub recorder: Recorder,
    pub max_batch: usize,
}

impl Table {
    pub(crate) async fn create(bus: &Bus, max_batch: usize) -> Self {
        let create = "SET ROLE sealbus_writer;
            CREATE TABLE sealbus_sinks.applied (n bigint GENERATED ALWAYS AS IDENTITY, plan text, seq bigint)";
        bus.postgres.admin(create).await;
        Self { recorder: Recorder::default(), max_batch }
    }

    pub(crate) fn handler(&self) -> Handler {
        Handler::InLedger(Arc::new(self.clone()))
    }
}

#[async_trait]
impl LedgerEffect for Table {
    fn max_batch(&self) -> usize {
        self.max_batch
    }

    async fn apply(&self, batch: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError> {
        for delivery in batch {
            let header = &delivery.record.header;
            sqlx::query("INSERT INTO sealbus_sinks.applied (plan, seq) VALUES ($1, $2)")
                .bind(&header.plan)
                .bind(i64::try_from(header.seq).unwrap())
                .execute(&mut *transaction)
                .await?;
            self.recorder.attempt(&delivery.record).await?;
        }
        Ok(())
    }
}
