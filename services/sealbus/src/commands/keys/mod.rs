//! `sealbus keys`: the keys of a keyring, and the events of plan `_keys` that add and end signing keys.

mod files;
mod key_ledger;
mod list;
mod new;
mod retire;
mod revoke;
mod rotate;

use clap::Subcommand;
use sealbus_core::log::note::{SignatureType, VerifierKey};
use sealbus_core::seal::{HeldKey, KeyId, KeyKind, Keyring, PublicKey};
use sealbus_runtime::settings::{Settings, table};

use crate::failure::Failure;
use crate::output::Output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create a key and add it to the keyring; it is active only if no key for the same use is
    New(new::Args),
    /// List every key of the keyring and of the ledger, and what each is still used for
    List {
        /// Output format
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Make the next key the one that signs: add it to the ledger, wait for the log, then change the keyring
    Rotate(rotate::Args),
    /// End a signing key that another one has replaced, once no process signs with it
    Retire(retire::Args),
    /// End a key that is not to be trusted any more, immediately
    Revoke(revoke::Args),
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    match command {
        Command::New(args) => new::run(&args, &settings),
        Command::List { output } => list::run(output, &settings).await,
        Command::Rotate(args) => rotate::run(args, &settings).await,
        Command::Retire(args) => retire::run(args, &settings).await,
        Command::Revoke(args) => revoke::run(args, &settings).await,
    }
}

/// Parses a key id of the command line.
fn key_id(text: &str) -> Result<KeyId, &'static str> {
    let kid = KeyId::new(text);
    match kid.kind() {
        Some(_) => Ok(kid),
        None => Err("a key id is ed25519-, hmac-, kek-, log-, witness- or v1-, then 16 lower-case hex digits"),
    }
}

fn find_key<'k>(keyring: &'k Keyring, kid: &KeyId) -> Result<HeldKey<'k>, Failure> {
    let found = keyring.keys().find(|key| key.id == kid);
    found.ok_or_else(|| {
        Failure::usage(format!("the keyring does not contain {kid}; `sealbus keys list` prints its keys"))
    })
}

/// Returns whether keys of this kind seal events.
fn seals_events(kind: KeyKind) -> bool {
    matches!(kind, KeyKind::Hmac | KeyKind::Ed25519)
}

/// Returns whether keys of these kinds have the same use, for which at most one key is active.
fn share_a_use(one: KeyKind, other: KeyKind) -> bool {
    one == other || (seals_events(one) && seals_events(other))
}

/// Returns what verifiers pin of a key: a C2SP vkey for a log or witness key whose name is configured, otherwise base64.
fn pinned(kind: KeyKind, public: &PublicKey, settings: &Settings) -> String {
    let (name, signature_type) = match kind {
        KeyKind::Log => (settings.find(table::ORIGIN), SignatureType::Ed25519),
        KeyKind::Witness => (settings.find(table::WITNESS_NAME), SignatureType::Cosignature),
        KeyKind::Ed25519 | KeyKind::Hmac | KeyKind::V1 | KeyKind::Kek => (None, SignatureType::Ed25519),
    };
    let vkey = name.and_then(|name| VerifierKey::new(&name, signature_type, public.clone()).ok());
    vkey.map_or_else(|| public.to_string(), |vkey| vkey.to_string())
}
