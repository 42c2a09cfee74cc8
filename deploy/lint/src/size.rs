//! Limits of size: lines of a file, files of a folder, public methods of a type.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Lines of a source file, tests included.
const FILE_LINES: usize = 500;
/// Source files in one folder below `src`. A folder with more gives its reason in its `mod.rs`, on a line that begins with
/// [`REASON`].
const FOLDER_FILES: usize = 15;
const REASON: &str = "//! More than 15 files:";
/// Public methods of one type in one crate.
const TYPE_METHODS: usize = 25;

/// Returns a sentence for each file, folder and type over its limit.
pub(crate) fn over_limit(texts: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let sources: Vec<(&Path, &str)> = texts
        .iter()
        .filter(|(file, _)| file.extension().is_some_and(|extension| extension == "rs"))
        .map(|(file, text)| (file.as_path(), text.as_str()))
        .collect();
    let mut faults = Vec::new();
    let mut folders: BTreeMap<&Path, usize> = BTreeMap::new();
    let mut methods: BTreeMap<(PathBuf, &str), usize> = BTreeMap::new();
    for (file, text) in &sources {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            faults.push(format!("{}: {lines} lines, more than {FILE_LINES}", file.display()));
        }
        if file.components().any(|component| component.as_os_str() == "src") {
            *folders.entry(file.parent().unwrap_or(Path::new(""))).or_default() += 1;
            for (name, count) in public_methods(text) {
                *methods.entry((file.components().take(2).collect(), name)).or_default() += count;
            }
        }
    }
    for (folder, files) in folders.into_iter().filter(|(_, files)| *files > FOLDER_FILES) {
        let reason =
            texts.get(&folder.join("mod.rs")).is_some_and(|text| text.lines().any(|line| line.starts_with(REASON)));
        if !reason {
            let folder = folder.display();
            faults.push(format!(
                "{folder}: {files} files, more than {FOLDER_FILES}, and no line \"{REASON} …\" in mod.rs"
            ));
        }
    }
    for ((package, name), count) in methods.into_iter().filter(|(_, count)| *count > TYPE_METHODS) {
        faults.push(format!("{}: {name} has {count} public methods, more than {TYPE_METHODS}", package.display()));
    }
    faults
}

/// The public methods in each inherent `impl` block at the top level of a file.
fn public_methods(text: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut current: Option<(&str, usize)> = None;
    for line in text.lines() {
        if line.starts_with("impl") && !line.contains(" for ") {
            current = type_name(line).map(|name| (name, 0));
        } else if line == "}" {
            found.extend(current.take());
        } else if let Some((_, count)) = &mut current
            && ["    pub fn ", "    pub async fn ", "    pub const fn "].iter().any(|start| line.starts_with(start))
        {
            *count += 1;
        }
    }
    found
}

/// The name of the type in `impl<T> Name<T> {`.
fn type_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = if rest.starts_with('<') { rest.split_once("> ")?.1 } else { rest.trim_start() };
    rest.split(|character: char| !character.is_alphanumeric() && character != '_')
        .next()
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, String)]) -> Vec<String> {
        over_limit(&files.iter().map(|(file, text)| (PathBuf::from(file), text.clone())).collect())
    }

    #[test]
    fn long_files_and_large_types_are_reported() {
        let methods = |count: usize| "    pub fn f(&self) {}\n".repeat(count);
        let large = format!("impl Ledger {{\n{}}}\nimpl Drop for Ledger {{\n}}\n", methods(20));
        let rest = format!("impl<'a> Ledger<'a> {{\n{}}}\n", methods(6));
        let files = [("libs/a/src/lib.rs", large), ("libs/a/src/b.rs", rest), ("libs/a/src/c.rs", "\n".repeat(501))];
        let expected =
            ["libs/a/src/c.rs: 501 lines, more than 500", "libs/a: Ledger has 26 public methods, more than 25"];
        assert_eq!(faults(&files), expected);
    }

    #[test]
    fn a_large_folder_gives_its_reason() {
        let folder = |reason: &str| -> Vec<(String, String)> {
            let files = (0..15).map(|n| (format!("libs/a/src/b/f{n}.rs"), String::new()));
            files.chain([("libs/a/src/b/mod.rs".to_owned(), reason.to_owned())]).collect()
        };
        let count = |reason: &str| {
            let files = folder(reason);
            faults(&files.iter().map(|(file, text)| (file.as_str(), text.clone())).collect::<Vec<_>>()).len()
        };
        assert_eq!((count(""), count("//! Endpoints.\n//!\n//! More than 15 files: one per endpoint.\n")), (1, 0));
    }
}
