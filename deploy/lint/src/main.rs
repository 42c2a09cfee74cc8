//! Checks that the workspace's crates depend on each other in one direction, that each driver stays in its crate, and
//! that no two modules of a crate name each other.
//!
//! `cargo metadata` says what is; [`arrows`] and [`circles`] say what may be.

mod arrows;
mod circles;
mod purity;

use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::arrows::{Dependency, wrong};
use crate::circles::Modules;

fn main() -> ExitCode {
    match look() {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("arrows: {fault}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("arrows: the workspace could not be read: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that is wrong in the workspace, a sentence each.
fn look() -> Result<Vec<String>, Box<dyn Error>> {
    let output =
        Command::new(env!("CARGO")).args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut faults = Vec::new();
    for package in list(&metadata, "packages") {
        let name = text(&package, "name");
        faults.extend(dependencies(&name, &package).iter().filter_map(wrong));
        let folder = Path::new(package["manifest_path"].as_str().unwrap_or_default()).with_file_name("src");
        let mut sources = Vec::new();
        read(&folder, "", &mut sources)?;
        if name == "sealbus-core" {
            faults.extend(purity::impure(&sources));
        }
        let circles = Modules::read(&sources).circles();
        faults.extend(circles.iter().map(|circle| format!("modules of {name} name each other: {circle}")));
    }
    Ok(faults)
}

fn list(value: &Value, member: &str) -> Vec<Value> {
    value[member].as_array().cloned().unwrap_or_default()
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

/// Every direct dependency of a package.
fn dependencies(name: &str, package: &Value) -> Vec<Dependency> {
    let dependencies = list(package, "dependencies").into_iter().map(|dependency| Dependency {
        from: name.to_owned(),
        to: text(&dependency, "name"),
        only_tests: dependency["kind"] == "dev",
    });
    dependencies.collect()
}

/// Reads the sources of a folder and the folders in it, each with its path from the first.
fn read(folder: &Path, above: &str, sources: &mut Vec<(String, String)>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = format!("{above}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            read(&path, &format!("{name}/"), sources)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            sources.push((name, std::fs::read_to_string(&path)?));
        }
    }
    Ok(())
}
