mod support;
use std::time::{Duration, Instant};
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Tenant};
use sealbus_ledger::append::{Call, Expect};
use support::{World, draft};

#[tokio::test(flavor = "multi_thread")]
async fn speed() {
    let world = World::start().await;
    let appender = world.appender().await;
    let plans: u64 = 1000;
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for task in 0..20_u64 {
        let appender = appender.clone();
        tasks.push(tokio::spawn(async move {
            for p in (task..plans).step_by(20) {
                let mut events = Vec::new();
                for n in 0..60 {
                    let mut d = draft(n);
                    let payload = format!("{{\"n\":\"{}\"}}", "x".repeat(1000));
                    d.payload_size = payload.len() as u32; d.payload_hash = Hash::of(payload.as_bytes()); d.payload = Some(payload);
                    events.push(d);
                }
                let call = Call { tenant: Tenant::parse("acme").unwrap(), plan: Plan::parse(&format!("p-{p}")).unwrap(), expect: Expect::Any, events };
                appender.append(call).await.unwrap();
            }
        }));
    }
    for t in tasks { t.await.unwrap(); }
    let owed = world.owed().await;
    println!("appended {owed} in {:?}", begun.elapsed());
    let config = sealbus_relay::Config { topology: support::topology(), ..sealbus_relay::Config::new("a") };
    let cpu = cpu_ticks();
    let begun = Instant::now();
    let relay = world.relay_with(config).await;
    while world.owed().await > 0 { tokio::time::sleep(Duration::from_millis(20)).await; }
    let took = begun.elapsed();
    println!("relayed {owed} in {took:?}: {:.0}/s", owed as f64 / took.as_secs_f64());
    println!("cpu {:.1} us/event", (cpu_ticks() - cpu) as f64 * 10_000.0 / owed as f64);
    println!("dups {}", relay.metrics.duplicates.get());
    relay.stop().await;
}

fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let rest: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    rest[11].parse::<u64>().unwrap() + rest[12].parse::<u64>().unwrap()
}
