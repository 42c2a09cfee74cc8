#![allow(clippy::unwrap_used, missing_docs)]
mod support;
use sealbus_consumer::Settings;
use sealbus_testkit::eventually;
use std::sync::Arc;
use std::time::Instant;
use support::{Bus, Table, settings, subscription};
#[tokio::test(flavor = "multi_thread")]
async fn speed() {
    let bus = Arc::new(Bus::start().await);
    let mut appending = tokio::task::JoinSet::new();
    for n in 0..1_000 {
        let bus = bus.clone();
        appending.spawn(async move { bus.append(&format!("plan-{n}"), &["a.b"; 20]).await });
    }
    let plans = appending.join_all().await;
    let mut sending = tokio::task::JoinSet::new();
    for part in plans.chunks(10) {
        let (bus, part) = (bus.clone(), part.to_vec());
        sending.spawn(async move {
            for seq in 0..20 {
                for records in &part {
                    bus.send(&records[seq..=seq]).await;
                }
            }
        });
    }
    sending.join_all().await;
    let table = Table::create(&bus, 64).await;
    let began = Instant::now();
    let process = bus
        .consume(
            subscription("audit"),
            table.handler(),
            Settings { sweep_age: std::time::Duration::from_secs(3600), ..Settings::default() },
        )
        .await;
    for _ in 0..60 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let n = bus.count("SELECT count(*) FROM sealbus_sinks.applied").await;
        eprintln!(
            "{:?} {n} dup {} filled {} behind {} fenced {} failed {}",
            began.elapsed(),
            process.counted("duplicates", "audit"),
            process.counted("gaps_filled", "audit"),
            process.counted("behind", "audit"),
            process.counted("fenced", "audit"),
            process.counted("failed", "audit")
        );
        if n >= 20_000 {
            break;
        }
    }
    let took = began.elapsed();
    eprintln!(
        "20000 in {took:?}: {:.0}/s, dup {} filled {} behind {} fenced {}",
        20_000.0 / took.as_secs_f64(),
        process.counted("duplicates", "audit"),
        process.counted("gaps_filled", "audit"),
        process.counted("behind", "audit"),
        process.counted("fenced", "audit")
    );
    process.stop().await;
    // latency
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;
    let mut all = Vec::new();
    for n in 0..300 {
        let records = bus.append(&format!("late-{}", n % 50), &["a.b"]).await;
        let began = Instant::now();
        bus.send(&records).await;
        while table.recorder.tried(&format!("late-{}", n % 50), records[0].header.seq) == 0 {
            tokio::time::sleep(std::time::Duration::from_micros(200)).await;
        }
        all.push(began.elapsed());
    }
    all.sort();
    eprintln!("latency send→handler p50 {:?} p99 {:?}", all[150], all[297]);
    process.stop().await;
}
