//! `sealbus export`: writes a ledger's evidence as a bundle, which `sealbus verify --bundle` and `deploy/verify/verify.py`
//! check without the ledger.

use std::path::PathBuf;

use sealbus_runtime::settings::Settings;
use serde_json::json;

use super::arguments::{AnchorArgs, ScopeArgs};
use crate::evidence::LedgerEvidence;
use crate::evidence::bundle::{self, Exported, Target};
use crate::failure::Failure;
use crate::output::{Output, print};
use crate::wiring;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    anchors: AnchorArgs,
    /// Bundle to create: a tar if PATH ends in `.tar`, otherwise a folder. An existing PATH is refused
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Output format of the summary
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let scope = args.scope.scope(&settings)?;
    let ledger = wiring::open_ledger_to_verify(&settings, 1).await?;
    let evidence = LedgerEvidence::open(ledger, &settings).await?;
    let mut target = Target::create(&args.out)?;
    let Exported { events, covered, size, anchors } =
        bundle::export(&evidence, &scope, args.anchors.allow_missing_anchors, &mut target).await?;
    target.finish()?;
    let out = args.out.display();
    match args.output {
        Output::Json => print(json!({"events": events, "covered": covered, "size": size, "anchors": anchors}))?,
        Output::Table => print(format_args!(
            "{out}: {events} events, {covered} of them covered by the checkpoint of {size} leaves; {anchors} anchored notes"
        ))?,
    }
    Ok(())
}
