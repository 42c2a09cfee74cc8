//! `sealbus keys revoke`: ends a key that is not to be trusted any more.

use std::time::Duration;

use sealbus_core::duration;
use sealbus_core::seal::{KeyId, KeyKind, Keyring, Status};
use sealbus_ledger::Ledger;
use sealbus_ledger::keys::{Ending, KeyChain, KeyChange};
use sealbus_runtime::settings::{Settings, table};

use super::chain::{self, Patience, say};
use super::files::KeyringFiles;
use super::retire::until_ended;
use super::{Who, held, key_id, pinned, seals_events};
use crate::commands::names;
use crate::failure::Failure;
use crate::wiring;

/// Which key, and why.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The key
    #[arg(value_parser = key_id)]
    key: KeyId,
    /// Why, in your words: kept for ever
    #[arg(long)]
    reason: String,
    /// The log index from which on it is not to be trusted; otherwise that of the revocation itself
    #[arg(long, value_name = "INDEX")]
    until: Option<u64>,
    /// How long to wait for the log to take what was signed before
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    wait: Duration,
    #[command(flatten)]
    who: Who,
}

/// Revokes the key.
pub(super) async fn run(args: Args, settings: &Settings) -> Result<(), Failure> {
    if args.reason.is_empty() || args.reason.chars().count() > 2_000 || args.reason.contains('\0') {
        return Err(Failure::usage("a reason of 1 to 2,000 characters is needed, without U+0000"));
    }
    let keyring = wiring::keyring(settings)?;
    let held = held(&keyring, &args.key)?;
    if held.status == Status::Active {
        return Err(Failure::usage(format!(
            "{} is active: {}, then revoke it",
            held.id,
            if held.kind == KeyKind::Log {
                "change the log's key first (docs/operations/keys.md)"
            } else {
                "make another with `sealbus keys new`, rotate to it with `sealbus keys rotate`"
            }
        )));
    }
    if !seals_events(held.kind) {
        set(held.id, None, settings)?;
        say(format_args!(
            "{} is revoked in this keyring; no event tells others of a key of its kind: tell them",
            held.id
        ));
        return Ok(());
    }
    let ledger = wiring::open_ledger(settings).await?;
    chain::check_active(&ledger, &keyring).await?;
    let chain = ledger.keys().chain(&keyring).await?;
    if chain.history(held.id).added.is_none() {
        ledger.keys().end(held.id, Ending::Revoke).await?;
        set(held.id, None, settings)?;
        say(format_args!("{} was never added to this ledger, and now never can be", held.id));
        return Ok(());
    }
    if let Some(until) = args.until {
        keep_followers(&ledger, &keyring, held.id, until, settings).await?;
    }
    signing(&ledger, &keyring, held.id, &args, settings).await?;
    explain(&ledger, &keyring, held.id, args.until).await?;
    ledger.close().await;
    Ok(())
}

/// Refuses an index by which the key would take with it a key that it added and that signs now.
async fn keep_followers(
    ledger: &Ledger,
    keyring: &Keyring,
    kid: &KeyId,
    until: u64,
    settings: &Settings,
) -> Result<(), Failure> {
    let mut files = KeyringFiles::open(&settings.require(table::KEYRING)?)?;
    files.set_until(kid, until);
    let narrowed = files.keyring()?;
    let chain = ledger.keys().chain(keyring).await?;
    let after = ledger.keys().chain(&narrowed).await?;
    let lost = keyring.keys().find(|key| chain.window(key.id).is_some() && after.window(key.id).is_none());
    match lost.filter(|lost| lost.id != kid) {
        None => Ok(()),
        Some(lost) => Err(Failure::usage(format!(
            "who pins {kid} until {until} would not trust {} either, which it added at log index {}: the least that can be \
             said is --until {}",
            lost.id,
            chain.window(lost.id).map_or(0, |window| window.from),
            chain.window(lost.id).map_or(0, |window| window.from) + 1,
        ))),
    }
}

async fn signing(
    ledger: &Ledger,
    keyring: &Keyring,
    kid: &KeyId,
    args: &Args,
    settings: &Settings,
) -> Result<(), Failure> {
    let patience = Patience::new(args.wait);
    // At once: whoever signs with it is refused from here on.
    ledger.keys().end(kid, Ending::Revoke).await?;
    let unsealed = async || Ok::<_, Failure>(ledger.keys().unsealed().await?.get(kid).copied().unwrap_or(0));
    if !patience.until(async || Ok(unsealed().await? == 0)).await? {
        say(format_args!(
            "{} events that {kid} signed have no leaf yet and will count for nothing, unless the sealer takes them first",
            unsealed().await?
        ));
    }
    let revoked = |chain: &KeyChain| {
        let ended = chain.history(kid).revoked.is_some();
        (!ended).then(|| KeyChange::Revoked(kid, args.until.unwrap_or(chain.log_size()), &args.reason))
    };
    chain::append(ledger, keyring, settings, &names::actor(args.who.actor.clone()), revoked).await?;
    set(kid, args.until, settings)?;
    let keyring = wiring::keyring(settings)?;
    until_ended(ledger, &keyring, kid, Patience::new(args.wait)).await
}

fn set(kid: &KeyId, until: Option<u64>, settings: &Settings) -> Result<(), Failure> {
    let mut files = KeyringFiles::open(&settings.require(table::KEYRING)?)?;
    files.set_status(kid, Status::Revoked);
    if let Some(until) = until {
        files.set_until(kid, until);
    }
    files.save()
}

/// What the revocation can do and what not, and what a verifier pins for the rest.
async fn explain(ledger: &Ledger, keyring: &Keyring, kid: &KeyId, until: Option<u64>) -> Result<(), Failure> {
    let sealed = ledger.keys().chain(keyring).await?.history(kid).revoked.and_then(|told| told.index);
    let Some(until) = until.or(sealed) else { return Ok(()) };
    let public = keyring.keys().find(|key| key.id == kid).and_then(|key| key.public);
    say(
        "by the log the key counts until the revocation's own leaf: otherwise its holder could disown what it signed before",
    );
    say("an index that reaches back counts where a verifier has pinned it, as this keyring has; others pin this:");
    println!("{}", pinned::revoked(kid, public, until));
    Ok(())
}
