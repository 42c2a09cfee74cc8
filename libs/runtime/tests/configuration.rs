//! `docs/configuration.md` says what the table says.

use sealbus_runtime::settings::markdown;
use std::path::Path;

#[test]
fn the_committed_page_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("SEALBUS_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("docs/ can be made");
        std::fs::write(&path, markdown()).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("docs/configuration.md is there");
    assert!(
        committed == markdown(),
        "docs/configuration.md is not what the table says: run \
         SEALBUS_WRITE_DOCS=1 cargo test -p sealbus-runtime --test configuration"
    );
}
