//! Running `sealbus`, and comparing what `sealbus verify` finds.

use std::process::{Command, Output};

use serde_json::Value;

use super::{ORIGIN, Scene, UNTOUCHED};

impl Scene {
    /// Returns a `sealbus` command on this scene.
    pub(crate) fn sealbus(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealbus"));
        command
            .args(arguments)
            .env_clear()
            .env("SEALBUS_ORIGIN", ORIGIN)
            .env("SEALBUS_DATABASE_URL", self.database.clone().unwrap_or_else(|| self.postgres.url()))
            .env("SEALBUS_KEYRING", self.path("keyring.json"))
            .env("SEALBUS_ANCHORS", self.path("anchors"));
        if self.path("policy").exists() {
            command.env("SEALBUS_POLICY", self.path("policy"));
        }
        command
    }

    /// Runs `sealbus verify --all`, and returns its findings and exit code.
    pub(crate) fn verify(&self) -> (Vec<(String, String)>, i32) {
        let arguments: Vec<&str> =
            ["verify", "--all", "-o", "json"].into_iter().chain(self.arguments.iter().map(String::as_str)).collect();
        findings_of(&mut self.sealbus(&arguments))
    }

    /// Expects these findings, in addition to those of the unchanged scene at other places.
    pub(crate) fn expect(&self, found: &[(&str, &str)]) {
        let unchanged = UNTOUCHED.iter().filter(|(_, place)| found.iter().all(|(_, other)| other != place));
        self.expect_only(&unchanged.chain(found).copied().collect::<Vec<_>>());
    }

    /// Expects exactly these findings, and the exit code that follows from them.
    pub(crate) fn expect_only(&self, found: &[(&str, &str)]) {
        let mut wanted: Vec<_> =
            found.iter().map(|(verdict, place)| ((*verdict).to_owned(), (*place).to_owned())).collect();
        wanted.sort();
        let worst = wanted.iter().map(|(verdict, _)| match verdict.as_str() {
            "ERASED" => 0,
            "UNANCHORED" => 1,
            _ => 2,
        });
        let code = [0, 4, 3][worst.max().unwrap_or(0)];
        assert_eq!(self.verify(), (wanted, code), "findings and exit code");
    }
}

/// Runs a verification with JSON output, and returns its findings (verdict and place), sorted, and its exit code.
pub(crate) fn findings_of(command: &mut Command) -> (Vec<(String, String)>, i32) {
    findings_in(&command.output().unwrap())
}

/// Returns the findings and the exit code of a verification with JSON output.
pub(crate) fn findings_in(output: &Output) -> (Vec<(String, String)>, i32) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap();
    let mut found: Vec<_> = findings.iter().map(|found| (text(&found["verdict"]), text(&found["where"]))).collect();
    found.sort();
    (found, output.status.code().unwrap())
}
