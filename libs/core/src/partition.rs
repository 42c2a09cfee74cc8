//! The key of a plan, from which its advisory lock and its partition follow.

use crate::hash::Hash;
use crate::wire::lp;

/// The key of a plan: the first eight bytes of SHA-256(lp(tenant) ‖ lp(plan)), with the top bit set
/// (docs/spec/protocol.md#append-2).
///
/// The top bit makes the key negative as the i64 of a Postgres advisory lock. All other locks of Sealbus are not negative, so
/// they cannot collide with the lock of a plan. Two plans may have the same key; then they only wait for each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PlanKey(i64);

impl PlanKey {
    /// Returns the key of a tenant's plan.
    pub fn of(tenant: &str, plan: &str) -> Self {
        let mut bytes = Vec::with_capacity(8 + tenant.len() + plan.len());
        lp(&mut bytes, tenant.as_bytes());
        lp(&mut bytes, plan.as_bytes());
        let first = u64::from_be_bytes(Hash::of(&bytes).first());
        Self((first | 1 << 63).cast_signed())
    }

    /// Returns the argument for `pg_advisory_xact_lock`, which is always negative.
    pub fn lock_key(self) -> i64 {
        self.0
    }

    /// Returns the partition of the plan, from 0: the log2(`partitions`) bits below the top bit
    /// (docs/spec/protocol.md#jetstream-partitions).
    ///
    /// # Panics
    /// If `partitions` is not a power of two. The number is checked when a ledger is created and never changes.
    pub fn partition(self, partitions: u32) -> u32 {
        assert!(partitions.is_power_of_two(), "{partitions} partitions are not a power of two");
        let below_top = self.0.cast_unsigned() << 1;
        // One partition has no bits: a shift by all 64 bits leaves 0.
        let partition = below_top.checked_shr(64 - partitions.ilog2()).unwrap_or(0);
        u32::try_from(partition).expect("at most 31 bits are left, since partitions is a power of two in u32")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_key_is_that_of_the_protocol() {
        // printf '\0\0\0\4acme\0\0\0\7order-1' | sha256sum
        let key = PlanKey::of("acme", "order-1");
        let hash = Hash::of(b"\0\0\0\x04acme\0\0\0\x07order-1");
        assert_eq!(key.lock_key().to_be_bytes()[1..], hash.0[1..8]);
        assert_eq!(key.lock_key().to_be_bytes()[0], hash.0[0] | 0x80);
        assert_eq!(key.partition(8), u32::from(hash.0[0] >> 4 & 7));
        assert_eq!(key.partition(64), u32::from(hash.0[0] >> 1 & 63));
        assert_eq!(key.partition(1), 0);
    }

    #[test]
    fn lengths_are_part_of_what_is_hashed() {
        assert_ne!(PlanKey::of("a", "bc"), PlanKey::of("ab", "c"));
    }

    proptest! {
        #[test]
        fn keys_are_negative_and_partitions_nest(tenant in ".{0,20}", plan in ".{0,20}") {
            let key = PlanKey::of(&tenant, &plan);
            prop_assert!(key.lock_key() < 0);
            for log in 0..6 {
                prop_assert!(key.partition(1 << log) < 1 << log);
                prop_assert_eq!(key.partition(2 << log) >> 1, key.partition(1 << log));
            }
        }
    }
}
