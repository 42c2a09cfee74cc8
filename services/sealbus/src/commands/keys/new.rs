//! `sealbus keys new`: creates a key.

use std::path::PathBuf;

use sealbus_core::seal::{KeyKind, Keyring, NewKey, Status};
use sealbus_runtime::settings::{Settings, table};

use super::files::KeyringFiles;
use super::{pinned, seals_events, share_a_use};
use crate::failure::{Context as _, Failure};
use crate::output::{notice, print};
use crate::wiring;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kind of the key, which is its use
    #[arg(long, value_enum)]
    kind: Kind,
    /// Create a keyring file that holds only this key, active [default: add the key to the keyring of SEALBUS_KEYRING]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The kinds of keys on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Signs events; anyone with the public key can check the signatures
    Ed25519,
    /// Seals events with a MAC; only those who have the secret can check it
    Hmac,
    /// Wraps data keys
    Kek,
    /// Signs the log's checkpoints
    Log,
    /// Cosigns other logs' checkpoints
    Witness,
    /// Signs the columns of scheme v1
    V1,
}

impl Kind {
    fn kind(self) -> KeyKind {
        match self {
            Self::Ed25519 => KeyKind::Ed25519,
            Self::Hmac => KeyKind::Hmac,
            Self::Kek => KeyKind::Kek,
            Self::Log => KeyKind::Log,
            Self::Witness => KeyKind::Witness,
            Self::V1 => KeyKind::V1,
        }
    }
}

/// Creates the key from the system's randomness, writes it, and prints its id and what verifiers pin of it on one line.
pub(super) fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let kind = args.kind.kind();
    let random = wiring::random_bytes::<40>()?;
    let key = match &args.out {
        Some(out) => {
            let key = NewKey::new(kind, &random, Status::Active)?;
            wiring::create_private_file(out, &key.keyring())
                .context(format_args!("cannot create the keyring {}", out.display()))?;
            notice(format_args!("{} is the active key of {}", key.id(), out.display()));
            key
        }
        None => add(kind, &random, settings)?,
    };
    match key.public() {
        Some(public) => print(format_args!("{} {}", key.id(), pinned(kind, public, settings)))?,
        None => print(key.id())?,
    }
    Ok(())
}

fn add(kind: KeyKind, random: &[u8; 40], settings: &Settings) -> Result<NewKey, Failure> {
    let path = settings.require(table::KEYRING)?;
    let mut files = KeyringFiles::open(&path)?;
    let status = initial_status(kind, &files.keyring()?)?;
    let key = NewKey::new(kind, random, status)?;
    files.add(&key)?;
    files.save()?;
    let (id, path) = (key.id(), path.display());
    if status == Status::Active {
        notice(format_args!("{id} is the active key of its kind in {path}"));
        return Ok(key);
    }
    notice(format_args!("{id} is in {path} and is not active yet"));
    if kind == KeyKind::Log {
        notice("the log's key is replaced with new policies of its verifiers, not with `sealbus keys rotate`");
    } else if seals_events(kind) {
        notice(format_args!(
            "next: give this keyring to every process and restart them, so that all of them know the key; then run \
             `sealbus keys rotate {id}`"
        ));
    } else {
        notice(format_args!("next: `sealbus keys rotate {id}` makes it the active one"));
    }
    Ok(key)
}

/// Returns the status of a new key: active if no key for the same use is.
fn initial_status(kind: KeyKind, keyring: &Keyring) -> Result<Status, Failure> {
    let active = keyring.keys().find(|key| key.status == Status::Active && share_a_use(key.kind, kind));
    match active {
        None => Ok(Status::Active),
        Some(active) if active.kind == KeyKind::Ed25519 && kind == KeyKind::Hmac => Err(Failure::usage(format!(
            "{} signs with Ed25519, and a plan's suite never falls: an hmac key cannot replace it; create an ed25519 key",
            active.id
        ))),
        Some(_) => Ok(Status::Retired),
    }
}
