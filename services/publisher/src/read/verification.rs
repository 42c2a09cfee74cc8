//! Verification of a plan on request.

use std::sync::Arc;

use sealbus_core::error::ErrorKind;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_ledger::verification::{Scope, Verified};
use tokio::sync::Semaphore;

use crate::http::problem::Problem;

/// The maximum number of verifications at a time. Each reads a whole plan.
const MAX_CONCURRENT: usize = 4;

/// Verifies the chains of plans.
pub(crate) struct Verification {
    ledger: Ledger,
    keyring: Arc<Keyring>,
    permits: Semaphore,
}

impl Verification {
    /// Creates the handle. The keyring checks the seals.
    pub(crate) fn new(ledger: Ledger, keyring: Arc<Keyring>) -> Self {
        Self { ledger, keyring, permits: Semaphore::new(MAX_CONCURRENT) }
    }

    /// Verifies the chain of a plan.
    ///
    /// # Errors
    /// `overloaded` if too many verifications are in flight, `not_found` if the plan has no event, `ledger_unavailable`.
    pub(crate) async fn verify(&self, tenant: Tenant, plan: Plan) -> Result<Verified, Problem> {
        let Ok(_permit) = self.permits.try_acquire() else {
            return Err(Problem::new(ErrorKind::Overloaded, "too many plans are being verified"));
        };
        let verified = self.ledger.verification().verify_chains(&Scope::Plan(tenant, plan), &self.keyring).await?;
        if verified.plans == 0 {
            return Err(Problem::new(ErrorKind::NotFound, "the plan does not exist"));
        }
        Ok(verified)
    }
}
