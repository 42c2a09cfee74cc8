//! Where a page of a plan goes on: opaque to the caller, and good for the list that it was made for only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Tenant, TypePattern};

/// A list of a plan's events: what a cursor belongs to.
#[derive(Debug)]
pub(crate) struct List<'a> {
    /// Whose plan.
    pub tenant: &'a Tenant,
    /// Which plan.
    pub plan: &'a Plan,
    /// The types asked for.
    pub types: &'a [TypePattern],
    /// Newest first.
    pub descending: bool,
}

impl List<'_> {
    /// The cursor behind the event with this seq.
    pub(crate) fn cursor(&self, seq: u64) -> String {
        URL_SAFE_NO_PAD.encode([seq.to_be_bytes(), self.mark()].concat())
    }

    /// The seq that a cursor of this list stands behind.
    ///
    /// # Errors
    /// `invalid_cursor` for anything else.
    pub(crate) fn read(&self, cursor: &str) -> Result<u64, Refused> {
        let refuse = || {
            Refused::new(
                ErrorKind::InvalidCursor,
                "after is the cursor that a page of this list gave as next, as it was",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refuse())?;
        let (seq, mark) = bytes.split_first_chunk::<8>().ok_or_else(refuse)?;
        if mark == self.mark() { Ok(u64::from_be_bytes(*seq)) } else { Err(refuse()) }
    }

    /// What tells this list from others. It guards against mistakes, not against malice: a cursor opens nothing.
    fn mark(&self) -> [u8; 8] {
        let mut types: Vec<_> = self.types.iter().map(TypePattern::as_str).collect();
        types.sort_unstable();
        let order = if self.descending { "desc" } else { "asc" };
        let named = [self.tenant.as_str(), self.plan.as_str(), order, &types.join(",")].join("\n");
        let mut mark = [0; 8];
        mark.copy_from_slice(&Hash::of(named.as_bytes()).as_bytes()[..8]);
        mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let (tenant, other) = (Tenant::parse("acme").unwrap(), Tenant::parse("other").unwrap());
        let (plan, another) = (Plan::parse("p").unwrap(), Plan::parse("q").unwrap());
        let types = [TypePattern::parse("a.*").unwrap(), TypePattern::parse("b").unwrap()];
        let turned = [types[1].clone(), types[0].clone()];
        let list = List { tenant: &tenant, plan: &plan, types: &types, descending: false };
        let cursor = list.cursor(7);
        assert_eq!(list.read(&cursor), Ok(7));
        assert_eq!(List { types: &turned, ..list }.read(&cursor), Ok(7), "the order of types means nothing");
        let list = || List { tenant: &tenant, plan: &plan, types: &types, descending: false };
        for (what, stranger) in [
            ("tenant", List { tenant: &other, ..list() }),
            ("plan", List { plan: &another, ..list() }),
            ("types", List { types: &types[..1], ..list() }),
            ("order", List { descending: true, ..list() }),
        ] {
            assert_eq!(stranger.read(&cursor).map_err(|refused| refused.kind), Err(ErrorKind::InvalidCursor), "{what}");
        }
        for garbage in ["", "7", "x x", "AAAA", &cursor[1..]] {
            assert_eq!(
                list().read(garbage).map_err(|refused| refused.kind),
                Err(ErrorKind::InvalidCursor),
                "{garbage}"
            );
        }
    }
}
