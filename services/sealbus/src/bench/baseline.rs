//! Baselines: what the same machine does with the same rows in the same run, without Sealbus.
//!
//! They are measured with pgbench, which is part of Postgres, and the scripts in deploy/bench.

use std::path::PathBuf;
use std::time::Duration;

use sealbus_runtime::settings::SecretUrl;
use tokio::process::Command;

use super::percentiles::Percentiles;
use crate::failure::{Context as _, Failure};

const TABLES: &str = include_str!("../../../../deploy/bench/baseline.sql");
const BATCH: &str = include_str!("../../../../deploy/bench/baseline.pgbench");
const COMMIT: &str = include_str!("../../../../deploy/bench/commit.pgbench");

/// Runs pgbench and psql on the server that the benchmark uses.
pub(super) struct Baseline {
    bin: PathBuf,
    url: SecretUrl,
    scratch: tempfile::TempDir,
}

impl Baseline {
    /// Creates the tables of the baseline in the ledger's database. `url` is the superuser's.
    pub(super) async fn prepare(url: SecretUrl) -> Result<Self, Failure> {
        let baseline = Self { bin: sealbus_backing::postgres_bin()?, url, scratch: tempfile::tempdir()? };
        baseline.reset().await?;
        Ok(baseline)
    }

    /// Creates empty tables, and flushes what earlier runs left to write.
    pub(super) async fn reset(&self) -> Result<(), Failure> {
        let tables = self.script("baseline.sql", TABLES)?;
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", self.url.expose(), "-f"]).arg(tables);
        output(psql.env("PGOPTIONS", "-c client_min_messages=warning")).await.map(drop)
    }

    /// Measures the events per second that pgbench inserts with 4 clients, in batches of `batch` events with `bytes` of payload.
    pub(super) async fn events_per_second(&self, batch: usize, bytes: usize, time: Duration) -> Result<f64, Failure> {
        let script = self.script("baseline.pgbench", BATCH)?;
        let (batch_size, payload) =
            (format!("batch={batch}"), format!("payload=\"{}\"", "x".repeat(bytes.saturating_sub(2))));
        let mut pgbench = self.pgbench(time);
        pgbench.args(["-c", "4", "-j", "2", "-D", &batch_size, "-D", &payload, "-f"]).arg(script);
        let printed = output(pgbench.arg(self.url.expose())).await?;
        let tps = printed.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
        Ok(tps.ok_or_else(|| Failure::new(format!("pgbench printed no tps: {printed}")))? * batch as f64)
    }

    /// Measures how long single small commits take at `rate` commits per second.
    pub(super) async fn commit_times(&self, rate: u32, time: Duration) -> Result<Percentiles, Failure> {
        let script = self.script("commit.pgbench", COMMIT)?;
        let log = self.scratch.path().join("times");
        let mut pgbench = self.pgbench(time);
        pgbench.args(["-c", "1", "-l", "-R", &rate.to_string(), "--log-prefix"]).arg(&log).arg("-f").arg(script);
        output(pgbench.arg(self.url.expose())).await?;
        let mut times = Vec::new();
        for entry in std::fs::read_dir(self.scratch.path())? {
            let path = entry?.path();
            if path.file_stem().is_some_and(|name| name == "times") {
                // The fields are: client, transaction, time, script, epoch, µs, schedule lag. The lag is pgbench's, not the commit's.
                times.extend(std::fs::read_to_string(&path)?.lines().filter_map(|line| {
                    let fields: Vec<u64> = line.split(' ').filter_map(|field| field.parse().ok()).collect();
                    Some(Duration::from_micros(fields.get(2)?.saturating_sub(*fields.get(6)?)))
                }));
            }
        }
        Ok(Percentiles::of(times))
    }

    fn pgbench(&self, time: Duration) -> Command {
        let mut pgbench = Command::new(self.bin.join("pgbench"));
        pgbench.args(["-n", "-M", "prepared", "-T", &time.as_secs().max(1).to_string()]);
        pgbench
    }

    fn script(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

/// Runs a program, and returns what it printed.
pub(super) async fn output(command: &mut Command) -> Result<String, Failure> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.output().await.context(format_args!("cannot run {program}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failure::new(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr))))
}
