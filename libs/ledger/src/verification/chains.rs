//! One run of plans, read in the order of plan number and seq, and checked.

use std::sync::atomic::Ordering;

use futures::{Stream, TryStreamExt};
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::hash::Hash;
use sealbus_core::verify::{ChainCheck, Finding, LeafEvidence, Verdict};

use super::opening::Opening;
use super::runs::{PlanToRead, Run};
use super::{Basis, Verification, Verified};
use crate::LedgerError;
use crate::history::record::{RecordRow, select_records};

/// Makes the planner merge plans, events and leaves, which three indexes hold in the same order. By default it looks up each leaf
/// (9 µs a row instead of 3) or sorts more than fits in memory. The session does not use bitmap scans either.
///
/// After the server has sent the last row, its transaction is idle until the verifier has checked the rows that are still in the
/// buffers of the connection. On a busy machine that can take longer than the 5 s after which the server ends a session.
const IN_ORDER: &str = "BEGIN READ ONLY; SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = off; \
                        SET LOCAL enable_sort = off; SET LOCAL idle_in_transaction_session_timeout = '10min'";

impl Verification<'_> {
    /// Reads and checks a run.
    pub(super) async fn verify_run(self, run: Run, basis: &Basis) -> Result<Verified, LedgerError> {
        let (Some(first), Some(last)) = (run.plans.first(), run.plans.last()) else { return Ok(Verified::default()) };
        let through = last.tenant.clone().zip(last.plan.clone());
        let log_id = self.ledger.deployment().log_id;
        let mut reading = self.ledger.reads().begin_with(IN_ORDER).await?;
        // The bounds are repeated for each table, because otherwise a merge begins at the first row of the table.
        let mut verified = match first.from_seq {
            None => {
                let rows = select_records!(
                    "verify_plans",
                    leaf_hash,
                    from
                    "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no AND p.plan_no BETWEEN $1 AND $2
                     LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq AND l.plan_no BETWEEN $1 AND $2
                     WHERE e.plan_no BETWEEN $1 AND $2 ORDER BY e.plan_no, e.seq",
                    first.plan_no,
                    last.plan_no,
                    log_id
                );
                self.check_rows(&run.plans, rows.fetch(&mut *reading), basis).await?
            }
            // The statement also reads the predecessor of the first new event, because that event links to it.
            Some(from_seq) => {
                let rows = select_records!(
                    "verify_since",
                    leaf_hash,
                    from
                    "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
                     LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq AND l.plan_no = $1 AND l.seq >= $2
                     WHERE e.plan_no = $1 AND e.seq >= $2 ORDER BY e.plan_no, e.seq",
                    first.plan_no,
                    from_seq.saturating_sub(1),
                    log_id
                );
                self.check_rows(&run.plans, rows.fetch(&mut *reading), basis).await?
            }
        };
        self.ledger.reads().within(reading.commit()).await?;
        verified.through = through;
        Ok(verified)
    }

    /// Checks the rows of some plans. A plan without rows counts as read too.
    async fn check_rows(
        self,
        plans: &[PlanToRead],
        mut rows: impl Stream<Item = Result<RecordRow, sqlx::Error>> + Unpin,
        basis: &Basis,
    ) -> Result<Verified, LedgerError> {
        let mut verified = Verified::default();
        let mut opening = basis.opens.as_ref().map(|keyring| Opening::new(self.ledger, keyring));
        let mut waiting = plans.iter();
        let mut current: Option<(&PlanToRead, ChainCheck<'_>)> = None;
        while let Some(row) = self.ledger.reads().within(rows.try_next()).await? {
            while current.as_ref().is_none_or(|(plan, _)| plan.plan_no != row.plan_no) {
                if let Some((_, check)) = current.take() {
                    verified.add_plan(check.finish(), basis);
                }
                let Some(plan) = waiting.next() else { return Ok(verified) };
                current = Some((plan, self.begin(plan, basis, &mut verified)));
            }
            if let Some((plan, check)) = &mut current {
                basis.read.fetch_add(1, Ordering::Relaxed);
                self.check_row(plan, check, row, basis, &mut opening, &mut verified).await?;
            }
        }
        let rest: Vec<_> = waiting.map(|plan| self.begin(plan, basis, &mut verified)).collect();
        for check in current.into_iter().map(|(_, check)| check).chain(rest) {
            verified.add_plan(check.finish(), basis);
        }
        Ok(verified)
    }

    /// Begins the check of a plan. A malformed row of the plan is a finding at seq 0.
    fn begin<'b>(self, plan: &PlanToRead, basis: &'b Basis, verified: &mut Verified) -> ChainCheck<'b> {
        let (tenant, name) = plan.name();
        let check = ChainCheck::new(&basis.trust, basis.log.as_deref(), None, &tenant, &name);
        verified.findings.extend(plan.fault(self.ledger.deployment().partitions).map(|detail| Finding {
            verdict: Verdict::Format,
            tenant,
            plan: name,
            seq: 0,
            detail: detail.to_owned(),
        }));
        check
    }

    async fn check_row(
        self,
        plan: &PlanToRead,
        check: &mut ChainCheck<'_>,
        row: RecordRow,
        basis: &Basis,
        opening: &mut Option<Opening<'_>>,
        verified: &mut Verified,
    ) -> Result<(), LedgerError> {
        let event_hash = row.event_hash.as_deref().and_then(Hash::from_slice);
        // A finding cannot have a negative seq. The detail has the stored one.
        let seq = row.seq.and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0);
        let log_index = row.valid_index().filter(|index| *index < basis.limit);
        let (record, leaf) = match self.read_row(row) {
            Ok((record, leaf)) => (Record { log_index, ..record }, leaf),
            Err(detail) => {
                verified.add_findings(check.next_malformed(seq, event_hash, log_index, &detail), basis);
                return Ok(());
            }
        };
        if basis.ignores(&record) {
            verified.later += 1;
            return Ok(());
        }
        if plan.from_seq.is_some_and(|from_seq| i64::try_from(seq).is_ok_and(|seq| seq < from_seq)) {
            check.resume_after(&record, leaf);
            return Ok(());
        }
        let unopened = match opening {
            Some(opening) if record.header.payload_mode == PayloadMode::Encrypted => {
                opening.unopened(&record, &basis.trust).await?
            }
            _ => None,
        };
        verified.add_findings(check.next(&record, leaf, unopened.as_ref()), basis);
        Ok(())
    }

    /// Converts a row into a record and the leaf that the table of leaves has for it. The error says what is malformed: a column
    /// of the event, or the row of its leaf. A negative log index counts as no leaf; the leaf is then reported as missing.
    fn read_row(self, row: RecordRow) -> Result<(Record, LeafEvidence<'static>), String> {
        let leaf = match (row.valid_index(), &row.leaf_hash) {
            (None, _) => LeafEvidence::None,
            (Some(_), hash) => {
                let hash = hash.as_deref().and_then(Hash::from_slice);
                LeafEvidence::Row(
                    hash.ok_or("the row of the event's leaf is malformed, or of another log or partition")?,
                )
            }
        };
        // No other check reads this column. Its length is all that can be checked without the request.
        if row.request_mac.as_ref().is_some_and(|mac| mac.len() != 32) {
            return Err("request_mac is not 32 bytes long".to_owned());
        }
        let row = RecordRow { log_index: None, ..row };
        let record = row.into_record(&self.ledger.deployment().origin).map_err(|error| error.to_string())?;
        Ok((record, leaf))
    }
}
