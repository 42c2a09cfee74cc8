//! `sealbus keys retire`: ends a signing key that another one has replaced.
//!
//! The steps are ordered so that no event of the key falls outside its window:
//!
//! 1. Wait until no process signs with the key.
//! 2. Let the database refuse the key.
//! 3. Wait until everything that the key signed is sealed, except for plans whose sealing has stopped.
//! 4. Append `key.retired`.
//!
//! Running the command again after a crash resumes it.

use std::time::Duration;

use sealbus_core::duration;
use sealbus_core::seal::KeyId;
use sealbus_ledger::keys::{Ending, KeyChain, KeyChange};
use sealbus_runtime::settings::Settings;

use super::key_ledger::{Deadline, KeyLedger};
use super::{find_key, key_id, seals_events};
use crate::commands::arguments::ActorArgs;
use crate::failure::Failure;
use crate::output::notice;
use crate::wiring;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Id of a signing key that another one has replaced
    #[arg(value_parser = key_id)]
    key: KeyId,
    /// Maximum wait for publishers that still sign with the key, and for the log
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    wait: Duration,
    #[command(flatten)]
    actor: ActorArgs,
}

pub(super) async fn run(args: Args, settings: &Settings) -> Result<(), Failure> {
    let kid = args.key;
    let keyring = wiring::keyring(settings)?;
    if !seals_events(find_key(&keyring, &kid)?.kind) {
        return Err(Failure::usage(format!(
            "{kid} does not seal events: a key of its kind is retired only in the keyring, by `sealbus keys rotate`"
        )));
    }
    let keys = KeyLedger { ledger: &wiring::open_ledger(settings).await?, keyring: &keyring, settings };
    if keys.check_active().await? == kid {
        return Err(Failure::usage(format!("{kid} is the active signing key: rotate to another key first")));
    }
    let history = keys.chain().await?.history(&kid);
    if history.added.is_none() {
        return Err(Failure::usage(format!("{kid} was never added to this ledger, so it cannot be retired")));
    }
    if history.revoked.is_some() {
        return Err(Failure::usage(format!("{kid} is already revoked")));
    }
    let deadline = Deadline::after(args.wait);
    if history.retired.is_none() {
        retire(keys, &kid, &args.actor.actor, deadline).await?;
    }
    report_end(keys, &kid, deadline).await
}

async fn retire(keys: KeyLedger<'_>, kid: &KeyId, actor: &str, deadline: Deadline) -> Result<(), Failure> {
    if keys.signers(kid).await? > 0 {
        notice(format_args!("waiting for processes that still sign with {kid}"));
    }
    if !deadline.wait_for(async || Ok(keys.signers(kid).await? == 0)).await? {
        return Err(Failure::new(format!(
            "{} processes still sign with {kid}: give them the keyring in which its successor is active, restart them, and run \
             the same command again",
            keys.signers(kid).await?
        )));
    }
    keys.ledger.keys().end(kid, Ending::Retire).await?;
    let waiting = keys.wait_until_sealed(kid, deadline).await?;
    if waiting > 0 {
        return Err(Failure::new(format!(
            "{waiting} events signed by {kid} are not in the log yet: check that the sealer runs, and its log, and run the same \
             command again; no process can sign with {kid} any more"
        )));
    }
    let retired = |chain: &KeyChain| {
        let is_retired = chain.history(kid).retired.is_some();
        (!is_retired).then(|| KeyChange::Retired(kid, chain.log_size()))
    };
    keys.append(actor, retired).await
}

/// Waits for the leaf of the event that ended the key, and prints the log index up to which the key counts.
pub(super) async fn report_end(keys: KeyLedger<'_>, kid: &KeyId, deadline: Deadline) -> Result<(), Failure> {
    let until = async || Ok::<_, Failure>(keys.chain().await?.window(kid).and_then(|window| window.until));
    deadline.wait_for(async || Ok(until().await?.is_some())).await?;
    match until().await? {
        Some(until) => notice(format_args!("{kid} counts below log index {until}, and not from there on")),
        None => notice(format_args!(
            "{kid} is ended; the log index from which it does not count is known once a sealer has sealed that event"
        )),
    }
    Ok(())
}
