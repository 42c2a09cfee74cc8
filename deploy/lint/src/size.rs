//! Limits of size: lines of a file, files of a folder, public methods of a type.

use std::collections::BTreeMap;

use crate::texts::{Texts, in_name, rust_files};

/// Lines of a source file, tests included.
const FILE_LINES: usize = 500;
/// Source files in one folder below `src`. A folder with more gives its reason in its `mod.rs`, on a line that begins with
/// [`REASON`].
const FOLDER_FILES: usize = 15;
const REASON: &str = "//! More than 15 files:";
/// Public methods of one type in one crate.
const TYPE_METHODS: usize = 25;

/// Returns a sentence for each file, folder and type over its limit.
pub(crate) fn over_limit(texts: &Texts) -> Vec<String> {
    let mut faults = Vec::new();
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    let mut methods: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (file, text) in rust_files(texts) {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            faults.push(format!("{file}: {lines} lines, more than {FILE_LINES}"));
        }
        if let Some((package, _)) = file.split_once("/src/") {
            *folders.entry(file.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default() += 1;
            for name in public_methods(text) {
                *methods.entry((package, name)).or_default() += 1;
            }
        }
    }
    for (folder, files) in folders.into_iter().filter(|(_, files)| *files > FOLDER_FILES) {
        let module = texts.get(&format!("{folder}/mod.rs")).map_or("", String::as_str);
        if !module.lines().any(|line| line.starts_with(REASON)) {
            faults.push(format!(
                "{folder}: {files} files, more than {FOLDER_FILES}, and no line \"{REASON} …\" in mod.rs"
            ));
        }
    }
    for ((package, name), count) in methods.into_iter().filter(|(_, count)| *count > TYPE_METHODS) {
        faults.push(format!("{package}: {name} has {count} public methods, more than {TYPE_METHODS}"));
    }
    faults
}

/// Returns the name of the type for each public method in the inherent `impl` blocks at the top level of a file.
fn public_methods(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut current = None;
    for line in text.lines() {
        if line.starts_with("impl") && !line.contains(" for ") {
            current = type_name(line);
        } else if line == "}" {
            current = None;
        } else if ["    pub fn ", "    pub async fn ", "    pub const fn "].iter().any(|start| line.starts_with(start))
        {
            found.extend(current);
        }
    }
    found
}

/// Returns the name of the type in `impl<T> Name<T> {`.
fn type_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = if rest.starts_with('<') { rest.split_once("> ")?.1 } else { rest.trim_start() };
    rest.split(|character| !in_name(character)).next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, String)]) -> Vec<String> {
        over_limit(&files.iter().map(|(file, text)| ((*file).to_owned(), text.clone())).collect())
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
