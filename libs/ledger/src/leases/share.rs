//! The part of the leases of a kind that one member should own. Pure.

use crate::leases::table::LeaseView;

/// Returns how many of `keys` leases `owner` should own. The shares of all members add up to `keys` and differ by at most one.
/// A process that is not a member has no share.
pub(super) fn fair_share(keys: usize, members: &[String], owner: &str) -> usize {
    let Some(rank) = members.iter().position(|member| member == owner) else { return 0 };
    keys / members.len() + usize::from(rank < keys % members.len())
}

/// Returns up to `count` keys without an owner. Each member begins at another place in the list, so that members rarely try to
/// take the same lease.
pub(super) fn free_keys(keys: &[String], view: &LeaseView, owner: &str, count: usize) -> Vec<String> {
    let rank = view.members.iter().position(|member| member == owner).unwrap_or(0);
    let start = keys.len() * rank / view.members.len().max(1);
    let ring = keys.iter().cycle().skip(start).take(keys.len());
    ring.filter(|key| !view.owned.contains(key)).take(count).cloned().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_are_fair_and_add_up(keys in 0_usize..70, members in 1_usize..20) {
            let members: Vec<String> = (0..members).map(|member| format!("relay-{member:02}")).collect();
            let shares: Vec<usize> = members.iter().map(|member| fair_share(keys, &members, member)).collect();
            prop_assert_eq!(shares.iter().sum::<usize>(), keys);
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }

        #[test]
        fn members_that_begin_together_try_different_keys(keys in 1_usize..70, members in 1_usize..20) {
            let keys: Vec<String> = (0..keys).map(|key| key.to_string()).collect();
            let members: Vec<String> = (0..members).map(|member| format!("relay-{member:02}")).collect();
            let view = LeaseView { members: members.clone(), owned: Vec::new() };
            let mut wanted: Vec<String> =
                members.iter().flat_map(|member| free_keys(&keys, &view, member, fair_share(keys.len(), &members, member))).collect();
            wanted.sort();
            wanted.dedup();
            // Because of rounding, two neighbours may try the same key at the border of their shares.
            prop_assert!(wanted.len() + members.len() > keys.len());
        }
    }

    #[test]
    fn a_process_that_is_not_a_member_has_no_share() {
        assert_eq!(fair_share(8, &["relay-1".to_owned()], "relay-2"), 0);
        assert_eq!(fair_share(8, &[], "relay-2"), 0);
    }
}
