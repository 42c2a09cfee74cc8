//! The settings of a process, from all of their sources.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use sealbus_runtime::settings::{LogFormat, Origin, RATIOS, Rule, Settings, SettingsError, TABLE, table};
use secrecy::ExposeSecret;

fn load(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::load(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn refusal(variables: &[(&str, &str)]) -> String {
    load(variables).expect_err("refused").to_string()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("a UTF-8 path")
}

#[test]
fn defaults_apply_if_nothing_is_set() {
    let settings = load(&[]).expect("defaults are valid");
    assert_eq!(settings.get(table::LEASE), Duration::from_secs(10));
    assert_eq!(settings.get(table::LEASE_RENEW_INTERVAL), Duration::from_secs(3));
    assert_eq!(settings.get(table::SWEEP_AGE), Duration::from_secs(30));
    assert_eq!(settings.get(table::SEAL_WAIT), Duration::from_millis(50));
    assert_eq!(settings.get(table::SSE_HEARTBEAT_INTERVAL), Duration::from_secs(15));
    assert_eq!(settings.get(table::PARTITIONS), 8);
    assert_eq!(settings.get(table::MAX_REPLICAS), 8);
    assert_eq!(settings.get(table::MAX_BODY).bytes(), 4 << 20);
    assert_eq!(settings.get(table::MAX_EVENT).bytes(), 256 << 10);
    assert_eq!(settings.get(table::LOG_FORMAT), LogFormat::Text);
    assert_eq!(settings.find(table::ORIGIN), None);
    assert!(settings.warnings().is_empty());
}

#[test]
fn every_default_and_every_bound_satisfies_its_rule() {
    for entry in TABLE {
        let bounds = match entry.rule {
            Rule::Between(least, most) => vec![least, most],
            _ => vec![],
        };
        for value in entry.default.into_iter().chain(bounds) {
            match load(&[(entry.name, value)]) {
                // A bound may be too close to the default of another setting.
                Ok(_) | Err(SettingsError::TooClose { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn names_are_unique_and_none_is_set_by_kubernetes() {
    let names: HashSet<&str> = TABLE.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), TABLE.len());
    for name in names {
        assert!(!name.ends_with("_PORT") && !name.contains("_PORT_") && !name.contains("_SERVICE_"), "{name}");
        assert!(!name.ends_with("_FILE"), "{name} would be the file of another variable");
    }
    let readers = ["publisher", "relay", "sealer", "dispatcher", "witness", "commands", "dev"];
    assert!(TABLE.iter().flat_map(|entry| entry.readers).all(|reader| readers.contains(reader)));
    assert_eq!(TABLE[0].name, table::CONFIG.name(), "the path of the file must come first in the table");
}

#[test]
fn the_environment_takes_precedence_over_the_file_and_the_file_over_the_default() {
    let config =
        file("lease = \"20s\"\nlease_renew_interval = \"2s\"\nbatchers = 2\nv1_tenants = [\"acme\", \"globex\"]\n");
    let settings = load(&[("SEALBUS_CONFIG", path(&config)), ("SEALBUS_LEASE", " 30s ")]).expect("good");
    assert_eq!(settings.get(table::LEASE), Duration::from_secs(30));
    assert_eq!(settings.get(table::LEASE_RENEW_INTERVAL), Duration::from_secs(2));
    assert_eq!(settings.get(table::BATCHERS), 2);
    assert_eq!(settings.find(table::V1_TENANTS), Some(vec!["acme".into(), "globex".into()]));
    let origin = |name| settings.rows().into_iter().find(|row| row.name == name).expect("a row each").origin;
    assert_eq!(origin("SEALBUS_LEASE"), Origin::Environment);
    assert_eq!(origin("SEALBUS_LEASE_RENEW_INTERVAL"), Origin::ConfigFile);
    assert_eq!(origin("SEALBUS_SWEEP_AGE"), Origin::Default);
    assert_eq!(origin("SEALBUS_ORIGIN"), Origin::Unset);
}

#[test]
fn a_value_can_be_read_from_a_file() {
    let token = file("top-secret\n");
    let settings = load(&[("SEALBUS_TOKEN_FILE", path(&token))]).expect("good");
    assert_eq!(settings.require(table::TOKEN).expect("given").expose_secret(), "top-secret");
    let row = settings.rows().into_iter().find(|row| row.name == "SEALBUS_TOKEN").expect("a row");
    assert_eq!((row.value.as_deref(), row.origin), (Some("***"), Origin::ValueFile));

    let both = refusal(&[("SEALBUS_TOKEN_FILE", path(&token)), ("SEALBUS_TOKEN", "other")]);
    assert_eq!(both, "SEALBUS_TOKEN and SEALBUS_TOKEN_FILE are both set; set only one of them");
    let absent = refusal(&[("SEALBUS_TOKEN_FILE", "/nowhere/token")]);
    assert_eq!(absent, "SEALBUS_TOKEN_FILE: cannot read /nowhere/token");
}

#[test]
fn a_path_has_no_file_form() {
    let settings =
        load(&[("SEALBUS_KEYRING_FILE", "/run/secrets/keyring")]).expect("unknown variables are only warned about");
    assert_eq!(settings.find(table::KEYRING), None);
    let warning = &settings.warnings()[0];
    assert!(warning.ends_with("SEALBUS_KEYRING_FILE (did you mean SEALBUS_KEYRING?)"), "{warning}");
}

#[test]
fn a_bad_value_is_refused_with_its_rule() {
    assert_eq!(
        refusal(&[("SEALBUS_LEASE", "ten")]),
        "SEALBUS_LEASE: \"ten\" is not a duration: a whole number and a unit (us, ms, s, m, h or d), such as 100ms or 5s (from the environment)"
    );
    assert_eq!(
        refusal(&[("SEALBUS_BATCHERS", "0")]),
        "SEALBUS_BATCHERS: \"0\" is out of range: 1 to 64 (from the environment)"
    );
    assert!(refusal(&[("SEALBUS_LEASE", "6m")]).contains("is out of range: 100ms to 5m"));
    assert!(refusal(&[("SEALBUS_PARTITIONS", "6")]).contains("must be one of 1, 2, 4, 8, 16, 32, 64"));
    assert!(refusal(&[("SEALBUS_MAX_EVENT", "1MiB")]).contains("is out of range: 1KiB to 256KiB"));
    assert!(refusal(&[("SEALBUS_LISTEN", "8080")]).contains("\"8080\" is not host:port"));
    assert!(refusal(&[("SEALBUS_LOG_FORMAT", "xml")]).contains("\"xml\" is not json or text"));
    let config = file("batchers = 100\n");
    let in_file = refusal(&[("SEALBUS_CONFIG", path(&config))]);
    assert!(in_file.starts_with("SEALBUS_BATCHERS: \"100\"") && in_file.contains(path(&config)), "{in_file}");
}

#[test]
fn values_that_do_not_fit_together_are_refused() {
    assert_eq!(
        refusal(&[("SEALBUS_LEASE", "5s")]),
        "SEALBUS_LEASE is 5s and SEALBUS_LEASE_RENEW_INTERVAL is 3s: the first must be at least 2 times the second, \
         or a process would lose its partitions when one renewal is late"
    );
    let bounds = |name| match TABLE.iter().find(|entry| entry.name == name).expect("a variable").rule {
        Rule::Between(least, most) => (least, most),
        _ => panic!("{name} has no bounds"),
    };
    let roles = ["publisher", "relay", "sealer", "dispatcher", "witness"];
    for ratio in RATIOS {
        let (least, most) = (bounds(ratio.larger).0, bounds(ratio.smaller).1);
        let refused = load(&[(ratio.larger, least), (ratio.smaller, most)])
            .and_then(|settings| roles.into_iter().try_for_each(|role| settings.check_role(role)));
        let refused = refused.expect_err("refused").to_string();
        let begin = format!("{} is {least} and {} is {most}: the first must be at least ", ratio.larger, ratio.smaller);
        assert!(refused.starts_with(&begin) && refused.ends_with(ratio.otherwise), "{refused}");
    }
    for fitting in [
        [("SEALBUS_LEASE", "6s"), ("SEALBUS_LEASE_RENEW_INTERVAL", "3s")],
        [("SEALBUS_ACK_WAIT", "200ms"), ("SEALBUS_PROGRESS_INTERVAL", "100ms")],
        [("SEALBUS_RELAY_FULL_SCAN_INTERVAL", "1m"), ("SEALBUS_RELAY_SCAN_INTERVAL", "60s")],
        [("SEALBUS_DATABASE_CONNECTIONS", "24"), ("SEALBUS_BATCHERS", "4")],
        [("SEALBUS_MAX_INTAKE", "96MiB"), ("SEALBUS_MAX_BODY", "4096KiB")],
        [("SEALBUS_MAX_CONNECTIONS", "20"), ("SEALBUS_SSE_STREAMS", "10")],
    ] {
        let settings = load(&fitting).unwrap_or_else(|error| panic!("{error}"));
        settings.check_role("publisher").unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_role_is_not_refused_for_a_setting_that_it_does_not_read() {
    let settings = load(&[("SEALBUS_MAX_CONNECTIONS", "64"), ("SEALBUS_DATABASE_CONNECTIONS", "8")])
        .expect("no other role is refused");
    for role in ["relay", "sealer", "dispatcher", "witness"] {
        settings.check_role(role).unwrap_or_else(|error| panic!("{role}: {error}"));
    }
    let refused = settings.check_role("publisher").expect_err("refused").to_string();
    assert!(refused.contains("SEALBUS_DATABASE_CONNECTIONS is 8 and SEALBUS_BATCHERS is 2"), "{refused}");
}

#[test]
fn a_missing_value_is_named_with_its_meaning() {
    let missing = load(&[]).expect("good").require(table::ORIGIN).expect_err("not set").to_string();
    assert!(missing.starts_with("SEALBUS_ORIGIN is not set: Name of the deployment"), "{missing}");
}

#[test]
fn an_empty_value_counts_as_not_set() {
    let settings = load(&[("SEALBUS_LEASE", ""), ("SEALBUS_TENANT", "  ")]).expect("good");
    assert_eq!(settings.get(table::LEASE), Duration::from_secs(10));
    assert_eq!(settings.find(table::TENANT), None);
}

#[test]
fn unknown_variables_cause_a_warning_only() {
    let settings = load(&[
        ("SEALBUS_PORT", "tcp://10.0.0.1:8080"),
        ("SEALBUS_DATABSE_URL", "postgres://user:hidden@db/bus"),
        ("PATH", "/bin"),
    ])
    .expect("never fatal");
    assert_eq!(
        settings.warnings(),
        ["unknown environment variables are ignored: \
          SEALBUS_DATABSE_URL (did you mean SEALBUS_DATABASE_URL?), SEALBUS_PORT"]
    );
}

/// Sets the mode of a file in a folder that everybody can enter, and returns the warnings of settings that name it.
fn warnings_with(variables: &[(&str, &str)], files: &[(&str, u32)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    set_mode(folder.path(), 0o755);
    for (name, mode) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let text = if *name == "sealbus.toml" { "token = \"a secret\"" } else { "postgres://user:secret@db/bus" };
        fs::write(&path, text).expect("written");
        set_mode(&path, *mode);
    }
    let place = format!("{}/", folder.path().display());
    let variables: Vec<_> = variables.iter().map(|(name, file)| (*name, format!("{place}{file}"))).collect();
    let variables: Vec<_> = variables.iter().map(|(name, path)| (*name, path.as_str())).collect();
    load(&variables).expect("good").warnings().iter().map(|warning| warning.replace(&place, "")).collect()
}

#[test]
fn a_file_with_secrets_that_every_user_can_read_causes_a_warning() {
    for (variable, file) in [
        ("SEALBUS_KEYRING", "keyring.json"),
        ("SEALBUS_TOKENS", "tokens.json"),
        ("SEALBUS_SUBSCRIPTIONS", "subscriptions.yaml"),
        ("SEALBUS_TOKEN_FILE", "token"),
        ("SEALBUS_DATABASE_URL_FILE", "url"),
        ("SEALBUS_CONFIG", "sealbus.toml"),
    ] {
        for mode in [0o644, 0o604, 0o602, 0o666] {
            assert_eq!(
                warnings_with(&[(variable, file)], &[(file, mode)]),
                [format!("{variable}: every user can read or change {file}; restrict it to mode 0640 or 0600")],
                "mode {mode:o}"
            );
        }
        // A group may have access: it is how Kubernetes gives a process that is not root a secret (fsGroup).
        for mode in [0o600, 0o400, 0o640, 0o660] {
            assert_eq!(warnings_with(&[(variable, file)], &[(file, mode)]), [""; 0], "{variable}, mode {mode:o}");
        }
    }
}

#[test]
fn the_files_of_a_folder_are_looked_at_and_other_settings_are_not() {
    let keyring = [("keys/a.json", 0o600), ("keys/b.json", 0o644), ("keys/README", 0o644)];
    assert_eq!(
        warnings_with(&[("SEALBUS_KEYRING", "keys")], &keyring),
        ["SEALBUS_KEYRING: every user can read or change keys/b.json; restrict it to mode 0640 or 0600"]
    );
    let open = [("origin", 0o644), ("catalog.yaml", 0o644)];
    assert_eq!(warnings_with(&[("SEALBUS_LOG_FILE", "origin"), ("SEALBUS_CATALOG", "catalog.yaml")], &open), [""; 0]);
    // Only its owner can enter this folder, so the mode of the file does not matter.
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("a mode");
    let path = folder.path().join("token");
    fs::write(&path, "a secret").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    let settings = load(&[("SEALBUS_TOKEN_FILE", path.to_str().expect("UTF-8"))]).expect("good");
    assert!(settings.warnings().is_empty(), "{:?}", settings.warnings());
}

#[test]
fn the_alias_of_the_expected_migration_is_read() {
    let settings = load(&[("EXPECTED_MIGRATION", "3")]).expect("good");
    assert_eq!(settings.find(table::EXPECTED_MIGRATION), Some(3));
    let settings = load(&[("EXPECTED_MIGRATION", "3"), ("SEALBUS_EXPECTED_MIGRATION", "4")]).expect("good");
    assert_eq!(settings.find(table::EXPECTED_MIGRATION), Some(4));
}

#[test]
fn a_file_with_an_unknown_key_or_a_wrong_type_is_refused() {
    let unknown = |text: &str| {
        let config = file(text);
        refusal(&[("SEALBUS_CONFIG", path(&config))]).replace(path(&config), "sealbus.toml")
    };
    assert_eq!(unknown("databse_url = \"x\""), "sealbus.toml: unknown key `databse_url`; did you mean `database_url`?");
    assert_eq!(unknown("wholly_other = 1"), "sealbus.toml: unknown key `wholly_other`");
    assert_eq!(unknown("[ledger]\nurl = 1"), "sealbus.toml: unknown key `ledger`");
    assert!(unknown("config = \"other.toml\"").starts_with("sealbus.toml: unknown key `config`"));
    assert_eq!(unknown("lease = true"), "SEALBUS_LEASE: `lease` is not a duration (from sealbus.toml)");
    let absent = refusal(&[("SEALBUS_CONFIG", "/nowhere/sealbus.toml")]);
    assert_eq!(absent, "SEALBUS_CONFIG: cannot read /nowhere/sealbus.toml");
}

#[test]
fn secrets_are_never_shown() {
    let quoted = file("lease = \"10s\"\ndatabase_url = postgres://user:hidden@db/bus\n");
    let error = load(&[("SEALBUS_CONFIG", path(&quoted))]).expect_err("not TOML");
    assert!(error.to_string().contains("line 2"), "{error}");
    assert!(!format!("{error:?} {error}").contains("hidden"));

    let error = load(&[("SEALBUS_DATABASE_URL", "hidden")]).expect_err("not a URL");
    assert!(!format!("{error:?} {error}").contains("hidden"));

    let settings = load(&[
        ("SEALBUS_DATABASE_URL", "postgres://user:hidden@db:5432/bus"),
        ("SEALBUS_NATS_URL", "nats://hidden@a:4222,nats://hidden@b:4222"),
        ("SEALBUS_TOKEN", "hidden"),
    ])
    .expect("good");
    let shown = format!("{:?} {settings:?} {:?}", settings.rows(), settings.find(table::DATABASE_URL));
    assert!(!shown.contains("hidden"), "{shown}");
    assert!(shown.contains("postgres://***@db:5432/bus"), "an operator sees which database: {shown}");
    assert_eq!(settings.require(table::DATABASE_URL).expect("set").expose(), "postgres://user:hidden@db:5432/bus");
}
