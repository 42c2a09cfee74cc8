//! Checks of the workspace that rustc, rustfmt and clippy do not make:
//!
//! - [`dependencies`]: crates depend on each other in one direction, and each driver is used in its crate only;
//! - [`logging`]: errors are logged with their causes;
//! - [`modules`]: modules and folders of a crate do not depend on each other in a cycle;
//! - [`purity`]: `sealbus-core` uses no part of the standard library that does I/O or reads a clock;
//! - [`imports`]: imports have one style;
//! - [`size`]: files, folders and types stay below their limits;
//! - [`links`]: links, anchors and paths in documents and comments lead somewhere;
//! - [`words`]: words that the project has retired are not used.
//!
//! Each fault is printed as one line, and the exit status is 1 if there is any.

mod dependencies;
mod imports;
mod links;
mod logging;
mod modules;
mod purity;
mod size;
mod words;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::dependencies::{Dependency, refusal};
use crate::links::Texts;
use crate::modules::Modules;

/// The longest chain of dependencies between the modules of a crate, where a limit is set.
const LEVELS: &[(&str, usize)] = &[("sealbus-consumer", 6)];
/// Files whose words are data: golden vectors and their generator, descriptions of queries, and this program.
const SKIPPED: &[&str] = &[".sqlx/", "libs/core/tests/golden/", "deploy/verify/seal_cases.py", "deploy/lint/src/"];
/// The endings of text files that are checked. Files without an ending are scripts and the Makefile.
const ENDINGS: &[&str] = &["rs", "md", "sql", "yaml", "toml", "py", "pgbench"];

fn main() -> ExitCode {
    match check() {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in &faults {
                eprintln!("{fault}");
            }
            eprintln!("{} faults in the workspace", faults.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cannot read the workspace: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns one line for each fault of the workspace.
fn check() -> Result<Vec<String>, Box<dyn Error>> {
    let metadata = metadata()?;
    let root = PathBuf::from(text(&metadata, "workspace_root"));
    let texts = read_texts(&root)?;
    let mut faults = Vec::new();
    for package in list(&metadata, "packages") {
        let name = text(&package, "name");
        faults.extend(direct_dependencies(&name, &package).iter().filter_map(refusal));
        let source = Path::new(package["manifest_path"].as_str().unwrap_or_default()).with_file_name("src");
        let sources = sources(&texts, source.strip_prefix(&root)?);
        if name == "sealbus-core" {
            faults.extend(purity::impure(&sources));
        }
        let modules = Modules::read(&sources);
        faults.extend(modules.cycles().iter().map(|cycle| format!("{name}: modules depend on each other: {cycle}")));
        if let Some((_, limit)) = LEVELS.iter().find(|(limited, _)| *limited == name)
            && modules.levels() > *limit
        {
            faults.push(format!("{name}: modules lie on {} levels, more than {limit}", modules.levels()));
        }
    }
    faults.extend(imports::misplaced(&texts));
    let prose = texts.iter().filter(|(file, _)| !is_skipped(file)).map(own).collect();
    faults.extend(logging::without_causes(&prose));
    faults.extend(size::over_limit(&texts));
    faults.extend(words::retired(&prose));
    faults.extend(Texts(texts).dead_links());
    Ok(faults)
}

fn metadata() -> Result<Value, Box<dyn Error>> {
    let output =
        Command::new(env!("CARGO")).args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn own((file, text): (&PathBuf, &String)) -> (PathBuf, String) {
    (file.clone(), text.clone())
}

/// Reads every tracked text file, by its path from the root.
fn read_texts(root: &Path) -> Result<BTreeMap<PathBuf, String>, Box<dyn Error>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let mut texts = BTreeMap::new();
    for file in String::from_utf8(output.stdout)?.lines().map(PathBuf::from) {
        let is_text = file.extension().is_none_or(|ending| ENDINGS.iter().any(|known| ending == *known));
        // A file that was deleted, or that is not UTF-8, has no text to check; it exists for links all the same.
        if let Ok(text) = fs::read_to_string(root.join(&file)) {
            texts.insert(file, if is_text { text } else { String::new() });
        }
    }
    Ok(texts)
}

fn is_skipped(file: &Path) -> bool {
    SKIPPED.iter().any(|skipped| file.starts_with(skipped))
}

/// The sources below a folder, each with its path from there.
fn sources(texts: &BTreeMap<PathBuf, String>, folder: &Path) -> Vec<(String, String)> {
    let below = texts.iter().filter_map(|(file, text)| Some((file.strip_prefix(folder).ok()?, text)));
    below
        .filter(|(file, _)| file.extension().is_some_and(|ending| ending == "rs"))
        .map(|(file, text)| (file.to_string_lossy().into_owned(), text.clone()))
        .collect()
}

fn list(value: &Value, member: &str) -> Vec<Value> {
    value[member].as_array().cloned().unwrap_or_default()
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

/// The direct dependencies of a package.
fn direct_dependencies(name: &str, package: &Value) -> Vec<Dependency> {
    let dependencies = list(package, "dependencies").into_iter().map(|dependency| Dependency {
        from: name.to_owned(),
        to: text(&dependency, "name"),
        only_tests: dependency["kind"] == "dev",
    });
    dependencies.collect()
}
