//! `sealbus keys retire`: ends a signing key that another has followed.
//!
//! First nobody may sign with it any more, then the database lets nobody, then all that it signed is sealed, and only then
//! `key.retired` says so: so that no event of its own falls outside its window. Run again after a crash, it goes on.

use std::time::Duration;

use sealbus_core::duration;
use sealbus_core::seal::{KeyId, Keyring};
use sealbus_ledger::Ledger;
use sealbus_ledger::keys::{Ending, KeyChain, KeyChange};
use sealbus_runtime::settings::Settings;

use super::chain::{self, Patience, say};
use super::{Who, held, key_id, seals_events};
use crate::commands::names;
use crate::failure::Failure;
use crate::wiring;

/// Which key, and how.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The key that another has followed
    #[arg(value_parser = key_id)]
    key: KeyId,
    /// How long to wait for publishers that still sign with it, and for the log
    #[arg(long, default_value = "10m", value_parser = duration::parse)]
    wait: Duration,
    #[command(flatten)]
    who: Who,
}

/// Retires the key.
pub(super) async fn run(args: Args, settings: &Settings) -> Result<(), Failure> {
    let kid = args.key;
    let keyring = wiring::keyring(settings)?;
    if !seals_events(held(&keyring, &kid)?.kind) {
        return Err(Failure::usage(format!(
            "{kid} seals no events: a key of its kind is retired in the keyring alone, by `sealbus keys rotate`"
        )));
    }
    let ledger = wiring::open_ledger(settings).await?;
    if chain::check_active(&ledger, &keyring).await? == kid {
        return Err(Failure::usage(format!("{kid} is the key that signs: rotate to another first")));
    }
    let told = ledger.keys().chain(&keyring).await?.history(&kid);
    if told.added.is_none() {
        return Err(Failure::usage(format!("{kid} was never added to this ledger, so there is nothing to retire")));
    }
    if told.revoked.is_some() {
        return Err(Failure::usage(format!("{kid} was revoked, which says more")));
    }
    let patience = Patience::new(args.wait);
    if told.retired.is_none() {
        retire(&ledger, &keyring, &kid, patience, (&names::actor(args.who.actor), settings)).await?;
    }
    until_ended(&ledger, &keyring, &kid, patience).await?;
    ledger.close().await;
    Ok(())
}

async fn retire(
    ledger: &Ledger,
    keyring: &Keyring,
    kid: &KeyId,
    patience: Patience,
    (actor, settings): (&str, &Settings),
) -> Result<(), Failure> {
    let signers = async || Ok::<_, Failure>(ledger.keys().signers().await?.get(kid).copied().unwrap_or(0));
    if signers().await? > 0 {
        say(format_args!("waiting for those who still sign with {kid}"));
    }
    if !patience.until(async || Ok(signers().await? == 0)).await? {
        return Err(Failure::new(format!(
            "{} processes still sign with {kid}: give them the keyring in which the key that followed is active, start them \
             again, and run the same command again",
            signers().await?
        )));
    }
    ledger.keys().end(kid, Ending::Retire).await?;
    let unsealed = async || Ok::<_, Failure>(ledger.keys().unsealed().await?.get(kid).copied().unwrap_or(0));
    if !patience.until(async || Ok(unsealed().await? == 0)).await? {
        return Err(Failure::new(format!(
            "{} events that {kid} signed have no leaf in the log yet: see that the sealer runs and what it says, then run the \
             same command again; nothing is signed by {kid} any more",
            unsealed().await?
        )));
    }
    let retired = |chain: &KeyChain| {
        let ended = chain.history(kid).retired.is_some();
        (!ended).then(|| KeyChange::Retired(kid, chain.log_size()))
    };
    chain::append(ledger, keyring, settings, actor, retired).await
}

/// Waits for the leaf of the event that ended the key, and says from where on it counts no more.
pub(super) async fn until_ended(
    ledger: &Ledger,
    keyring: &Keyring,
    kid: &KeyId,
    patience: Patience,
) -> Result<(), Failure> {
    let until =
        async || Ok::<_, Failure>(ledger.keys().chain(keyring).await?.window(kid).and_then(|window| window.until));
    let met = patience.until(async || Ok(until().await?.is_some())).await?;
    match until().await? {
        Some(until) if met => say(format_args!("{kid} counts below log index {until}, and no more from there on")),
        _ => say(format_args!("{kid} is ended; from which log index on, the log will say once the sealer runs")),
    }
    Ok(())
}
