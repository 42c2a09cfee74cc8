//! Whether the sources of `sealbus-core` stay pure: no files, no network, no clock, no environment.
//!
//! Dependencies on crates that do I/O are refused by [`dependencies`](crate::dependencies); this check looks at the standard library.

/// Parts of the standard library that `sealbus-core` does without, as they appear in its code.
const IMPURE: &[&str] =
    &["std::fs", "std::net", "std::env", "std::process", "std::thread", "File::", "Instant", "SystemTime"];

/// Returns a sentence for each line of `files`, which are a crate's sources by their path under `src`, that uses an impure
/// part of the standard library. Comments and code for tests are not looked at.
pub(crate) fn impure(files: &[(String, String)]) -> Vec<String> {
    let for_tests: Vec<String> = files.iter().flat_map(|(_, text)| test_modules(text)).collect();
    let is_for_tests = |file: &str| for_tests.iter().any(|name| file.ends_with(&format!("/{name}.rs")));
    let code = files.iter().filter(|(file, _)| !is_for_tests(file));
    code.flat_map(|(file, text)| faults(file, text)).collect()
}

fn faults(file: &str, text: &str) -> Vec<String> {
    let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    let code = code.map(|line| line.split("//").next().unwrap_or_default());
    let mut faults = Vec::new();
    for (index, line) in code.enumerate() {
        for part in IMPURE.iter().filter(|part| uses(line, part)) {
            faults.push(format!("sealbus-core/src/{file}:{}: {part}; core does no I/O and reads no clock", index + 1));
        }
    }
    faults
}

/// Whether `line` has `part` as a word.
fn uses(line: &str, part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    line.match_indices(part).any(|(start, _)| {
        let end = start + part.len();
        let before = start.checked_sub(1).is_some_and(|before| is_word(line.as_bytes()[before]));
        let after = !part.ends_with(':') && line.as_bytes().get(end).is_some_and(|after| is_word(*after));
        !before && !after
    })
}

/// The names of modules that are declared for tests and have a file.
fn test_modules(text: &str) -> impl Iterator<Item = String> {
    let declared = text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| rest.split_once(';'));
    declared.map(|(name, _)| name.to_owned()).filter(|name| !name.contains(' '))
}

#[cfg(test)]
mod tests {
    use super::impure;

    fn of(file: &str, text: &str) -> Vec<String> {
        impure(&[(file.to_owned(), text.to_owned())])
    }

    #[test]
    fn files_network_and_clock_are_refused_with_their_line() {
        for (text, part) in [
            ("use std::fs;\n", "std::fs"),
            ("use std::fs::File;\n", "std::fs"),
            ("let stream = std::net::TcpStream::connect(address);\n", "std::net"),
            ("use std::time::{Duration, Instant};\n", "Instant"),
            ("let now = std::time::SystemTime::now();\n", "SystemTime"),
            ("let home = std::env::var(\"HOME\");\n", "std::env"),
        ] {
            let said = of("seal/file.rs", &format!("//! Keys.\n{text}"));
            let expected = format!("sealbus-core/src/seal/file.rs:2: {part}; core does no I/O and reads no clock");
            assert_eq!(said, [expected], "{text}");
        }
    }

    #[test]
    fn comments_tests_and_words_that_only_begin_alike_are_not_refused() {
        for text in [
            "//! Files are read with std::fs elsewhere.\n",
            "let read = 1; // std::fs\n",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
            "#[cfg(test)]\nuse std::fs;\n",
            "struct Instantiated;\nstruct CatalogFile;\nuse std::fstab;\n",
        ] {
            assert!(of("catalog/mod.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_declared_for_tests_is_not_looked_at() {
        let files = [
            ("seal/mod.rs".to_owned(), "mod key;\n#[cfg(test)]\nmod vectors;\n".to_owned()),
            ("seal/vectors.rs".to_owned(), "use std::fs;\n".to_owned()),
        ];
        assert!(impure(&files).is_empty());
    }
}
