//! Evidence: verifying a ledger or a bundle, and writing bundles. The rules of verification are in `sealbus_core::verify`
//! (docs/spec/integrity.md#verify-first); this module supplies what they check.

pub(crate) mod anchors;
pub(crate) mod bundle;
pub(crate) mod ledger;
pub(crate) mod pins;
mod resume;

use std::fs;
use std::path::PathBuf;

use sealbus_core::event::Record;
use sealbus_core::verify::Trust;
use sealbus_core::verify::bundle::read_receipt;
use sealbus_ledger::Ledger;
use sealbus_runtime::settings::Settings;

use self::anchors::Anchors;
use self::pins::Pins;
use crate::failure::{Context as _, Failure};

/// A ledger, and what it is verified against.
pub(crate) struct LedgerEvidence {
    pub ledger: Ledger,
    /// The pins of the deployment's operator.
    pub pins: Pins,
    pub anchors: Anchors,
}

impl LedgerEvidence {
    /// Reads the pins of the ledger's deployment, and opens its anchors.
    pub(crate) async fn open(ledger: Ledger, settings: &Settings) -> Result<Self, Failure> {
        let pins = Pins::of_deployment(settings, &ledger.deployment().origin)?;
        Ok(Self { ledger, pins, anchors: Anchors::open(settings).await? })
    }
}

/// Reads receipts: records that publishers were given, each of which requires that its event is present. Refuses a receipt
/// that no pinned key sealed: without a seal, anyone could claim that an event is missing.
fn read_receipts(paths: &[PathBuf], trust: &Trust) -> Result<Vec<Record>, Failure> {
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).context(path.display())?;
        read_receipt(&bytes, trust).context(path.display())
    };
    paths.iter().map(read).collect()
}
