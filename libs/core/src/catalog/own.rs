//! The event types that are the bus's own: what is done to keys, deliveries and data subjects is history too.

/// Whether only Sealbus itself writes events of this type: everything under `key` and `delivery`, and `subject.erased`.
pub fn is_own(event_type: &str) -> bool {
    event_type == "subject.erased" || event_type.starts_with("key.") || event_type.starts_with("delivery.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn what_the_bus_writes_is_in_the_catalog_and_reserved() {
        let catalog = Catalog::shipped();
        let mut own: Vec<_> = catalog.types_of_module("sealbus").collect();
        own.sort_unstable();
        let expected = [
            "delivery.fork_settled",
            "delivery.redriven",
            "delivery.skipped",
            "key.added",
            "key.retired",
            "key.revoked",
            "subject.erased",
        ];
        assert_eq!(own, expected);
        assert!(own.into_iter().all(is_own));
    }

    #[test]
    fn names_that_only_look_alike_are_free() {
        for free in ["keyboard.pressed", "delivery", "subject.erased.again", "subject.created"] {
            assert!(!is_own(free), "{free}");
        }
    }
}
