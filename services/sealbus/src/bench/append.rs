//! Measures how fast a publisher appends.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sealbus_runtime::settings::{Settings, table};
use secrecy::ExposeSecret as _;

use super::baseline::Baseline;
use super::percentiles::median;
use super::role::Role;
use crate::failure::Failure;
use crate::output::print;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Duration of each run, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Number of runs, of the baseline and of the publisher alternately
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    load: Load,
}

#[derive(clap::Args)]
pub(super) struct Load {
    /// Number of calls in flight
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Number of plans, of which each call uses a random one
    #[arg(long, default_value_t = 1_000)]
    plans: u64,
    /// Number of events in a call
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Size of an event's data, in bytes
    #[arg(long, default_value_t = 1_024)]
    bytes: usize,
}

/// Measures the baseline and the publisher alternately, and prints the medians and their ratio.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let token = settings.require(table::TOKEN)?;
    let baseline = Baseline::prepare(settings.require(table::ADMIN_DATABASE_URL)?).await?;
    let publisher = Role::start("publisher").await?;
    let time = Duration::from_secs(args.seconds);

    let (mut baselines, mut rates) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        baseline.reset().await?;
        let inserted = baseline.events_per_second(args.load.batch, args.load.bytes, time).await?;
        baseline.reset().await?;
        let appended = load(&publisher.url, token.expose_secret(), &args.load, time).await?;
        print(format_args!("round {round}: baseline {inserted:.0}/s, sealbus {appended:.0}/s"))?;
        baselines.push(inserted);
        rates.push(appended);
    }
    let (baseline, rate) = (median(baselines), median(rates));
    print(format_args!(
        "append: {rate:.0} events/s, {:.2} of the baseline ({baseline:.0}/s); {}",
        rate / baseline,
        publisher.memory_report()
    ))?;
    Ok(())
}

/// Measures the events per second that the publisher acknowledges.
pub(super) async fn load(url: &str, token: &str, args: &Load, time: Duration) -> Result<f64, Failure> {
    let http = reqwest::Client::builder().pool_max_idle_per_host(args.clients).build()?;
    let event =
        format!(r#"{{"type":"bench.event","data":{{"text":"{}"}}}}"#, "x".repeat(args.bytes.saturating_sub(11)));
    let body = Bytes::from(format!("[{}]", vec![event; args.batch].join(",")));
    let started = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..args.clients {
        let (http, url, token, body) = (http.clone(), url.to_owned(), token.to_owned(), body.clone());
        let (plans, batch) = (args.plans, args.batch as u64);
        clients.spawn(async move {
            // A linear congruential generator (Knuth's MMIX) is random enough to spread calls over plans.
            let (mut state, mut acknowledged) = (client as u64, 0);
            while started.elapsed() < time {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let plan = (state >> 33) % plans;
                let response = http
                    .post(format!("{url}/v1/plans/bench-{plan}/events"))
                    .bearer_auth(&token)
                    .header("content-type", "application/json")
                    .body(body.clone())
                    .send()
                    .await?;
                let status = response.status();
                let text = response.text().await?;
                if status.as_u16() != 201 {
                    return Err(Failure::new(format!("the publisher answered {status}: {text}")));
                }
                acknowledged += batch;
            }
            Ok(acknowledged)
        });
    }
    let mut acknowledged = 0;
    while let Some(client) = clients.join_next().await {
        acknowledged += client??;
    }
    Ok(acknowledged as f64 / started.elapsed().as_secs_f64())
}
