//! Signing keys: the events that add and end them, and the table of the keys that may sign.
//!
//! Only plan `_keys` and the verifier's keyring decide which key counts for which event
//! (`docs/spec/integrity.md#keys-events`). In addition the ledger stores the states of keys that an append needs at once:
//!
//! - `chain`: plan `_keys` as it is now, and the events that are appended to it.
//! - `states`: the table `signing_keys` (`docs/spec/integrity.md#keys-signing`). An append reads it under a shared lock of its
//!   key, and ending a key takes that lock exclusively. So a process that was paused commits nothing under an ended key.
//!
//! Every appender also has a lease of the kind `signing/<kid>`, so that an operator can wait until nobody signs with a key.

mod chain;
mod states;

pub use self::chain::{KeyChain, KeyChange, KeyEvent, KeyHistory};
pub(crate) use self::states::allow_first;
pub use self::states::{Ending, KeySealing};
use crate::Ledger;
pub use crate::append::{KeyRefused, KeyState};

/// Access to the signing keys, from [`Ledger::keys`].
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub(crate) ledger: &'a Ledger,
}
