//! How fast a publisher appends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealbus_runtime::settings::{Settings, table};

use super::floor::Floor;
use super::role::Role;
use crate::failure::Failure;

/// How long to measure, and how to load the publisher.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Seconds of each run
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Runs of each kind, floor and publisher by turns
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    load: Load,
}

/// How to load the publisher.
#[derive(clap::Args)]
pub(super) struct Load {
    /// Calls in flight
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Plans, chosen at random for each call
    #[arg(long, default_value_t = 1_000)]
    plans: u64,
    /// Events of a call
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Bytes of an event's data
    #[arg(long, default_value_t = 1_024)]
    bytes: usize,
}

/// Measures floor and publisher by turns and prints medians and their ratio.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let admin = settings.require(table::ADMIN_DATABASE_URL)?;
    let token = settings.require(table::TOKEN)?;
    let floor = Floor::prepare(sealbus_backing::postgres_bin()?, admin.expose().to_owned()).await?;
    let publisher = Role::start("publisher").await?;
    let time = Duration::from_secs(args.seconds);

    let (mut floors, mut rates) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        floor.reset().await?;
        floors.push(floor.append(args.load.batch, args.load.bytes, time).await?);
        floor.reset().await?;
        rates.push(load(&publisher.url, secrecy::ExposeSecret::expose_secret(&token), &args.load, time).await?);
        println!("round {round}: floor {:.0}/s, sealbus {:.0}/s", floors[round - 1], rates[round - 1]);
    }
    let (floor, rate) = (median(floors), median(rates));
    println!("append: {rate:.0} events/s, {:.2} of the floor ({floor:.0}/s); {}", rate / floor, publisher.cost());
    Ok(())
}

/// Events a second that the publisher acknowledges.
pub(super) async fn load(url: &str, token: &str, args: &Load, time: Duration) -> Result<f64, Failure> {
    let http = reqwest::Client::builder().pool_max_idle_per_host(args.clients).build()?;
    let event =
        format!(r#"{{"type":"bench.event","data":{{"text":"{}"}}}}"#, "x".repeat(args.bytes.saturating_sub(11)));
    let body = Bytes::from(format!("[{}]", vec![event; args.batch].join(",")));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..args.clients {
        let (http, url, token, body, acknowledged) =
            (http.clone(), url.to_owned(), token.to_owned(), body.clone(), acknowledged.clone());
        let (plans, batch) = (args.plans, args.batch as u64);
        clients.spawn(async move {
            // A linear congruence (Knuth's MMIX) is random enough to spread calls over plans.
            let mut state = client as u64;
            while begun.elapsed() < time {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let plan = (state >> 33) % plans;
                let answer = http
                    .post(format!("{url}/v1/plans/bench-{plan}/events"))
                    .bearer_auth(&token)
                    .header("content-type", "application/json")
                    .body(body.clone())
                    .send()
                    .await?;
                let status = answer.status();
                let text = answer.bytes().await?;
                if status.as_u16() != 201 {
                    return Err(Failure::new(format!(
                        "the publisher answered {status}: {}",
                        String::from_utf8_lossy(&text)
                    )));
                }
                acknowledged.fetch_add(batch, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(acknowledged.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
