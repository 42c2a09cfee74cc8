//! Measures whether sealing keeps up with appending.

use std::time::{Duration, Instant};

use sealbus_ledger::ConnectionSettings;
use sealbus_runtime::settings::{Settings, table};
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use super::append::{Load, load};
use super::role::Role;
use crate::failure::Failure;
use crate::output::{notice, print};
use crate::wiring;

/// How often awaited conditions are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long the queue may take to drain, and the checkpoint to be shown.
const DRAIN_TIMEOUT: Duration = Duration::from_mins(10);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Duration of appending at full speed, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[command(flatten)]
    load: Load,
}

/// Appends while a sealer runs. Prints the rates, the events that wait at the end, and the time until they are sealed and shown.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let token = settings.require(table::TOKEN)?;
    notice(wiring::begin_log(&settings, false).await?);
    let connections = wiring::connections(&settings, ConnectionSettings::command);
    let ledger = wiring::wait_for_ledger(&settings, &connections, &CancellationToken::new()).await?;
    let (publisher, sealer) = (Role::start("publisher").await?, Role::start("sealer").await?);
    let before = ledger.log().size().await?;

    let started = Instant::now();
    let appending = load(&publisher.url, token.expose_secret(), &args.load, Duration::from_secs(args.seconds));
    let rate = appending.await?;
    let appended_in = started.elapsed();
    let (backlog, oldest) = (ledger.log().count_unsealed().await?, ledger.log().oldest_unsealed().await?);
    let leaves = ledger.log().size().await? - before;
    let ended = Instant::now();
    while ledger.log().count_unsealed().await? > 0 {
        if ended.elapsed() > DRAIN_TIMEOUT {
            return Err(Failure::new("the seal queue does not drain; see the sealer's log"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let drained = ended.elapsed().as_secs_f64();
    let size = ledger.log().size().await?;
    let shown = Instant::now();
    while ledger.log().shown_checkpoint().await?.is_none_or(|(shown, _)| shown < size) {
        if shown.elapsed() > DRAIN_TIMEOUT {
            return Err(Failure::new("no shown checkpoint covers all events; see the sealer's log"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    print(format_args!(
        "seal: {rate:.0} events/s appended for {:.0} s, {:.0}/s sealed meanwhile; {backlog} waited at the end, the oldest for \
         {oldest:.1} s; drained in {drained:.1} s ({:.0}/s), shown {:.1} s later; {}; {}",
        appended_in.as_secs_f64(),
        leaves as f64 / appended_in.as_secs_f64(),
        if drained > 0.0 { backlog as f64 / drained } else { 0.0 },
        shown.elapsed().as_secs_f64(),
        publisher.memory_report(),
        sealer.memory_report(),
    ))?;
    Ok(())
}
