//! Whether the sources of `sealbus-core` stay pure: no files, no network, no clock, no environment.
//!
//! Dependencies on crates that do I/O are refused by [`dependencies`](crate::dependencies); this check looks at the standard library.

use crate::modules::production_code;
use crate::texts::{has_word, numbered};

/// Parts of the standard library that `sealbus-core` does without, as they appear in its code.
const IMPURE: &[&str] =
    &["std::fs", "std::net", "std::env", "std::process", "std::thread", "File::", "Instant", "SystemTime"];

/// Returns a sentence for each line of production code that uses an impure part of the standard library. `files` are the
/// crate's sources, as (path below `src`, text).
pub(crate) fn impure(files: &[(&str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, code) in production_code(files) {
        for (line, text) in numbered(&code) {
            for part in IMPURE.iter().filter(|part| has_word(text, part)) {
                faults.push(format!("sealbus-core/src/{file}:{line}: {part}; core does no I/O and reads no clock"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::impure;

    fn of(file: &str, text: &str) -> Vec<String> {
        impure(&[(file, text)])
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
        let files = [("seal/mod.rs", "mod key;\n#[cfg(test)]\nmod vectors;\n"), ("seal/vectors.rs", "use std::fs;\n")];
        assert!(impure(&files).is_empty());
    }
}
