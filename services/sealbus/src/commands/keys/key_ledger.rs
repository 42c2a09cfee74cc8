//! What the ledger holds about keys, and waiting for it to change.

use std::time::Duration;

use sealbus_core::seal::{KeyId, Keyring};
use sealbus_ledger::Ledger;
use sealbus_ledger::append::AppendError;
use sealbus_ledger::keys::{KeyChain, KeyChange, KeySealing};
use sealbus_runtime::settings::Settings;
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::output::notice;
use crate::wiring;

/// How often an awaited condition is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often an append is tried while other operators append to plan `_keys` too.
const MAX_APPEND_ATTEMPTS: u32 = 5;

/// A ledger, with the keyring of the operator who changes its keys.
#[derive(Clone, Copy)]
pub(super) struct KeyLedger<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) keyring: &'a Keyring,
    pub(super) settings: &'a Settings,
}

impl KeyLedger<'_> {
    /// Returns the active signing key. Fails if the ledger does not trust it: verifiers would reject what it seals.
    pub(super) async fn check_active(self) -> Result<KeyId, Failure> {
        let active = self.keyring.signer()?.kid().clone();
        self.ledger.keys().check(&active).await?;
        if self.chain().await?.window(&active).is_none() {
            return Err(not_trusted(&active));
        }
        Ok(active)
    }

    /// Reads plan `_keys`, as a verifier with this keyring does.
    pub(super) async fn chain(self) -> Result<KeyChain, Failure> {
        Ok(self.ledger.keys().chain(self.keyring).await?)
    }

    /// Returns the number of live processes that sign with a key.
    pub(super) async fn signers(self, kid: &KeyId) -> Result<u64, Failure> {
        Ok(self.ledger.keys().signers().await?.get(kid).copied().unwrap_or(0))
    }

    /// Waits until the events of a key have their leaves, except for those of plans whose sealing has stopped, which it names.
    /// Returns how many still wait at the deadline.
    pub(super) async fn wait_until_sealed(self, kid: &KeyId, deadline: Deadline) -> Result<u64, Failure> {
        let sealing = async || Ok::<KeySealing, Failure>(self.ledger.keys().sealing(kid).await?);
        deadline.wait_for(async || Ok(sealing().await?.waiting == 0)).await?;
        let KeySealing { waiting, stopped } = sealing().await?;
        for plan in stopped {
            notice(format_args!(
                "the sealing of plan {} of tenant {} has stopped at seq {}: {}; its events signed by {kid} will not count if they \
                 are sealed later; run `sealbus verify` on the plan",
                plan.plan, plan.tenant, plan.seq, plan.reason
            ));
        }
        Ok(waiting)
    }

    /// Appends the event that `event` returns for plan `_keys` as it is now, sealed by the active key. Does nothing if it
    /// returns `None`: another operator may have appended the same event.
    pub(super) async fn append<'k>(
        self,
        actor: &str,
        event: impl Fn(&KeyChain) -> Option<KeyChange<'k>>,
    ) -> Result<(), Failure> {
        wiring::with_appender(self.ledger, self.keyring, self.settings, async |appender| {
            let mut attempt = 1;
            loop {
                let chain = self.chain().await?;
                let Some(event) = event(&chain) else { return Ok::<_, Failure>(()) };
                match self.ledger.keys().append(appender, &chain, event, actor).await {
                    Ok(_) => return Ok(()),
                    Err(AppendError::HeadMismatch(_)) if attempt < MAX_APPEND_ATTEMPTS => attempt += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        })
        .await
    }
}

/// The failure for a key that plan `_keys` names, or that is active in the keyring, and that no verifier would accept.
pub(super) fn not_trusted(kid: &KeyId) -> Failure {
    Failure::new(format!(
        "plan _keys does not make {kid} count anywhere in the log, although the plan names it or the keyring has it active; \
         run `sealbus verify --tenant _system --plan _keys`"
    ))
}

#[derive(Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// Returns a deadline after `wait` from now.
    pub(super) fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// Polls `condition`, at least once, until it is true. Returns false if it is not true at the deadline.
    pub(super) async fn wait_for(
        self,
        mut condition: impl AsyncFnMut() -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        loop {
            if condition().await? {
                return Ok(true);
            }
            if Instant::now() >= self.0 {
                return Ok(false);
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}
