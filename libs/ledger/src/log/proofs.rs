//! Proofs from the stored tiles, and the log indexes of events.

use std::collections::BTreeSet;

use sealbus_core::hash::Hash;
use sealbus_core::log::merkle::ProofNodes;
use sealbus_core::log::tile::TileId;

use super::Log;
use crate::LedgerError;
use crate::pg::{Column, bound};

/// The place of an event: its plan and its seq.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventPlace {
    /// The tenant of the plan.
    pub tenant: String,
    /// The plan.
    pub plan: String,
    /// The seq.
    pub seq: u64,
}

impl Log<'_> {
    /// Returns the proof that leaf `index` is in the tree of `size` leaves. Returns `None` if the tree is not stored or does not
    /// have the leaf.
    pub async fn inclusion_proof(self, index: u64, size: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        Ok(self.inclusion_proofs(&[index], size).await?.and_then(|mut proofs| proofs.pop()))
    }

    /// Returns the proofs of some leaves in the tree of `size` leaves, in their order. Returns `None` if the tree is not stored
    /// or lacks one of the leaves. Each tile is read once.
    pub async fn inclusion_proofs(self, indexes: &[u64], size: u64) -> Result<Option<Vec<Vec<Hash>>>, LedgerError> {
        let plans: Option<Vec<_>> = indexes.iter().map(|index| ProofNodes::inclusion(*index, size)).collect();
        let Some(plans) = plans else { return Ok(None) };
        let nodes = plans.iter().flat_map(ProofNodes::nodes);
        let ids: BTreeSet<TileId> = nodes.filter_map(|node| TileId::holding(node, size)).collect();
        let ids: Vec<TileId> = ids.into_iter().collect();
        let tiles = self.read_tiles(&mut *self.ledger.pool().acquire().await?, &ids).await?;
        Ok(plans.iter().map(|plan| plan.prove(|node| tiles.hash(node)).ok()).collect())
    }

    /// Returns the proof that the tree of `size` leaves continues the tree of `old` leaves. Returns `None` if one of
    /// the trees is not stored.
    pub async fn consistency_proof(self, old: u64, size: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        let mut connection = self.ledger.pool().acquire().await?;
        match ProofNodes::consistency(old, size) {
            Some(plan) => self.prove(&mut connection, &plan, size).await,
            None => Ok(None),
        }
    }

    /// Returns the log indexes of some events, in their order. The index is `None` for an event that is not sealed or not
    /// in the ledger.
    pub async fn leaf_indexes(self, places: &[EventPlace]) -> Result<Vec<Option<u64>>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- leaf_indexes
            SELECT w.at AS "at!", l.leaf_index
            FROM unnest($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY AS w (tenant, plan, seq, at)
            JOIN sealbus.plans p ON p.tenant = w.tenant AND p.plan = w.plan
            JOIN sealbus.log_leaves l ON l.plan_no = p.plan_no AND l.seq = w.seq AND l.log_id = $1"#,
            self.ledger.deployment().log_id,
            &places.iter().map(|place| place.tenant.clone()).collect::<Vec<_>>(),
            &places.iter().map(|place| place.plan.clone()).collect::<Vec<_>>(),
            &places.iter().map(|place| bound(place.seq)).collect::<Vec<_>>(),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let mut indexes = vec![None; places.len()];
        for row in rows {
            let at = Column::new("leaf_indexes", "at").index(row.at, places.len())?;
            indexes[at] = Some(Column::new("log_leaves", "leaf_index").read(row.leaf_index)?);
        }
        Ok(indexes)
    }
}
