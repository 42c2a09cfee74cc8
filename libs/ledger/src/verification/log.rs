//! The stored tiles for a check of the tree, and the leaves that belong to no event.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use futures::TryStreamExt;
use sealbus_core::log::tile::TileKind;
use sealbus_core::verify::{CheckedLog, Finding, TreeCheck, Verdict};

use super::{Basis, Scope, Verification};
use crate::LedgerError;
use crate::pg::{Column, bound};

/// Leaves whose places are looked up at a time.
const PLACE_PAGE: usize = 1_000;

const INDEX: Column = Column::new("log_leaves", "leaf_index");

/// The event of a leaf according to the table of leaves: tenant, plan and seq.
pub(super) type Place = (String, String, u64);

impl Verification<'_> {
    /// Gives the stored tiles to a check of the tree. Reads a few at a time.
    pub async fn read_tree(self, tree: &mut TreeCheck) -> Result<(), LedgerError> {
        let mut read: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
        let mut level = None;
        while let Some(id) = tree.wanted() {
            let TileKind::Hashes(wanted) = id.kind() else { break };
            while read.front().is_some_and(|(n, _)| *n < id.n()) {
                read.pop_front();
            }
            if level.replace(wanted) != Some(wanted) || read.is_empty() {
                read = self.ledger.log().stored_tiles(wanted, id.n()).await?.into();
            }
            // A stored tile is cut to its width in the tree. A narrower one is taken as it is, and the check finds it.
            let length = 32 * usize::from(id.width());
            let stored = read.front().filter(|(n, _)| *n == id.n()).map(|(_, hashes)| hashes.as_slice());
            tree.take(stored.map(|hashes| hashes.get(..length).unwrap_or(hashes)));
        }
        Ok(())
    }

    /// Returns the leaves that belong to no event, after all plans in scope were checked: their log indexes and their places, if
    /// the table of leaves has a valid one. It is empty if there is no log, or if its tree is wrong.
    pub async fn unclaimed(self, scope: &Scope, basis: &Basis) -> Result<Vec<(u64, Option<Place>)>, LedgerError> {
        let Some(log) = basis.log.as_deref().filter(|log| log.is_tree()) else { return Ok(Vec::new()) };
        let within = basis.since..basis.limit.min(log.size());
        if *scope != Scope::Everything {
            return self.unclaimed_in(scope, log, within).await;
        }
        let indexes: Vec<u64> = log.unclaimed().filter(|index| within.contains(index)).collect();
        let mut unclaimed = Vec::with_capacity(indexes.len());
        for indexes in indexes.chunks(PLACE_PAGE) {
            let mut places = self.places(indexes).await?;
            unclaimed.extend(indexes.iter().map(|index| (*index, places.remove(index))));
        }
        Ok(unclaimed)
    }

    /// Returns findings for the leaves in scope for whose events the ledger has no row, according to the table of leaves alone.
    pub(super) async fn leaves_without_event(self, scope: &Scope) -> Result<Vec<Finding>, LedgerError> {
        let (tenant, plan) = scope.names();
        let rows = sqlx::query!(
            r#"-- leaves_without_event
            SELECT l.leaf_index AS "leaf_index?", p.tenant AS "tenant?", p.plan AS "plan?", l.seq AS "seq?"
            FROM sealbus.plans p JOIN sealbus.log_leaves l ON l.plan_no = p.plan_no
            WHERE ($1::text IS NULL OR p.tenant = $1) AND ($2::text IS NULL OR p.plan = $2)
                AND NOT EXISTS (SELECT FROM sealbus.events e WHERE e.plan_no = l.plan_no AND e.seq = l.seq)"#,
            tenant,
            plan,
        );
        let findings = rows.fetch_all(self.ledger.reads()).await?.into_iter().map(|row| Finding {
            verdict: Verdict::MissingLeaf,
            tenant: row.tenant.unwrap_or_default(),
            plan: row.plan.unwrap_or_default(),
            seq: row.seq.and_then(|seq| u64::try_from(seq).ok()).unwrap_or_default(),
            detail: format!("the event of leaf {} is missing", row.leaf_index.unwrap_or_default()),
        });
        Ok(findings.collect())
    }

    /// Reads the places of some leaves. Leaves without a valid place are left out.
    async fn places(self, indexes: &[u64]) -> Result<BTreeMap<u64, Place>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- leaf_places
            SELECT l.leaf_index, p.tenant AS "tenant?", p.plan AS "plan?", l.seq AS "seq?" FROM sealbus.log_leaves l JOIN sealbus.plans p ON p.plan_no = l.plan_no
            WHERE l.log_id = $1 AND l.leaf_index = ANY ($2)"#,
            self.ledger.deployment().log_id,
            &indexes.iter().map(|index| bound(*index)).collect::<Vec<_>>(),
        );
        let mut places = BTreeMap::new();
        for row in rows.fetch_all(self.ledger.reads()).await? {
            if let Some(place) = place(row.tenant, row.plan, row.seq) {
                places.insert(INDEX.read(row.leaf_index)?, place);
            }
        }
        Ok(places)
    }

    /// Returns the log indexes that the table of leaves lacks, or has for a plan without a row or without a name. Such a leaf may belong to any plan.
    async fn leaves_without_a_row(self, within: &Range<u64>) -> Result<Vec<u64>, LedgerError> {
        let rows = sqlx::query_scalar!(
            r#"-- leaves_without_a_row
            SELECT g.first AS "first!" FROM (
                SELECT generate_series(l.leaf_index + 1, l.next - 1) AS first FROM (
                    SELECT leaf_index, lead(leaf_index, 1, $3::bigint) OVER (ORDER BY leaf_index) AS next FROM (
                        SELECT $2::bigint - 1 AS leaf_index
                        UNION ALL
                        SELECT l.leaf_index FROM sealbus.log_leaves l JOIN sealbus.plans p ON p.plan_no = l.plan_no
                        WHERE l.log_id = $1 AND l.leaf_index >= $2 AND l.leaf_index < $3
                            AND p.tenant IS NOT NULL AND p.plan IS NOT NULL
                    ) leaves
                ) l WHERE l.next > l.leaf_index + 1
            ) g"#,
            self.ledger.deployment().log_id,
            bound(within.start),
            bound(within.end),
        );
        rows.fetch_all(self.ledger.reads()).await?.into_iter().map(|index| INDEX.read(index)).collect()
    }

    /// Returns the leaves of a tenant or a plan that belong to no event, and those that the table of leaves lacks.
    async fn unclaimed_in(
        self,
        scope: &Scope,
        log: &CheckedLog,
        within: Range<u64>,
    ) -> Result<Vec<(u64, Option<Place>)>, LedgerError> {
        let missing = self.leaves_without_a_row(&within).await?;
        let (tenant, plan) = scope.names();
        let mut rows = sqlx::query!(
            r#"-- leaves_in_scope
            SELECT l.leaf_index, p.tenant AS "tenant?", p.plan AS "plan?", l.seq AS "seq?" FROM sealbus.log_leaves l JOIN sealbus.plans p ON p.plan_no = l.plan_no
            WHERE l.log_id = $1 AND p.tenant = $2 AND ($3::text IS NULL OR p.plan = $3) AND l.leaf_index >= $4 AND l.leaf_index < $5"#,
            self.ledger.deployment().log_id,
            tenant,
            plan,
            bound(within.start),
            bound(within.end),
        )
        .fetch(self.ledger.reads());
        let mut unclaimed: Vec<_> = missing.into_iter().map(|index| (index, None)).collect();
        while let Some(row) = rows.try_next().await? {
            let index = INDEX.read(row.leaf_index)?;
            if !log.is_claimed(index) {
                unclaimed.push((index, place(row.tenant, row.plan, row.seq)));
            }
        }
        Ok(unclaimed)
    }
}

/// Returns the place of an event; `None` if the rows of its plan and its leaf do not say where it is.
fn place(tenant: Option<String>, plan: Option<String>, seq: Option<i64>) -> Option<Place> {
    Some((tenant?, plan?, u64::try_from(seq?).ok()?))
}
