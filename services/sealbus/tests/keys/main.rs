//! Keys are created, rotated under load, retired and revoked by real processes. No published event is lost or becomes invalid.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ending;
mod keyring;
mod rotation;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;

use sealbus_runtime::files::load_keyring;
use serde_json::Value;

use crate::support::{Bus, Role};

fn keyring_file(bus: &Bus) -> PathBuf {
    bus.folder.path().join("keyring.json")
}

/// Returns the id of the active signing key.
fn active(bus: &Bus) -> String {
    load_keyring(&keyring_file(bus)).unwrap().signer().unwrap().kid().to_string()
}

/// Runs `keys new`, and returns the id of the key.
async fn new_key(bus: &Bus, kind: &str) -> String {
    let output = bus.command(&["keys", "new", "--kind", kind]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// Runs a command, and expects its exit code and a text in its output.
async fn expect(bus: &Bus, arguments: &[&str], status: i32, message: &str) -> String {
    let (ended, printed) = bus.run(arguments).await;
    assert_eq!(ended, status, "{arguments:?}: {printed}");
    assert!(printed.contains(message), "{arguments:?}: {printed}");
    printed
}

/// Returns the row of `keys list` for a key.
async fn listed(bus: &Bus, kid: &str) -> Value {
    let output = bus.command(&["keys", "list", "-o", "json"]).output().await.unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    rows.into_iter().find(|row| row["id"] == *kid).unwrap()
}

/// Kills and starts all processes of a role.
async fn restart(bus: &Bus, roles: &mut [Role], name: &str) {
    for role in roles.iter_mut().filter(|role| role.name == name) {
        role.kill().await;
        role.start(bus).await;
    }
}
