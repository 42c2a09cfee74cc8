//! A lane of an import: publishes the lines of some plans in order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sealbus_client::{Client, ClientError, Outcome, Problem};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Summary;
use super::lines::{Line, PlanName, Refusal};
use crate::failure::Failure;
use crate::output::notice;

/// Maximum number of events in a batch.
pub(super) const MAX_BATCH_EVENTS: usize = 200;
/// Maximum number of bytes in a batch of more than one event: well below the largest body that a publisher accepts.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// The status of a body or event that is too large.
const TOO_LARGE: u16 = 413;
/// The status of a rate limit.
const TOO_MANY_REQUESTS: u16 = 429;

/// A line that waits in a lane, with the memory that it takes.
pub(super) struct QueuedLine {
    pub line: Line,
    pub memory: OwnedSemaphorePermit,
}

/// Publishes the lines that it receives, and counts what became of them.
pub(super) struct Lane {
    client: Arc<Client>,
    blocked: BlockedPlans,
    summary: Summary,
}

impl Lane {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client, blocked: BlockedPlans::default(), summary: Summary::default() }
    }

    /// Publishes the lines in order, in batches of those that have arrived.
    pub(super) async fn publish_all(mut self, mut lines: mpsc::Receiver<QueuedLine>) -> Result<Summary, Failure> {
        let mut waiting = Vec::with_capacity(MAX_BATCH_EVENTS);
        while !waiting.is_empty() || lines.recv_many(&mut waiting, MAX_BATCH_EVENTS).await > 0 {
            waiting.retain(|QueuedLine { line, .. }| self.admit(line));
            let batch: Vec<QueuedLine> = waiting.drain(..batch_length(&waiting)).collect();
            if !batch.is_empty() {
                self.publish(batch).await?;
            }
        }
        Ok(self.summary)
    }

    /// Returns whether a line can be published. Counts and reports the others.
    fn admit(&mut self, line: &Line) -> bool {
        if self.blocked.contains(&line.plan) {
            self.summary.held_back += 1;
            return false;
        }
        if let Err(refusal) = &line.event {
            self.refuse(line.number, &line.plan, refusal);
            return false;
        }
        true
    }

    async fn publish(&mut self, batch: Vec<QueuedLine>) -> Result<(), Failure> {
        let of_line = |QueuedLine { line, memory }| Some(((line.number, line.plan, memory), line.event.ok()?));
        let (lines, events): (Vec<_>, Vec<Value>) = batch.into_iter().filter_map(of_line).unzip();
        let outcomes = self.outcomes(&events).await?;
        for (((number, plan, _memory), event), outcome) in lines.into_iter().zip(events).zip(outcomes) {
            let outcome = match outcome {
                Outcome::Refused(_) if self.blocked.contains(&plan) => {
                    self.summary.held_back += 1;
                    continue;
                }
                // The events of a plan in a batch are refused together. Published alone, only the invalid one is refused.
                Outcome::Refused(_) => self.outcomes(&[event]).await?.remove(0),
                stored @ Outcome::Stored(_) => stored,
            };
            match outcome {
                Outcome::Stored(published) if published.new => self.summary.stored += 1,
                Outcome::Stored(_) => self.summary.duplicates += 1,
                Outcome::Refused(problem) if is_of_service(&problem) => {
                    return Err(Failure::new(format!(
                        "line {number} cannot be stored: {problem}; run the import again, it skips what is already stored"
                    )));
                }
                Outcome::Refused(problem) => {
                    self.refuse(number, &plan, &Refusal { code: problem.code.clone(), detail: problem.to_string() });
                }
            }
        }
        Ok(())
    }

    /// Publishes events, and returns one outcome for each. An event far beyond the limits refuses the whole body, which counts as
    /// a refusal of each of its events.
    async fn outcomes(&self, events: &[Value]) -> Result<Vec<Outcome>, ClientError> {
        match self.client.publish_cloudevents(events).await {
            Err(ClientError::Refused(problem)) if problem.status == TOO_LARGE => {
                Ok(events.iter().map(|_| Outcome::Refused(problem.clone())).collect())
            }
            outcomes => outcomes,
        }
    }

    fn refuse(&mut self, number: u64, plan: &PlanName, refusal: &Refusal) {
        report_refused(number, refusal);
        self.summary.refused += 1;
        self.blocked.insert(plan);
    }
}

/// Returns whether a refusal says nothing about the event itself, but that the service cannot store it now.
fn is_of_service(problem: &Problem) -> bool {
    problem.status >= 500 || problem.status == TOO_MANY_REQUESTS
}

/// The plans of which a line was refused. A line that names no plan blocks none.
#[derive(Default)]
struct BlockedPlans(HashMap<String, HashSet<Option<String>>>);

impl BlockedPlans {
    fn insert(&mut self, plan: &PlanName) {
        if let Some(subject) = &plan.subject {
            self.0.entry(subject.clone()).or_default().insert(plan.tenant.clone());
        }
    }

    /// Returns whether a line of the plan was refused. A line without a tenant may be of any tenant.
    fn contains(&self, plan: &PlanName) -> bool {
        let tenants = plan.subject.as_ref().and_then(|subject| self.0.get(subject));
        tenants
            .is_some_and(|tenants| plan.tenant.is_none() || tenants.contains(&plan.tenant) || tenants.contains(&None))
    }
}

/// Returns how many of the first lines fit into one batch: at least one, if there is one.
fn batch_length(lines: &[QueuedLine]) -> usize {
    let sums = lines.iter().scan(0, |sum, QueuedLine { line, .. }| {
        *sum += line.bytes;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= MAX_BATCH_BYTES).count().max(1).min(lines.len())
}

pub(super) fn report_refused(line: u64, Refusal { code, detail }: &Refusal) {
    notice(format_args!("line {line} is refused ({code}): {detail}"));
}
