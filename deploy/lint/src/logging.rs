//! Errors in log records. An error is logged with its causes, as `error = %error_chain(&error)`; `%error` would lose them.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Returns a sentence for each line of production code that logs an error without its causes.
pub(crate) fn without_causes(texts: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, text) in texts {
        let is_source = file.extension().is_some_and(|extension| extension == "rs")
            && file.components().any(|component| component.as_os_str() == "src");
        let code = text.lines().take_while(|line| *line != "#[cfg(test)]");
        for (index, line) in code.enumerate().filter(|_| is_source) {
            let bare = line.match_indices("%error").any(|(start, word)| {
                let next = line[start + word.len()..].chars().next();
                !next.is_some_and(|character| character.is_alphanumeric() || character == '_')
            });
            if bare || line.contains("error = &error as &dyn") {
                let place = format!("{}:{}", file.display(), index + 1);
                faults
                    .push(format!("{place}: an error is logged without its causes; use error = %error_chain(&error)"));
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
        let of = |file: &str| without_causes(&BTreeMap::from([(PathBuf::from(file), text.to_owned())]));
        let faults = of("libs/a/src/lib.rs");
        assert!(faults.len() == 2 && faults[0].contains("lib.rs:1:") && faults[1].contains("lib.rs:3:"), "{faults:?}");
        assert_eq!(of("libs/a/tests/x.rs"), Vec::<String>::new());
    }
}
