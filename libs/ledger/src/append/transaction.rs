//! One batch in one transaction, and what happens if the transaction fails.
//!
//! A conflict of a call is not an error here: it is decided before anything is written. What can fail is an id that another
//! batch has just used for another plan, or the database. The batch is then rolled back and run again by halves, so that a
//! call fails only for its own reasons (`docs/spec/protocol.md#append-3`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_core::partition::PlanKey;
use sqlx::{Connection, Postgres, Transaction};

use super::call::{AppendError, Appended, Hint};
use super::decide::{Known, decide};
use super::insert::{Row, insert};
use super::link::Linker;
use super::locks::{LockedPlans, lock, lock_open_keys};
use super::metrics::AppendMetrics;
use super::queue::Waiting;
use crate::commit::commit;
use crate::history::record::{into_records, select_records};
use crate::{Ledger, LedgerError, LentConnection};

/// The work that is left after a batch. All calls except the busy ones have been answered.
#[derive(Default)]
pub(super) struct Outcome {
    /// The events that the batch added.
    pub hints: Vec<Hint>,
    /// The calls whose plans another replica had locked, in order.
    pub busy: Vec<Waiting>,
}

/// A connection that a batcher keeps from batch to batch.
///
/// The pool rotates connections, and a connection that was idle has cold plan caches: at 200 appends/s its statements take 1.6
/// times as long. After an error the next batch acquires another connection, as it does after a change of the server's history: the
/// server of the connection may go on for a while beside the one that replaced it. Dropping it closes the connection.
#[derive(Default)]
pub(super) struct WarmConnection(Option<Checked>);

/// A connection whose server has a confirmed history.
struct Checked {
    connection: LentConnection,
    /// [`ServerHistories::changes`](crate::server_history::ServerHistories::changes) when it was checked.
    changes: u64,
}

impl WarmConnection {
    /// Returns the connection to the pool.
    pub(super) fn give_back(&mut self) {
        if let Some(Checked { connection, .. }) = self.0.take() {
            connection.release();
        }
    }

    /// Gets rid of the connection after an error. It may go back to the pool only if the server has answered.
    fn discard(&mut self, error: &LedgerError) {
        match error {
            LedgerError::Rejected(_) => self.give_back(),
            _ => self.0 = None,
        }
    }

    async fn begin(&mut self, ledger: &Ledger) -> Result<Transaction<'_, Postgres>, LedgerError> {
        let changes = ledger.server_history().changes();
        let checked = if let Some(checked) = self.0.take().filter(|checked| checked.changes == changes) {
            checked
        } else {
            Checked { connection: ledger.confirmed_connection(ledger.appends()).await?, changes }
        };
        Ok(self.0.insert(checked).connection.begin_with(BEGIN).await?)
    }
}

/// Makes Postgres plan the insert once for each connection. By default it plans it again for the arrays of each batch, because
/// it assumes that unknown arrays are long. The settings for the look-ups are on their function.
const BEGIN: &str = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan";

/// The answers to the calls of a batch, in order; `None` for a call whose plan was busy.
type Answers = Vec<Option<Result<Vec<Appended>, AppendError>>>;

/// Runs a batch until each call is answered or found busy. With `lock_timeout` a call waits for its plan
/// for at most that time, and then fails instead of being busy.
pub(super) async fn run(
    ledger: &Ledger,
    warm: &mut WarmConnection,
    linker: &Linker,
    metrics: &AppendMetrics,
    calls: Vec<Waiting>,
    lock_timeout: Option<Duration>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut busy_plans: HashSet<PlanKey> = HashSet::new();
    metrics.batch(&calls);
    // A stack, so that the first half runs before the second and the calls of a plan stay in order.
    let mut todo = vec![(calls, Retries::default())];
    while let Some((calls, retries)) = todo.pop() {
        let (busy, mut calls): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|waiting| busy_plans.contains(&waiting.key));
        outcome.busy.extend(busy);
        if calls.is_empty() {
            continue;
        }
        let deadline = ledger.appends().deadline() + lock_timeout.unwrap_or_default();
        let attempt = attempt(ledger, warm, linker, metrics, &calls, lock_timeout);
        let started = Instant::now();
        let attempted = ledger.appends().within_deadline(deadline, attempt).await;
        metrics.transaction.observe(started.elapsed().as_secs_f64());
        let error = match attempted {
            Ok((answers, hints)) => {
                outcome.hints.extend(hints);
                for (waiting, answer) in calls.into_iter().zip(answers) {
                    if let Some(answer) = answer {
                        waiting.answer(answer);
                    } else {
                        busy_plans.insert(waiting.key);
                        outcome.busy.push(waiting);
                    }
                }
                continue;
            }
            Err(error) => error,
        };
        if let LedgerError::Unreachable(error) = &error {
            ledger.appends().report(error);
        }
        warm.discard(&error);
        match retries.after(&error, calls.len()) {
            Next::Again(retries) => todo.push((calls, retries)),
            Next::Halves => {
                let second = calls.split_off(calls.len() / 2);
                todo.push((second, Retries::default()));
                todo.push((calls, Retries::default()));
            }
            Next::GiveUp => {
                tracing::warn!(
                    error = %error_chain(&error),
                    calls = calls.len(),
                    "append failed; the callers have to retry with the same ids"
                );
                let answer = AppendError::from(error);
                metrics.failed(&answer, calls.len());
                for waiting in calls {
                    waiting.answer(Err(answer.clone()));
                }
            }
        }
    }
    outcome
}

/// The retries that were spent on this very batch.
#[derive(Debug, Clone, Copy, Default)]
struct Retries {
    reconnected: bool,
    collided: bool,
}

/// The next step after a failure of a batch.
enum Next {
    /// Run the same batch again.
    Again(Retries),
    /// Run each half of the batch.
    Halves,
    /// Answer all callers with the error.
    GiveUp,
}

impl Retries {
    fn after(self, error: &LedgerError, calls: usize) -> Next {
        let code = match error {
            LedgerError::Rejected(sqlx::Error::Database(database)) => database.code().map(std::borrow::Cow::into_owned),
            _ => None,
        };
        match (error, code.as_deref()) {
            // The pool may have lent a connection that broke long ago; another one shows whether the database is reachable.
            (LedgerError::Unreachable(_), _) if !self.reconnected => Next::Again(Self { reconnected: true, ..self }),
            // Half of the batch would fail in the same way; 55P03 is lock_timeout. After an unknown outcome only the callers can
            // find out, by their ids.
            (
                LedgerError::Unreachable(_)
                | LedgerError::OutcomeUnknown(_)
                | LedgerError::SigningKey(_)
                | LedgerError::OtherHistory { .. },
                _,
            )
            | (_, Some("55P03")) => Next::GiveUp,
            _ if calls > 1 => Next::Halves,
            // A unique violation. The other batch has committed the id, so the next look at the known ids decides the call.
            (_, Some("23505")) if !self.collided => Next::Again(Self { collided: true, ..self }),
            _ => Next::GiveUp,
        }
    }
}

async fn attempt(
    ledger: &Ledger,
    warm: &mut WarmConnection,
    linker: &Linker,
    metrics: &AppendMetrics,
    calls: &[Waiting],
    lock_timeout: Option<Duration>,
) -> Result<(Answers, Vec<Hint>), LedgerError> {
    let mut transaction = warm.begin(ledger).await?;
    let started = Instant::now();
    let LockedPlans { mut plans, known, now } = lock(&mut transaction, calls, lock_timeout, linker.kid()).await?;
    metrics.lock.observe(started.elapsed().as_secs_f64());
    let mut known = read_known(ledger, &mut transaction, known).await?;
    let open = lock_open_keys(&mut transaction, calls).await?;
    let indexes: HashMap<(String, String), usize> =
        plans.iter().enumerate().map(|(at, plan)| ((plan.tenant.clone(), plan.plan.clone()), at)).collect();

    let mut answers: Answers = Vec::with_capacity(calls.len());
    let mut rows = Vec::new();
    for Waiting { call, .. } in calls {
        let at = indexes[&(call.tenant.as_str().to_owned(), call.plan.as_str().to_owned())];
        if !plans[at].locked {
            answers.push(None);
            continue;
        }
        let answer = decide(linker, call, &mut plans[at], &mut known, &open, now);
        let appended = answer.iter().flatten().filter(|appended| appended.new);
        rows.extend(appended.map(|appended| Row { plan_index: at, record: appended.record.clone() }));
        answers.push(Some(answer));
    }

    if answers.iter().all(Option::is_none) {
        transaction.rollback().await?;
        return Ok((answers, Vec::new()));
    }
    let hints = if rows.is_empty() {
        // The answers depend on rows that were read, so this commit has to wait for the standbys too.
        sqlx::query!("-- wait_for_standbys\nSELECT pg_logical_emit_message(true, '', '')::text AS lsn")
            .fetch_one(&mut *transaction)
            .await?;
        Vec::new()
    } else {
        insert(&mut transaction, &mut plans, linker.partitions, rows).await?
    };
    let started = Instant::now();
    commit(transaction).await?;
    metrics.commit.observe(started.elapsed().as_secs_f64());
    Ok((answers, hints))
}

/// Reads the records at these places (`plan_no`, seq).
async fn read_known(
    ledger: &Ledger,
    connection: &mut sqlx::PgConnection,
    known: Vec<(i64, i64)>,
) -> Result<Known, LedgerError> {
    if known.is_empty() {
        return Ok(Known::new());
    }
    let (plan_nos, seqs): (Vec<i64>, Vec<i64>) = known.into_iter().unzip();
    let rows = select_records!(
        "read_known",
        from
        "FROM unnest($1::bigint[], $2::bigint[]) AS w (plan_no, seq)
         JOIN sealbus.events e ON e.plan_no = w.plan_no AND e.seq = w.seq
         JOIN sealbus.plans p ON p.plan_no = e.plan_no
         LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq",
        &plan_nos,
        &seqs
    );
    let rows = rows.fetch_all(connection).await?;
    let by_id = |record: Record| ((record.header.tenant.clone(), record.header.event_id), Arc::new(record));
    Ok(into_records(rows, &ledger.deployment().origin)?.into_iter().map(by_id).collect())
}
