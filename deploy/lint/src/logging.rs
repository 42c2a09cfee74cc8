//! Errors in log records. An error is logged with its causes, as `error = %error_chain(&error)`; `%error` would lose them.

use crate::texts::{Texts, before_tests, has_word, rust_files};

/// Returns a sentence for each line of production code that logs an error without its causes.
pub(crate) fn without_causes(texts: &Texts) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, text) in rust_files(texts).filter(|(file, _)| file.contains("/src/")) {
        for (line, code) in before_tests(text) {
            if has_word(code, "%error") || code.contains("error = &error as &dyn") {
                faults.push(format!(
                    "{file}:{line}: an error is logged without its causes; use error = %error_chain(&error)"
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_errors_in_production_code_are_reported() {
        let text = "warn!(%error, \"a\");\nwarn!(error = %error_chain(&error), \"b\");\nwarn!(error = &error as &dyn Error, \"c\");\n#[cfg(test)]\nwarn!(%error);\n";
        let of = |file: &str| without_causes(&Texts::from([(file.to_owned(), text.to_owned())]));
        let faults = of("libs/a/src/lib.rs");
        assert!(faults.len() == 2 && faults[0].contains("lib.rs:1:") && faults[1].contains("lib.rs:3:"), "{faults:?}");
        assert_eq!(of("libs/a/tests/x.rs"), Vec::<String>::new());
    }
}
