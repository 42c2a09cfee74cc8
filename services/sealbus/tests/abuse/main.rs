//! One publisher under attack by one token, while a well-behaved tenant publishes 50 events a second beside it.
//!
//! The attack lasts 10 s, or as many seconds as `SEALBUS_ABUSE_SECONDS` says. The test prints the response times of the
//! well-behaved tenant before and during the attack, and the peak of the publisher's memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attacks;
mod neighbour;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sealbus_core::hash::Hash;
use sealbus_testkit::eventually;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::attacks::{ATTACKS, Target};
use crate::neighbour::{NEIGHBOUR, Neighbour};
use crate::support::{Bus, Role};

/// The token of the attacker, and one that is revoked during the attack.
const ATTACKER: &str = "the attacker";
const REVOKED: &str = "the attacker, revoked";
/// The tenant of the attacker.
const TENANT: &str = "evil";
/// The memory that a publisher may take with the default settings, in KiB.
const MAX_MEMORY_KIB: u64 = 256 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn an_attacker_neither_gets_others_refused_nor_fills_the_memory() {
    let seconds = std::env::var("SEALBUS_ABUSE_SECONDS").map_or(10, |text| text.parse().unwrap());
    let time = Duration::from_secs(seconds);
    let mut bus = Bus::start().await;
    let tokens = bus.folder.path().join("abuse-tokens.json");
    write_tokens(&tokens, &[(NEIGHBOUR, "good"), (ATTACKER, TENANT), (REVOKED, TENANT)]);
    bus.set("SEALBUS_TOKENS", &tokens.display().to_string());
    bus.set("SEALBUS_TOKENS_INTERVAL", "100ms");
    let publisher = bus.role("publisher").await;
    let _relay = bus.role("relay").await;
    let _sealer = bus.role("sealer").await;
    let address = publisher.url().trim_start_matches("http://").parse().unwrap();
    let target = Target { address, url: publisher.url() };
    attacks::prepare(&target).await;

    let neighbour = Neighbour::new(&publisher.url());
    let quiet = neighbour.publish(time.min(Duration::from_mins(1)), || {}).await;
    let before = memory(&publisher, "VmHWM");
    let attackers = attackers();
    let mut attacks = JoinSet::new();
    for attack in ATTACKS {
        let _on_its_threads = attackers.enter();
        attack(&target, &mut attacks);
    }
    let revoke = || write_tokens(&tokens, &[(NEIGHBOUR, "good"), (ATTACKER, TENANT)]);
    let attacked = neighbour.publish(time, revoke).await;
    attacks.shutdown().await;
    attackers.shutdown_background();
    let peak = memory(&publisher, "VmHWM");
    println!("quiet: {quiet}; attacked: {attacked}; the peak of memory rose from {before} to {peak} KiB");

    assert_eq!(quiet.statuses, BTreeMap::from([(201, quiet.calls())]));
    // 200 for a repeated call whose first response was lost.
    let is_stored = |status: &u16| [200, 201].contains(status);
    assert!(attacked.statuses.keys().all(is_stored), "a well-behaved tenant was refused: {:?}", attacked.statuses);
    assert!(peak < MAX_MEMORY_KIB, "the publisher took {peak} KiB");
    // The publisher recovers: the attacker's connections and memory are free again.
    eventually("the attacker can publish again", async || attacks::publishes(&target).await).await;
}

/// Returns a runtime for the attacks. Its threads run only while a processor has nothing else to do: attackers have processors of their
/// own, and what they do with them says nothing about the publisher. A low priority is not enough, because each thread that runs keeps
/// its processor for a few milliseconds, whatever its priority.
fn attackers() -> Runtime {
    // A runtime whose threads fail to start would run no attack, for ever.
    assert!(Command::new("chrt").arg("--version").status().expect("chrt of util-linux is on the PATH").success());
    let make_idle = || {
        let thread = std::fs::read_link("/proc/thread-self").unwrap();
        let chrt = Command::new("chrt").args(["--idle", "--pid", "0"]).arg(thread.file_name().unwrap()).status();
        assert!(chrt.unwrap().success());
    };
    Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(make_idle).build().unwrap()
}

fn write_tokens(path: &Path, tokens: &[(&str, &str)]) {
    let tokens = tokens.iter().map(|(token, tenant)| {
        json!({
            "name": token.replace([' ', ','], "-"), "sha256": Hash::of(token.as_bytes()).to_string(), "tenants": [tenant],
            "default_tenant": tenant, "scopes": ["publish", "read", "verify"],
        })
    });
    let text = json!({ "tokens": tokens.collect::<Vec<_>>() }).to_string();
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Returns a value in KiB from the status of a process.
fn memory(role: &Role, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", role.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
