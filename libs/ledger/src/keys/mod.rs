//! Signing keys: the events by which they begin and end, what the database lets sign, and who signs with what.
//!
//! What a key is worth is said by plan `_keys` and the verifier's own keyring alone (INTEGRITY, Keys). Beside them the ledger
//! keeps what an append has to know at once:
//!
//! - `chain`: plan `_keys` as it stands, and the one event that is appended to it at a time.
//! - `states`: table `signing_keys`: which keys may sign. An append looks there under a lock of its key's, and ending a key
//!   takes that lock alone: what slept through it commits nothing.
//! - `signers`: the lease by which every appender says which key it signs with, so that an operator can wait for the last;
//!   and what is not sealed yet of what a key signed.

mod chain;
mod signers;
mod states;

pub use self::chain::{KeyChain, KeyChange, KeyEvent, KeyHistory};
pub(crate) use self::signers::SignerLease;
pub use self::states::{Ending, KeyRefused, KeyState};
pub(crate) use self::states::{allow_first, refused_key};

use crate::Ledger;

/// The signing keys. From [`Ledger::keys`].
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub(crate) ledger: &'a Ledger,
}
