//! Keyrings, catalogs and YAML files in files and folders.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sealbus_core::seal::{Keyring, KeyringError};
use sealbus_runtime::files::{
    CatalogFilesError, KeyringFilesError, ReadError, keyring_files, load_catalog, load_keyring, private_file, read_yaml,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("a file is written");
}

/// The Ed25519 key of a development keyring.
fn ed25519(number: u8) -> Value {
    let random = std::array::from_fn(|index| u8::try_from(index).expect("144 bytes") ^ number);
    let keyring = Keyring::generate_dev(&random).expect("a keyring");
    let file: Value = serde_json::from_str(&keyring).expect("JSON");
    file["keys"][0].clone()
}

fn retired(mut key: Value) -> Value {
    key["status"] = json!("retired");
    key
}

#[test]
fn a_folder_is_read_in_order_of_names_without_hidden_files() {
    let folder = folder(&[
        ("b.yml", "b"),
        ("a.yaml", "a"),
        (".#a.yaml", "an editor's lock"),
        ("keys.json", "no"),
        (".hidden.yml", "no"),
    ]);
    fs::create_dir(folder.path().join("..data")).expect("a folder");
    let name = |name: &str| folder.path().join(name).display().to_string();
    let read = read_yaml(folder.path()).expect("a readable folder");
    assert_eq!(read, [(name("a.yaml"), "a".to_owned()), (name("b.yml"), "b".to_owned())]);
    assert_eq!(keyring_files(folder.path()).expect("a readable folder"), [folder.path().join("keys.json")]);
}

/// The mode is 0600 under any umask that leaves the owner's bits, and a file that exists keeps its mode.
#[test]
fn a_private_file_is_created_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("private");
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    private_file().write(true).create(true).truncate(true).open(&path).expect("the file is created");
    assert_eq!(mode(&path), 0o600);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("the mode is set");
    private_file().write(true).create(true).truncate(true).open(&path).expect("the file is opened");
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn a_file_is_read_whatever_its_name() {
    let folder = folder(&[(".hidden.txt", "text")]);
    let path = folder.path().join(".hidden.txt");
    assert_eq!(read_yaml(&path).expect("a readable file"), [(path.display().to_string(), "text".to_owned())]);
}

#[test]
fn a_path_where_nothing_is_is_named() {
    let error: ReadError = read_yaml(Path::new("/nowhere/subscriptions")).expect_err("nothing is there");
    assert_eq!(error.to_string(), "cannot read /nowhere/subscriptions");
}

#[test]
fn a_folder_is_one_keyring() {
    let folder = folder(&[("README", "not a keyring")]);
    let empty = load_keyring(folder.path()).expect_err("no key is there");
    assert!(matches!(empty, KeyringFilesError::NoFile { .. }), "{empty}");

    let keys = |name: &str, keys: &[Value]| write(folder.path(), name, &json!({ "keys": keys }).to_string());
    keys("a.json", &[ed25519(1)]);
    keys("b.json", &[retired(ed25519(2))]);
    keys(".hidden.json", &[ed25519(3)]);
    let keyring = load_keyring(folder.path()).expect("a keyring");
    assert_eq!(keyring.signer().expect("an active key").kid().as_str(), ed25519(1)["id"]);
    assert_eq!(format!("{keyring:?}"), format!("[{}, {}]", ed25519(1)["id"], ed25519(2)["id"]));
    assert!(load_keyring(&folder.path().join("a.json")).is_ok(), "one file of it is a keyring too");

    keys("c.json", &[ed25519(1)]);
    let shared = load_keyring(folder.path()).expect_err("one key is in two files");
    assert!(matches!(shared, KeyringFilesError::Keyring(KeyringError::Shared { .. })), "{shared}");
    let path = folder.path().to_owned();
    drop(folder);
    let gone = load_keyring(&path).expect_err("the folder is gone");
    assert!(matches!(gone, KeyringFilesError::Read(_)), "{gone}");
}

#[test]
fn a_catalog_is_the_built_in_files_and_those_of_the_path() {
    let folder = folder(&[
        ("b.yml", "module: b\npatterns: { b.*: { schema: any } }"),
        ("a.yaml", "module: a\npatterns: { a.*: { schema: any } }"),
        ("notes.txt", "no: ["),
    ]);
    let both = load_catalog(Some(folder.path())).expect("a catalog");
    for event_type in ["a.x", "b.x", "payment.settled"] {
        assert!(both.resolve(event_type, 1).is_ok(), "{event_type}");
    }
    let one = load_catalog(Some(&folder.path().join("b.yml"))).expect("a catalog");
    assert!(one.resolve("a.x", 1).is_err() && one.resolve("b.x", 1).is_ok());
    assert!(load_catalog(None).expect("the built-in catalog").resolve("payment.settled", 1).is_ok());

    let path = folder.path().to_owned();
    drop(folder);
    assert!(matches!(load_catalog(Some(&path)), Err(CatalogFilesError::Read(_))));
}
