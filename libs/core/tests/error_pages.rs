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
