//! One batch in one transaction, and what happens when the database does not take it.
//!
//! A call's own conflict is no error here: it is decided before anything is written. What is left is an id that another
//! batch took for another plan meanwhile, or a database in trouble. Then the batch is rolled back and run again by halves,
//! so that no caller pays for another's call.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sealbus_core::partition::PlanKey;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Postgres, Transaction};
use uuid::Uuid;

use super::call::{AppendError, Appended, Hint};
use super::decide::{Known, OpenKeys, decide};
use super::insert::{Row, insert};
use super::link::Linker;
pub(super) use super::locks::Locking;
use super::locks::{Locked, lock};
use super::queue::Waiting;
use crate::commit::commit;
use crate::data_keys::share;
use crate::history::record::{into_records, select_records};
use crate::{Ledger, LedgerError};

/// What is left to do after a batch: every call but the busy ones has been answered.
#[derive(Default)]
pub(super) struct Outcome {
    pub hints: Vec<Hint>,
    /// Calls whose plans were locked elsewhere, in their order.
    pub busy: Vec<Waiting>,
}

/// A connection that is kept from batch to batch: the pool lends in turn, and the next one has grown cold (at 200 appends a
/// second its statements take 1.6 times as long). After an error another one is taken.
#[derive(Default)]
pub(super) struct WarmConnection(Option<PoolConnection<Postgres>>);

impl WarmConnection {
    /// Gives the connection back to the pool.
    pub(super) fn discard(&mut self) {
        self.0 = None;
    }

    async fn begin(&mut self, ledger: &Ledger) -> Result<Transaction<'_, Postgres>, LedgerError> {
        let connection = match self.0.take() {
            Some(connection) => connection,
            None => ledger.pool().acquire().await?,
        };
        Ok(self.0.insert(connection).begin_with(BEGIN).await?)
    }
}

/// The insert is planned once for a connection. Left alone, Postgres plans it anew for the arrays of each batch, since it
/// takes those that it does not know for long ones; what the look-ups need is set on their function.
const BEGIN: &str = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan";

/// A call's place in the batch is its place here; None where its plan was busy.
type Answers = Vec<Option<Result<Vec<Appended>, AppendError>>>;

/// Runs a batch to its end.
pub(super) async fn run(
    ledger: &Ledger,
    warm: &mut WarmConnection,
    linker: &Linker,
    calls: Vec<Waiting>,
    locking: Locking,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut busy_plans: HashSet<PlanKey> = HashSet::new();
    // Last in, first out, so the first half goes before the second: a plan's calls stay in order.
    let mut todo = vec![(calls, Tries::default())];
    while let Some((calls, tries)) = todo.pop() {
        let (behind, mut calls): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|waiting| busy_plans.contains(&waiting.key));
        outcome.busy.extend(behind);
        if calls.is_empty() {
            continue;
        }
        let error = match attempt(ledger, warm, linker, &calls, locking).await {
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
        warm.discard();
        match tries.after(&error, calls.len()) {
            Next::Again(tries) => todo.push((calls, tries)),
            Next::Halves => {
                let second = calls.split_off(calls.len() / 2);
                todo.push((second, Tries::default()));
                todo.push((calls, Tries::default()));
            }
            Next::GiveUp => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    calls = calls.len(),
                    "appending failed; the callers were told to ask again"
                );
                let answer = AppendError::from(error);
                for waiting in calls {
                    waiting.answer(Err(answer.clone()));
                }
            }
        }
    }
    outcome
}

/// What was tried already with this very batch.
#[derive(Debug, Clone, Copy, Default)]
struct Tries {
    reconnected: bool,
    collided: bool,
}

#[derive(Debug, PartialEq)]
enum Next<T> {
    Again(T),
    Halves,
    GiveUp,
}

impl Tries {
    fn after(self, error: &LedgerError, calls: usize) -> Next<Self> {
        let code = match error {
            LedgerError::Sql(sqlx::Error::Database(database)) => database.code().map(std::borrow::Cow::into_owned),
            _ => None,
        };
        match (error, code.as_deref()) {
            // The pool may have given a connection that died long ago; a second one tells.
            (LedgerError::Unreachable(_), _) if !self.reconnected => Next::Again(Self { reconnected: true, ..self }),
            // Away for good; lock_timeout or a key that may not sign, which half a batch would meet too; an outcome that only
            // the callers' ids resolve.
            (LedgerError::Unreachable(_) | LedgerError::UnknownCommit(_) | LedgerError::SigningKey(_), _)
            | (_, Some("55P03")) => Next::GiveUp,
            _ if calls > 1 => Next::Halves,
            // The id is committed by now, so that the next look at known ids decides the call.
            (_, Some("23505")) if !self.collided => Next::Again(Self { collided: true, ..self }),
            _ => Next::GiveUp,
        }
    }
}

async fn attempt(
    ledger: &Ledger,
    warm: &mut WarmConnection,
    linker: &Linker,
    calls: &[Waiting],
    locking: Locking,
) -> Result<(Answers, Vec<Hint>), LedgerError> {
    let mut transaction = warm.begin(ledger).await?;
    let Locked { mut plans, known, now } = lock(&mut transaction, calls, locking, linker.kid()).await?;
    let mut known = read_known(ledger, &mut transaction, known).await?;
    let open = open_keys(&mut transaction, calls).await?;
    let place: HashMap<(String, String), usize> =
        plans.iter().enumerate().map(|(at, plan)| ((plan.tenant.clone(), plan.plan.clone()), at)).collect();

    let mut answers: Answers = Vec::with_capacity(calls.len());
    let mut rows = Vec::new();
    for Waiting { call, .. } in calls {
        let at = place[&(call.tenant.as_str().to_owned(), call.plan.as_str().to_owned())];
        if !plans[at].locked {
            answers.push(None);
            continue;
        }
        let answer = decide(linker, call, &mut plans[at], &mut known, &open, now);
        if let Ok(appended) = &answer {
            rows.extend(
                appended
                    .iter()
                    .filter(|appended| appended.new)
                    .map(|appended| Row { plan_at: at, record: appended.record.clone() }),
            );
        }
        answers.push(Some(answer));
    }

    if answers.iter().all(Option::is_none) {
        transaction.rollback().await?;
        return Ok((answers, Vec::new()));
    }
    let hints = if rows.is_empty() {
        // An answer that rests on rows read is no safer than they are: this commit waits for the standbys too.
        sqlx::query!("-- wait_for_standbys\nSELECT pg_logical_emit_message(true, '', '')::text AS lsn")
            .fetch_one(&mut *transaction)
            .await?;
        Vec::new()
    } else {
        insert(&mut transaction, &mut plans, linker.partitions, rows).await?
    };
    commit(transaction).await?;
    Ok((answers, hints))
}

/// The data keys of the batch that are open, locked until its end. A batch without encrypted events asks nothing.
async fn open_keys(connection: &mut sqlx::PgConnection, calls: &[Waiting]) -> Result<OpenKeys, LedgerError> {
    let mut names: Vec<(&str, Uuid)> = Vec::new();
    for Waiting { call, .. } in calls {
        let ids = call.events.iter().filter_map(|draft| draft.encrypted.as_ref()).map(|under| under.key_id);
        names.extend(ids.map(|key_id| (call.tenant.as_str(), key_id)));
    }
    if names.is_empty() {
        return Ok(OpenKeys::new());
    }
    names.sort_unstable();
    names.dedup();
    share(connection, &names).await
}

/// The records of the ids that are stored.
async fn read_known(
    ledger: &Ledger,
    connection: &mut sqlx::PgConnection,
    known: Vec<(String, Uuid, i64, i64)>,
) -> Result<Known, LedgerError> {
    if known.is_empty() {
        return Ok(Known::new());
    }
    let plan_nos: Vec<i64> = known.iter().map(|(_, _, plan_no, _)| *plan_no).collect();
    let seqs: Vec<i64> = known.iter().map(|(_, _, _, seq)| *seq).collect();
    let rows = select_records!(
        "read_known",
        "",
        "FROM unnest($1::bigint[], $2::bigint[]) AS w (plan_no, seq)
         JOIN sealbus.events e ON e.plan_no = w.plan_no AND e.seq = w.seq
         JOIN sealbus.plans p ON p.plan_no = e.plan_no
         LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq",
        &plan_nos,
        &seqs
    )
    .fetch_all(connection)
    .await?;
    let records = into_records(rows, &ledger.deployment().origin)?;
    Ok(records
        .into_iter()
        .map(|record| ((record.header.tenant.clone(), record.header.event_id), Arc::new(record)))
        .collect())
}
