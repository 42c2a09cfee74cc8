//! Each error code has a page under docs/errors, and each page has the status and the title of its code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sealbus_core::error::ErrorKind;

#[test]
fn each_code_has_a_page_and_each_page_a_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let pages: BTreeSet<String> = fs::read_dir(&folder)
        .expect("docs/errors is a folder")
        .map(|entry| entry.expect("a readable entry").file_name().into_string().expect("a name in UTF-8"))
        .filter(|name| name != "README.md")
        .collect();
    let codes: BTreeSet<String> = ErrorKind::ALL.iter().map(|kind| format!("{}.md", kind.code())).collect();
    assert_eq!(pages, codes);
    for kind in ErrorKind::ALL {
        let page = fs::read_to_string(folder.join(format!("{}.md", kind.code()))).expect("a readable page");
        let beginning = format!("# {} ({})\n\n{}.\n", kind.code(), kind.status(), kind.title());
        assert!(page.starts_with(&beginning), "the page of {kind} must begin with {beginning:?}");
        for part in ["\n**Meaning.** ", "\n**Cause.** ", "\n**What to do.** "] {
            assert!(page.contains(part), "the page of {kind} has no part {part:?}");
        }
    }
}

/// A code that nothing answers with would make clients handle what never happens.
#[test]
fn each_code_is_used_outside_its_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut code = String::new();
    // The crates that answer calls, without others whose errors have kinds of the same names.
    for folder in ["libs/core", "libs/ledger", "services/publisher", "services/witness"] {
        gather(&root.join(folder).join("src"), &mut code);
    }
    let json = fs::read_to_string(root.join("libs/core/src/canonical/refused.rs")).expect("a readable file");
    for kind in ErrorKind::ALL {
        // The strict reader imports its kinds.
        let is_used = names(&code, &format!("ErrorKind::{kind:?}")) || json.contains(&format!("({kind:?},"));
        assert!(is_used, "nothing answers with {kind}");
    }
}

/// Returns whether the code has this path, neither as part of a longer name nor as part of a longer path, such as `io::ErrorKind`.
fn names(code: &str, path: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    code.match_indices(path)
        .any(|(start, _)| !code[..start].ends_with(is_part) && !code[start + path.len()..].starts_with(is_part))
}

/// Appends all sources in a folder, without tests.
fn gather(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            gather(&path, code);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !path.ends_with("core/src/error.rs")
            && !path.ends_with("tests.rs")
        {
            code.push_str(&fs::read_to_string(&path).expect("a readable file"));
        }
    }
}
