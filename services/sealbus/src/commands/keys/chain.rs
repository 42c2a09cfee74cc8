//! Plan `_keys` with what appends to it, and waiting for the log.

use std::fmt::Display;
use std::time::Duration;

use sealbus_core::seal::{KeyId, Keyring};
use sealbus_ledger::Ledger;
use sealbus_ledger::append::AppendError;
use sealbus_ledger::keys::{KeyChain, KeyChange};
use sealbus_runtime::settings::Settings;
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::wiring;

/// How often the ledger is asked for what is waited for.
const INTERVAL: Duration = Duration::from_millis(200);
/// Operators who change keys at once: so often one of them may come second.
const TRIES: u32 = 5;

/// Refuses a keyring whose active key is not one of this ledger's: what it seals would count for nothing.
pub(super) async fn check_active(ledger: &Ledger, keyring: &Keyring) -> Result<KeyId, Failure> {
    let active = keyring.signer()?.kid().clone();
    ledger.keys().check(&active).await?;
    if ledger.keys().chain(keyring).await?.window(&active).is_none() {
        return Err(not_trusted(&active));
    }
    Ok(active)
}

/// Plan `_keys` names the key, and a verifier would not take it.
pub(super) fn not_trusted(kid: &KeyId) -> Failure {
    Failure::new(format!(
        "by plan _keys {kid} counts nowhere, though the plan names it or the keyring has it active: \
         run `sealbus verify --tenant _system --plan _keys`"
    ))
}

/// Appends the event that `event` makes of the chain as it stands, if it makes one, sealed by the keyring's active key.
pub(super) async fn append<'k>(
    ledger: &Ledger,
    keyring: &Keyring,
    settings: &Settings,
    actor: &str,
    event: impl Fn(&KeyChain) -> Option<KeyChange<'k>>,
) -> Result<(), Failure> {
    wiring::with_appender(ledger, keyring, settings, async |appender| {
        let mut outcome = Ok(());
        for _ in 0..TRIES {
            let chain = ledger.keys().chain(keyring).await?;
            let Some(event) = event(&chain) else { break };
            outcome = ledger.keys().append(appender, &chain, event, actor).await.map(|_| ());
            if !matches!(outcome, Err(AppendError::HeadMismatch { .. })) {
                break;
            }
        }
        Ok::<_, Failure>(outcome?)
    })
    .await
}

/// Waits until all leaves below `size` stand under a checkpoint that an anchor has. Says whether they do in time.
pub(super) async fn anchored(ledger: &Ledger, size: u64, patience: Patience) -> Result<bool, Failure> {
    patience.until(async || Ok(ledger.log().shown_checkpoint().await?.is_some_and(|(shown, _)| shown >= size))).await
}

/// How long a command waits, all in all.
#[derive(Clone, Copy)]
pub(super) struct Patience(Instant);

impl Patience {
    /// So long from now on.
    pub(super) fn new(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// Asks until the answer is yes, or the time is over; once at least. Says which.
    pub(super) async fn until(self, mut met: impl AsyncFnMut() -> Result<bool, Failure>) -> Result<bool, Failure> {
        loop {
            if met().await? {
                return Ok(true);
            }
            if Instant::now() >= self.0 {
                return Ok(false);
            }
            sleep(INTERVAL).await;
        }
    }
}

/// Says on stderr what goes on.
pub(super) fn say(text: impl Display) {
    eprintln!("sealbus: {text}");
}
