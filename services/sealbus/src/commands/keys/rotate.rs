//! `sealbus keys rotate`: the next key becomes the one that signs.
//!
//! What has been done is read from the ledger and the keyring each time, so that the command can be run again after a crash
//! at any step, and goes on.

use std::time::Duration;

use sealbus_core::duration;
use sealbus_core::seal::{KeyId, KeyKind, Keyring, Status};
use sealbus_ledger::Ledger;
use sealbus_ledger::keys::{KeyChain, KeyChange, KeyState};
use sealbus_runtime::settings::{Settings, table};

use super::chain::{self, Patience, say};
use super::files::KeyringFiles;
use super::{Who, held, key_id, pinned, seals_events, share_a_use};
use crate::commands::names;
use crate::failure::Failure;
use crate::wiring;

/// Which key, and how.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The next key, which `keys new` has added to the keyring
    #[arg(value_parser = key_id)]
    key: KeyId,
    /// How long to wait for the log
    #[arg(long, default_value = "2m", value_parser = duration::parse)]
    wait: Duration,
    #[command(flatten)]
    who: Who,
}

/// Rotates to the key.
pub(super) async fn run(args: Args, settings: &Settings) -> Result<(), Failure> {
    let next = args.key;
    let keyring = KeyringFiles::open(&settings.require(table::KEYRING)?)?.keyring()?;
    let held = held(&keyring, &next)?;
    if held.status == Status::Revoked {
        return Err(Failure::usage(format!("{next} was revoked: make another with `sealbus keys new`")));
    }
    if !held.has_secret {
        return Err(Failure::usage(format!("the keyring lacks the secret of {next}, so nothing can be signed by it")));
    }
    match held.kind {
        KeyKind::Log => Err(Failure::usage(
            "the log's key is pinned by its verifiers, in their policies: it is not rotated by a command. To change it, \
             give all of them the new vkey, and see docs/operations/keys.md",
        )),
        KeyKind::Kek | KeyKind::V1 | KeyKind::Witness => {
            let retired = switch(&next, settings)?;
            say(format_args!("{next} is active in the keyring{retired}"));
            if let (KeyKind::Witness, Some(public)) = (held.kind, held.public) {
                say(format_args!("verifiers pin {}", pinned::public(held.kind, public, settings)));
            }
            say("now give this keyring to the processes that have the old one, and start them again");
            Ok(())
        }
        KeyKind::Hmac | KeyKind::Ed25519 => {
            let ledger = wiring::open_ledger(settings).await?;
            let actor = names::actor(args.who.actor);
            signing(&ledger, &keyring, &next, (&actor, Patience::new(args.wait)), settings).await
        }
    }
}

async fn signing(
    ledger: &Ledger,
    keyring: &Keyring,
    next: &KeyId,
    (actor, patience): (&str, Patience),
    settings: &Settings,
) -> Result<(), Failure> {
    let told = ledger.keys().chain(keyring).await?.history(next);
    let ended = ledger.keys().states().await?.get(next).is_some_and(|standing| *standing != KeyState::Signs);
    if ended || told.retired.is_some() || told.revoked.is_some() {
        return Err(Failure::usage(format!("{next} was ended, and nothing is ever signed by it again: make another")));
    }
    let former = keyring.keys().find(|key| key.status == Status::Active && seals_events(key.kind) && key.id != next);
    if former.is_some_and(|former| former.kind == KeyKind::Ed25519) && next.kind() == Some(KeyKind::Hmac) {
        return Err(Failure::usage(
            "this deployment signs with Ed25519, and a plan's suite never falls: no hmac key can follow",
        ));
    }
    if told.added.is_none() {
        add(ledger, keyring, next, actor, settings).await?;
    }
    say(format_args!("{next} is added to the ledger; waiting for its leaf in the log, and an anchor over it"));
    let from = until_counts(ledger, keyring, next, patience).await?;
    ledger.keys().allow(next).await?;
    let retired = switch(next, settings)?;
    say(format_args!("{next} counts from log index {from} on and is active in the keyring{retired}"));
    say("now give this keyring to every publisher and start them again, one by one: both keys sign meanwhile");
    if let Some(former) = former {
        say(format_args!("when all of them are, run `sealbus keys retire {}`", former.id));
    }
    ledger.close().await;
    Ok(())
}

/// Appends `key.added`, sealed by the key that is active now.
async fn add(
    ledger: &Ledger,
    keyring: &Keyring,
    next: &KeyId,
    actor: &str,
    settings: &Settings,
) -> Result<(), Failure> {
    let active = chain::check_active(ledger, keyring).await?;
    if active == *next {
        return Err(Failure::usage(format!(
            "{next} is active in the keyring and was never added to the ledger: make the former key active again, then rotate"
        )));
    }
    let signer = keyring.signer_of(next)?;
    let added = |chain: &KeyChain| chain.history(next).added.is_none().then_some(KeyChange::Added(&signer));
    chain::append(ledger, keyring, settings, actor, added).await
}

/// Waits until the key's event has a leaf that an anchor covers; gives the index that it counts from.
async fn until_counts(ledger: &Ledger, keyring: &Keyring, next: &KeyId, patience: Patience) -> Result<u64, Failure> {
    let sealed =
        async || Ok(ledger.keys().chain(keyring).await?.history(next).added.is_some_and(|told| told.index.is_some()));
    let late = || {
        Failure::new(format!(
            "no anchor covers the event that adds {next} yet, so nothing was changed in the keyring: see that the sealer \
             runs, then run the same command again"
        ))
    };
    if !patience.until(sealed).await? {
        return Err(late());
    }
    let window = ledger.keys().chain(keyring).await?.window(next).ok_or_else(|| chain::not_trusted(next))?;
    if chain::anchored(ledger, window.from + 1, patience).await? { Ok(window.from) } else { Err(late()) }
}

/// Makes the key the active one of its use in the keyring. Says in a few words which others are retired there by it.
fn switch(next: &KeyId, settings: &Settings) -> Result<String, Failure> {
    let mut files = KeyringFiles::open(&settings.require(table::KEYRING)?)?;
    let keyring = files.keyring()?;
    let kind = held(&keyring, next)?.kind;
    let mut retired = Vec::new();
    files.set_status(next, Status::Active);
    for key in keyring.keys() {
        if key.status == Status::Active && share_a_use(key.kind, kind) && key.id != next {
            files.set_status(key.id, Status::Retired);
            retired.push(key.id.as_str());
        }
    }
    files.save()?;
    Ok(if retired.is_empty() { String::new() } else { format!(", {} retired there", retired.join(", ")) })
}
