//! `sealbus keys revoke`: ends a key that is not to be trusted any more.

use std::time::Duration;

use sealbus_core::duration;
use sealbus_core::seal::{KeyId, KeyKind, Status};
use sealbus_ledger::keys::{Ending, KeyChain, KeyChange};
use sealbus_runtime::settings::{Settings, table};
use serde_json::json;

use super::files::KeyringFiles;
use super::key_ledger::{Deadline, KeyLedger};
use super::retire::report_end;
use super::{find_key, key_id, seals_events};
use crate::commands::arguments::ActorArgs;
use crate::failure::Failure;
use crate::output::{notice, print};
use crate::wiring;

/// Maximum number of characters in a reason.
const MAX_REASON_CHARS: usize = 2_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Id of the key
    #[arg(value_parser = key_id)]
    key: KeyId,
    /// Reason, recorded permanently in the event
    #[arg(long)]
    reason: String,
    /// Log index from which the key is not to be trusted [default: that of the revocation]
    #[arg(long, value_name = "INDEX")]
    until: Option<u64>,
    /// Maximum wait for the log to take what was signed before
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    wait: Duration,
    #[command(flatten)]
    actor: ActorArgs,
}

pub(super) async fn run(args: Args, settings: &Settings) -> Result<(), Failure> {
    if args.reason.is_empty() || args.reason.chars().count() > MAX_REASON_CHARS || args.reason.contains('\0') {
        return Err(Failure::usage("--reason must have 1 to 2,000 characters, without U+0000"));
    }
    let keyring = wiring::keyring(settings)?;
    let key = find_key(&keyring, &args.key)?;
    if key.status == Status::Active {
        let first = if key.kind == KeyKind::Log {
            "replace the log's key (docs/operations/keys.md)"
        } else {
            "create another key with `sealbus keys new` and rotate to it with `sealbus keys rotate`"
        };
        return Err(Failure::usage(format!("{} is active: {first}, then revoke it", key.id)));
    }
    if !seals_events(key.kind) {
        set_revoked(key.id, None, settings)?;
        notice(format_args!(
            "{} is revoked in this keyring; there is no event for a key of its kind: inform everyone who pins it",
            key.id
        ));
        return Ok(());
    }
    let keys = KeyLedger { ledger: &wiring::open_ledger(settings).await?, keyring: &keyring, settings };
    keys.check_active().await?;
    if keys.chain().await?.history(key.id).added.is_none() {
        keys.ledger.keys().end(key.id, Ending::Revoke).await?;
        set_revoked(key.id, None, settings)?;
        notice(format_args!("{} was never added to this ledger, and cannot be added from now on", key.id));
        return Ok(());
    }
    if let Some(until) = args.until {
        check_until(keys, key.id, until).await?;
    }
    revoke_signing_key(keys, &args).await?;
    print_pin(keys, key.id, args.until).await
}

/// Refuses an index so low that a key which the revoked key added would be invalid too.
async fn check_until(keys: KeyLedger<'_>, kid: &KeyId, until: u64) -> Result<(), Failure> {
    let mut files = KeyringFiles::open(&keys.settings.require(table::KEYRING)?)?;
    files.set_until(kid, until);
    let narrowed = files.keyring()?;
    let before = keys.chain().await?;
    let after = KeyLedger { keyring: &narrowed, ..keys }.chain().await?;
    let lost = keys.keyring.keys().filter(|key| key.id != kid).find_map(|key| {
        let window = before.window(key.id)?;
        after.window(key.id).is_none().then_some((key.id, window.from))
    });
    match lost {
        None => Ok(()),
        Some((successor, from)) => Err(Failure::usage(format!(
            "a verifier that pins {kid} until {until} would not trust {successor} either, which {kid} added at log index {from}; \
             the lowest possible value is --until {}",
            from + 1
        ))),
    }
}

async fn revoke_signing_key(keys: KeyLedger<'_>, args: &Args) -> Result<(), Failure> {
    let kid = &args.key;
    let deadline = Deadline::after(args.wait);
    // From here on the database refuses every process that signs with the key.
    keys.ledger.keys().end(kid, Ending::Revoke).await?;
    let waiting = keys.wait_until_sealed(kid, deadline).await?;
    if waiting > 0 {
        notice(format_args!(
            "{waiting} events signed by {kid} are not in the log yet; they become invalid unless the sealer takes them before the \
             revocation"
        ));
    }
    let revoked = |chain: &KeyChain| {
        let is_revoked = chain.history(kid).revoked.is_some();
        (!is_revoked).then(|| KeyChange::Revoked(kid, args.until.unwrap_or(chain.log_size()), &args.reason))
    };
    keys.append(&args.actor.actor, revoked).await?;
    set_revoked(kid, args.until, keys.settings)?;
    let keyring = wiring::keyring(keys.settings)?;
    report_end(KeyLedger { keyring: &keyring, ..keys }, kid, Deadline::after(args.wait)).await
}

/// Sets the key's status in the keyring, and pins `until`.
fn set_revoked(kid: &KeyId, until: Option<u64>, settings: &Settings) -> Result<(), Failure> {
    let mut files = KeyringFiles::open(&settings.require(table::KEYRING)?)?;
    files.set_status(kid, Status::Revoked);
    if let Some(until) = until {
        files.set_until(kid, until);
    }
    files.save()
}

/// Prints what the revocation does not change, and the keyring entry that a verifier pins for that.
async fn print_pin(keys: KeyLedger<'_>, kid: &KeyId, until: Option<u64>) -> Result<(), Failure> {
    let revocation = keys.chain().await?.history(kid).revoked.and_then(|revoked| revoked.index);
    let Some(until) = until.or(revocation) else { return Ok(()) };
    let public = keys.keyring.keys().find(|key| key.id == kid).and_then(|key| key.public);
    notice(
        "in the log the key counts until the leaf of the revocation: otherwise its owner could disown what it signed before",
    );
    notice(
        "a lower index counts only for verifiers that pin it, as this keyring does; other verifiers pin this entry:",
    );
    let mut entry = json!({ "id": kid, "status": "revoked", "until": until });
    if let Some(public) = public {
        entry["public"] = public.to_string().into();
    }
    print(entry)?;
    Ok(())
}
