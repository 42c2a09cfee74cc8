//! The table of settings agrees with `docs/configuration.md` and with the code that reads settings.

use std::fs;
use std::path::{Path, PathBuf};

use sealbus_runtime::settings::{TABLE, markdown, table};

/// Returns the root folder of the project.
fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_committed_page_is_the_generated_one() {
    let path = project().join("docs/configuration.md");
    if std::env::var_os("SEALBUS_WRITE_DOCS").is_some() {
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("docs/ can be created");
        fs::write(&path, markdown()).expect("the page can be written");
    }
    let committed = fs::read_to_string(&path).expect("docs/configuration.md exists");
    assert!(
        committed == markdown(),
        "docs/configuration.md differs from the table: run \
         SEALBUS_WRITE_DOCS=1 cargo test -p sealbus-runtime --test configuration"
    );
}

/// A setting that is not read would mislead operators.
#[test]
fn every_setting_is_read_somewhere() {
    let mut code = String::new();
    for folder in ["libs", "services"] {
        gather(&project().join(folder), &mut code);
    }
    // rustfmt may break lines anywhere.
    code.retain(|character| !character.is_whitespace());
    let is_read = |name: &str| {
        let key = name.trim_start_matches("SEALBUS_");
        ["get", "find", "require"].iter().any(|read| code.contains(&format!(".{read}(table::{key})")))
    };
    let unread: Vec<&str> = TABLE.iter().map(|entry| entry.name).filter(|name| !is_read(name)).collect();
    assert_eq!(
        unread,
        [table::CONFIG.name()],
        "no code reads these settings; only SEALBUS_CONFIG may be here, because the settings module itself reads it"
    );
}

/// Appends all sources of the crates in a folder, without their tests.
fn gather(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            gather(&path, code);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            code.push_str(&fs::read_to_string(&path).expect("a readable file"));
        }
    }
}
