//! `sealbus keys new`: makes a key.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sealbus_core::seal::{KeyKind, Keyring, NewKey, Status};
use sealbus_runtime::settings::{Settings, table};
use zeroize::Zeroizing;

use super::files::KeyringFiles;
use super::{pinned, seals_events, share_a_use};
use crate::failure::Failure;

/// What to make, and where it goes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What the key is for
    #[arg(long, value_enum)]
    kind: Kind,
    /// A new keyring file of this key alone, active; otherwise it is added to `SEALBUS_KEYRING`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The kinds of keys, as they are typed.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Signs events: whoever has the public key can check them
    Ed25519,
    /// Seals events with a MAC: only who has the secret can check them
    Hmac,
    /// Wraps data keys
    Kek,
    /// Signs the log's checkpoints
    Log,
    /// Cosigns other logs' checkpoints
    Witness,
    /// Signs the older contract's columns
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

/// Makes it of the system's randomness, writes it, and prints its id and what is pinned of it on one line.
pub(super) fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let kind = args.kind.kind();
    let mut random = Zeroizing::new([0_u8; 40]);
    getrandom::fill(random.as_mut_slice())
        .map_err(|error| Failure::new(format!("the system gave no randomness: {error}")))?;
    let key = match &args.out {
        Some(out) => {
            let key = NewKey::new(kind, &random, Status::Active)?;
            write(out, &key)?;
            eprintln!("sealbus: {} is the active key of {}", key.id(), out.display());
            key
        }
        None => add(kind, &random, settings)?,
    };
    match key.public() {
        Some(public) => println!("{} {}", key.id(), pinned::public(kind, public, settings)),
        None => println!("{}", key.id()),
    }
    Ok(())
}

fn write(path: &Path, key: &NewKey) -> Result<(), Failure> {
    let not_written = |error| Failure::new(format!("the keyring {} cannot be made: {error}", path.display()));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(not_written)?;
    file.write_all(key.keyring().as_bytes()).and_then(|()| file.sync_all()).map_err(not_written)
}

fn add(kind: KeyKind, random: &[u8; 40], settings: &Settings) -> Result<NewKey, Failure> {
    let path = settings.require(table::KEYRING)?;
    let mut files = KeyringFiles::open(&path)?;
    let status = status(kind, &files.keyring()?)?;
    let key = NewKey::new(kind, random, status)?;
    files.add(&key)?;
    files.save()?;
    let (id, path) = (key.id(), path.display());
    if status == Status::Active {
        eprintln!("sealbus: {id} is the active key of its kind in {path}");
        return Ok(key);
    }
    eprintln!("sealbus: {id} is in {path} and does not sign yet");
    if kind == KeyKind::Log {
        eprintln!("sealbus: the log's key changes with a new policy of its verifiers, not by `sealbus keys rotate`");
    } else if seals_events(kind) {
        eprintln!(
            "sealbus: now give this keyring to every process and start each again, so that all of them know the key; then \
             `sealbus keys rotate {id}`"
        );
    } else {
        eprintln!("sealbus: `sealbus keys rotate {id}` makes it the active one");
    }
    Ok(key)
}

/// Active where no key of its use is.
fn status(kind: KeyKind, keyring: &Keyring) -> Result<Status, Failure> {
    let active = keyring.keys().find(|key| key.status == Status::Active && share_a_use(key.kind, kind));
    match active {
        None => Ok(Status::Active),
        Some(active) if active.kind == KeyKind::Ed25519 && kind == KeyKind::Hmac => Err(Failure::usage(format!(
            "{} signs with Ed25519, and a plan's suite never falls: no hmac key can follow it; make an ed25519 key",
            active.id
        ))),
        Some(_) => Ok(Status::Retired),
    }
}
