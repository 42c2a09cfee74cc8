//! What the metrics of a consumer show of positions.

use crate::LedgerError;
use crate::delivery::positions::{PositionState, Positions};
use crate::pg::Column;

/// The highest number of positions that are counted for each subscription and partition: of those that are due at some time, and
/// of those that wait for an operator.
const MAX_COUNTED: i64 = 1_000;

/// The positions of a subscription that are in one state now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateCount {
    /// The number of the subscription.
    pub subscription_no: i64,
    /// The state; `None` for all those that this release does not know.
    pub state: Option<PositionState>,
    /// The number of positions.
    pub positions: u64,
    /// Seconds since the position moved, or stopped being live, that has done neither for longest, by the database's clock.
    pub oldest_seconds: f64,
}

impl Positions<'_> {
    /// Counts the positions of some (subscription, partition) pairs that are not live, by subscription and state. A state without
    /// positions is left out. It reads at most 2,000 rows of each pair, by their index, and counts no more.
    pub async fn count_by_state(self, assignments: &[(i64, u32)]) -> Result<Vec<StateCount>, LedgerError> {
        let partition = Column::new("positions", "partition");
        let rows = sqlx::query!(
            r#"-- positions_by_state
            SELECT pos.subscription_no AS "subscription_no!", pos.state AS "state!", count(*) AS "positions!",
                max(extract(epoch FROM clock_timestamp() - CASE WHEN isfinite(pos.moved_at) THEN pos.moved_at END))::float8 AS oldest
            FROM unnest($1::bigint[], $2::integer[]) AS held (subscription_no, partition)
            CROSS JOIN LATERAL (
                (
                    SELECT p.subscription_no, p.state, p.moved_at FROM sealbus.positions p
                    WHERE p.subscription_no * 64 + p.partition = held.subscription_no * 64 + held.partition AND p.state <> 'live'
                        AND p.next_at IS NULL LIMIT $3
                ) UNION ALL (
                    SELECT p.subscription_no, p.state, p.moved_at FROM sealbus.positions p
                    WHERE p.subscription_no * 64 + p.partition = held.subscription_no * 64 + held.partition AND p.state <> 'live'
                        AND p.next_at IS NOT NULL ORDER BY p.next_at LIMIT $3
                )
            ) pos
            GROUP BY pos.subscription_no, pos.state"#,
            &assignments.iter().map(|(subscription_no, _)| *subscription_no).collect::<Vec<_>>(),
            &assignments.iter().map(|(_, number)| partition.integer(*number)).collect::<Result<Vec<_>, _>>()?,
            MAX_COUNTED,
        );
        let counts = rows.fetch_all(self.ledger.background()).await?.into_iter().map(|row| {
            Ok(StateCount {
                subscription_no: row.subscription_no,
                state: PositionState::find(&row.state),
                positions: Column::new("positions", "count(*)").read(row.positions)?,
                oldest_seconds: row.oldest.unwrap_or_default().max(0.0),
            })
        });
        counts.collect()
    }
}
