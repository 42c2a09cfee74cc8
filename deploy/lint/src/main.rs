//! Checks that the workspace's crates depend on each other in one direction, and that each driver stays in its crate.
//!
//! `cargo metadata` says what is; [`arrows`] says what may be.

mod arrows;

use std::process::{Command, ExitCode};

use arrows::{Dependency, wrong};
use serde_json::Value;

fn main() -> ExitCode {
    match read() {
        Ok(dependencies) => {
            let wrong: Vec<String> = dependencies.iter().filter_map(wrong).collect();
            for arrow in &wrong {
                eprintln!("arrows: {arrow}");
            }
            if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("arrows: cargo metadata could not be read: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Every direct dependency of a crate of the workspace.
fn read() -> Result<Vec<Dependency>, Box<dyn std::error::Error>> {
    let output =
        Command::new(env!("CARGO")).args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let list = |value: &Value, member: &str| value[member].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, member: &str| value[member].as_str().unwrap_or_default().to_owned();
    Ok(list(&metadata, "packages")
        .iter()
        .flat_map(|package| {
            list(package, "dependencies").into_iter().map(|dependency| Dependency {
                from: text(package, "name"),
                to: text(&dependency, "name"),
                only_tests: dependency["kind"] == "dev",
            })
        })
        .collect())
}
