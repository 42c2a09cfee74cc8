//! Where a plan is worked on: one 64-bit key gives its advisory lock and its partition.

use sha2::{Digest, Sha256};

use crate::wire::lp;

/// A plan's key: the first eight bytes of SHA-256(lp(tenant) ‖ lp(plan)), the top bit set (PROTOCOL, Append, rule 2).
///
/// With the top bit set it is negative as the i64 that Postgres' advisory locks take; every other lock of Sealbus is not,
/// so that a plan's lock meets no other kind. Two plans may share a key: they then wait for each other and nothing worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PlanKey(i64);

impl PlanKey {
    /// The key of the tenant's plan.
    pub fn of(tenant: &str, plan: &str) -> Self {
        let mut bytes = Vec::with_capacity(8 + tenant.len() + plan.len());
        lp(&mut bytes, tenant.as_bytes());
        lp(&mut bytes, plan.as_bytes());
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        let first = hash[..8].iter().fold(0_u64, |key, byte| key << 8 | u64::from(*byte));
        Self((first | 1 << 63).cast_signed())
    }

    /// What `pg_advisory_xact_lock` is given. Always negative.
    pub fn lock_key(self) -> i64 {
        self.0
    }

    /// Which of `partitions` (a power of two up to 64) the plan is in: the log2(partitions) bits below the top bit.
    ///
    /// # Panics
    /// When `partitions` is no power of two: it was fixed, and checked, when the ledger was created.
    pub fn partition(self, partitions: u32) -> u32 {
        assert!(partitions.is_power_of_two(), "partitions are a power of two, not {partitions}");
        let below_top = self.0.cast_unsigned() << 1;
        u32::try_from(below_top.checked_shr(64 - partitions.ilog2()).unwrap_or(0)).expect("under 2^31 partitions")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_key_is_protocols() {
        // printf '\0\0\0\4acme\0\0\0\7order-1' | sha256sum
        let key = PlanKey::of("acme", "order-1");
        let hash = crate::hash::Hash::of(b"\0\0\0\x04acme\0\0\0\x07order-1");
        assert_eq!(key.lock_key().to_be_bytes()[1..], hash.0[1..8]);
        assert_eq!(key.lock_key().to_be_bytes()[0], hash.0[0] | 0x80);
        assert_eq!(key.partition(8), u32::from(hash.0[0] >> 4 & 7));
        assert_eq!(key.partition(64), u32::from(hash.0[0] >> 1 & 63));
        assert_eq!(key.partition(1), 0);
    }

    #[test]
    fn lengths_keep_names_apart() {
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
