//! `sealbus keys`: keys of a keyring, and the events of plan `_keys` by which signing keys begin and end.
//!
//! | file | what |
//! |---|---|
//! | `new`, `list`, `rotate`, `retire`, `revoke` | one command each |
//! | `files` | the keyring's files while they are changed |
//! | `chain` | plan `_keys` with what appends to it, and waiting for the log |
//! | `pinned` | what others pin of a key |

mod chain;
mod files;
mod list;
mod new;
mod pinned;
mod retire;
mod revoke;
mod rotate;

use std::process::ExitCode;

use clap::Subcommand;
use sealbus_core::seal::{HeldKey, KeyId, KeyKind, Keyring};
use sealbus_runtime::settings::Settings;

use crate::failure::Failure;
use crate::output::Output;

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a key and add it to the keyring, signing only where no key of its use does
    New(new::Args),
    /// List every key of the keyring and of the ledger, and what each is still used for
    List {
        /// How to print
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Make the next key the one that signs: add it to the ledger, wait for the log, then change the keyring
    Rotate(rotate::Args),
    /// End a signing key that another has followed, once nobody signs with it
    Retire(retire::Args),
    /// End a key that is not to be trusted any more, at once
    Revoke(revoke::Args),
}

/// Who does it, as the events of plan `_keys` name them.
#[derive(clap::Args)]
struct Who {
    /// Who you are; otherwise the user of this shell
    #[arg(long)]
    actor: Option<String>,
}

/// Runs it.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    match args.what {
        What::New(args) => new::run(&args, &settings)?,
        What::List { output } => list::run(output, &settings).await?,
        What::Rotate(args) => rotate::run(args, &settings).await?,
        What::Retire(args) => retire::run(args, &settings).await?,
        What::Revoke(args) => revoke::run(args, &settings).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A key id as it is typed.
fn key_id(text: &str) -> Result<KeyId, &'static str> {
    let kid = KeyId::new(text);
    match kid.kind() {
        Some(_) => Ok(kid),
        None => Err("a key id is ed25519-, hmac-, kek-, log-, witness- or v1-, then 16 lower-case hex digits"),
    }
}

/// The key of this id, which the keyring has to hold.
fn held<'k>(keyring: &'k Keyring, kid: &KeyId) -> Result<HeldKey<'k>, Failure> {
    let found = keyring.keys().find(|key| key.id == kid);
    found.ok_or_else(|| {
        Failure::usage(format!("the keyring does not hold {kid}; `sealbus keys list` says what it holds"))
    })
}

/// Whether keys of this kind seal events.
fn seals_events(kind: KeyKind) -> bool {
    matches!(kind, KeyKind::Hmac | KeyKind::Ed25519)
}

/// Whether at most one of two keys of these kinds is active.
fn share_a_use(one: KeyKind, other: KeyKind) -> bool {
    one == other || (seals_events(one) && seals_events(other))
}
