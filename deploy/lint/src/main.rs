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
mod texts;
mod words;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::Deserialize;

use crate::dependencies::{Dependency, refusal};
use crate::modules::Modules;
use crate::texts::{Texts, rust_files};

/// The longest chain of dependencies between the modules of `sealbus-consumer`.
const CONSUMER_LEVELS: usize = 6;
/// Files whose words are data: golden vectors and their generator, descriptions of queries, and this program.
const SKIPPED: &[&str] = &[".sqlx/", "libs/core/tests/golden/", "deploy/verify/seal_cases.py", "deploy/lint/src/"];
/// The endings of text files that are checked. Files without an ending are scripts and the Makefile.
const ENDINGS: &[&str] = &["rs", "md", "sql", "yaml", "toml", "py", "pgbench"];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let faults = check()?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{} faults in the workspace", faults.len());
    Ok(ExitCode::FAILURE)
}

/// The output of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

/// Returns one line for each fault of the workspace.
fn check() -> Result<Vec<String>, Box<dyn Error>> {
    let metadata =
        run(env!("CARGO"), &["metadata", "--format-version", "1", "--no-deps", "--offline"], Path::new("."))?;
    let Metadata { packages, workspace_root } = serde_json::from_str(&metadata)?;
    let texts = read_texts(&workspace_root)?;
    let mut faults = Vec::new();
    for Package { name, manifest_path, dependencies } in &packages {
        faults.extend(dependencies.iter().filter_map(|dependency| refusal(name, dependency)));
        let folder = manifest_path.with_file_name("src");
        let folder = folder.strip_prefix(&workspace_root)?;
        let below = |file| Path::new(file).strip_prefix(folder).ok()?.to_str();
        let sources: Vec<(&str, &str)> =
            rust_files(&texts).filter_map(|(file, text)| Some((below(file)?, text))).collect();
        if name == "sealbus-core" {
            faults.extend(purity::impure(&sources));
        }
        let modules = Modules::read(&sources);
        faults.extend(modules.cycles().iter().map(|cycle| format!("{name}: modules depend on each other: {cycle}")));
        if name == "sealbus-consumer" && modules.levels() > CONSUMER_LEVELS {
            faults.push(format!("{name}: modules lie on {} levels, more than {CONSUMER_LEVELS}", modules.levels()));
        }
    }
    faults.extend(imports::misplaced(&texts));
    faults.extend(size::over_limit(&texts));
    faults.extend(links::dead_links(&texts));
    let mut prose = texts;
    prose.retain(|file, _| !SKIPPED.iter().any(|skipped| file.starts_with(skipped)));
    faults.extend(logging::without_causes(&prose));
    faults.extend(words::retired(&prose));
    Ok(faults)
}

/// Reads every tracked text file.
fn read_texts(root: &Path) -> Result<Texts, Box<dyn Error>> {
    let mut texts = Texts::new();
    for file in run("git", &["ls-files", "--cached", "--others", "--exclude-standard"], root)?.lines() {
        let is_text = Path::new(file).extension().is_none_or(|ending| ENDINGS.iter().any(|known| ending == *known));
        // A file that was deleted, or that is not UTF-8, has no text to check; it exists for links all the same.
        if let Ok(text) = fs::read_to_string(root.join(file)) {
            texts.insert(file.to_owned(), if is_text { text } else { String::new() });
        }
    }
    Ok(texts)
}

/// Runs a program in a folder and returns what it prints.
fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program).args(arguments).current_dir(folder).output()?;
    if !output.status.success() {
        return Err(format!("{program} {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
