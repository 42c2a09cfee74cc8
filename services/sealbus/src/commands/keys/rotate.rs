//! `sealbus keys rotate`: makes the next key the one that signs.
//!
//! Each run reads from the ledger and the keyring what has been done. So running the command again after a crash at any step
//! resumes it.

use std::time::Duration;

use sealbus_core::duration;
use sealbus_core::seal::{KeyId, KeyKind, Status};
use sealbus_ledger::keys::{KeyChain, KeyChange, KeyState};
use sealbus_runtime::settings::{Settings, table};

use super::files::KeyringFiles;
use super::key_ledger::{Deadline, KeyLedger, not_trusted};
use super::{find_key, key_id, pinned, seals_events, share_a_use};
use crate::commands::arguments::ActorArgs;
use crate::failure::Failure;
use crate::output::notice;
use crate::wiring;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Id of the next key, which `sealbus keys new` has added to the keyring
    #[arg(value_parser = key_id)]
    key: KeyId,
    /// Maximum wait for the log
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    wait: Duration,
    #[command(flatten)]
    actor: ActorArgs,
}

pub(super) async fn run(args: Args, settings: &Settings) -> Result<(), Failure> {
    let next = args.key;
    let keyring = KeyringFiles::open(&settings.require(table::KEYRING)?)?.keyring()?;
    let key = find_key(&keyring, &next)?;
    if key.status == Status::Revoked {
        return Err(Failure::usage(format!("{next} is revoked: create another key with `sealbus keys new`")));
    }
    if !key.has_secret {
        return Err(Failure::usage(format!("the keyring lacks the secret of {next}, so it cannot sign")));
    }
    match key.kind {
        KeyKind::Log => Err(Failure::usage(
            "the log's key cannot be rotated by a command, because verifiers pin it in their policies. To replace it, give all \
             of them the new vkey (docs/operations/keys.md)",
        )),
        KeyKind::Kek | KeyKind::V1 | KeyKind::Witness => {
            let retired = activate(&next, settings)?;
            notice(format_args!("{next} is active in the keyring{retired}"));
            if let (KeyKind::Witness, Some(public)) = (key.kind, key.public) {
                notice(format_args!("verifiers pin {}", pinned(key.kind, public, settings)));
            }
            notice("next: give this keyring to the processes that use the old one, and restart them");
            Ok(())
        }
        KeyKind::Hmac | KeyKind::Ed25519 => {
            let keys = KeyLedger { ledger: &wiring::open_ledger(settings).await?, keyring: &keyring, settings };
            rotate_signing_key(keys, &next, &args.actor.actor, Deadline::after(args.wait)).await
        }
    }
}

async fn rotate_signing_key(keys: KeyLedger<'_>, next: &KeyId, actor: &str, deadline: Deadline) -> Result<(), Failure> {
    let history = keys.chain().await?.history(next);
    let state = keys.ledger.keys().states().await?.get(next).copied();
    let is_ended = state.is_some_and(|state| state != KeyState::Signs);
    if is_ended || history.retired.is_some() || history.revoked.is_some() {
        return Err(Failure::usage(format!("{next} is ended and cannot sign again: create another key")));
    }
    let mut signing_keys = keys.keyring.keys().filter(|key| key.status == Status::Active && seals_events(key.kind));
    let predecessor = signing_keys.find(|key| key.id != next);
    if predecessor.is_some_and(|key| key.kind == KeyKind::Ed25519) && next.kind() == Some(KeyKind::Hmac) {
        return Err(Failure::usage(
            "this deployment signs with Ed25519, and a plan's suite never falls: an hmac key cannot replace it",
        ));
    }
    if history.added.is_none() {
        add(keys, next, actor).await?;
    }
    notice(format_args!("{next} is added to the ledger; waiting until its event is sealed and anchored"));
    let from = wait_until_trusted(keys, next, deadline).await?;
    keys.ledger.keys().allow(next).await?;
    let retired = activate(next, keys.settings)?;
    notice(format_args!("{next} counts from log index {from} on and is active in the keyring{retired}"));
    notice("next: give this keyring to every publisher, and restart them one by one; meanwhile both keys sign");
    if let Some(predecessor) = predecessor {
        notice(format_args!("after that: run `sealbus keys retire {}`", predecessor.id));
    }
    Ok(())
}

/// Appends `key.added`, sealed by the key that is active now.
async fn add(keys: KeyLedger<'_>, next: &KeyId, actor: &str) -> Result<(), Failure> {
    if keys.check_active().await? == *next {
        return Err(Failure::usage(format!(
            "{next} is active in the keyring but was never added to the ledger: make its predecessor active again, then rotate"
        )));
    }
    let signer = keys.keyring.signer_of(next)?;
    let added = |chain: &KeyChain| chain.history(next).added.is_none().then_some(KeyChange::Added(&signer));
    keys.append(actor, added).await
}

/// Waits until an anchor covers the key's event. Returns the log index from which the key counts.
async fn wait_until_trusted(keys: KeyLedger<'_>, next: &KeyId, deadline: Deadline) -> Result<u64, Failure> {
    let is_sealed = async || Ok(keys.chain().await?.history(next).added.is_some_and(|added| added.index.is_some()));
    let timed_out = || {
        Failure::new(format!(
            "no anchor covers the event that adds {next} yet; the keyring is unchanged: check that the sealer runs, and run the \
             same command again"
        ))
    };
    if !deadline.wait_for(is_sealed).await? {
        return Err(timed_out());
    }
    let window = keys.chain().await?.window(next).ok_or_else(|| not_trusted(next))?;
    let is_anchored =
        async || Ok(keys.ledger.log().shown_checkpoint().await?.is_some_and(|(shown, _)| shown > window.from));
    if deadline.wait_for(is_anchored).await? { Ok(window.from) } else { Err(timed_out()) }
}

/// Makes the key the active one of its use in the keyring. Returns which keys that retired, as the end of a sentence.
fn activate(next: &KeyId, settings: &Settings) -> Result<String, Failure> {
    let mut files = KeyringFiles::open(&settings.require(table::KEYRING)?)?;
    let keyring = files.keyring()?;
    let kind = find_key(&keyring, next)?.kind;
    let mut retired = Vec::new();
    files.set_status(next, Status::Active);
    for key in keyring.keys() {
        if key.status == Status::Active && share_a_use(key.kind, kind) && key.id != next {
            files.set_status(key.id, Status::Retired);
            retired.push(key.id.as_str());
        }
    }
    files.save()?;
    Ok(if retired.is_empty() { String::new() } else { format!(", where {} is retired now", retired.join(", ")) })
}
