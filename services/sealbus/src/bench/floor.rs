//! The floors: what the same machine does with the same rows and nothing of Sealbus, in the same run.
//!
//! pgbench comes with Postgres; its scripts stand under deploy/bench.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::percentiles::Percentiles;
use crate::failure::Failure;

const TABLES: &str = include_str!("../../../../deploy/bench/baseline.sql");
const BATCH: &str = include_str!("../../../../deploy/bench/baseline.pgbench");
const COMMIT: &str = include_str!("../../../../deploy/bench/commit.pgbench");

/// pgbench and psql beside the server in use.
pub(super) struct Floor {
    bin: PathBuf,
    url: String,
    scratch: tempfile::TempDir,
}

impl Floor {
    /// Makes the floor's tables in the ledger's database, as the superuser of `sealbus dev`.
    pub(super) async fn prepare(bin: PathBuf, url: String) -> Result<Self, Failure> {
        let floor = Self { bin, url, scratch: tempfile::tempdir()? };
        floor.reset().await?;
        Ok(floor)
    }

    /// Empties the floor's tables and flushes what earlier runs left to write.
    pub(super) async fn reset(&self) -> Result<(), Failure> {
        let tables = self.script("baseline.sql", TABLES)?;
        let mut psql = Command::new(self.bin.join("psql"));
        output(
            psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url, "-f"])
                .arg(tables)
                .env("PGOPTIONS", "-c client_min_messages=warning"),
        )
        .await?;
        Ok(())
    }

    /// Events a second that pgbench inserts: batches of `batch`, payloads of `bytes`, 4 clients.
    pub(super) async fn append(&self, batch: usize, bytes: usize, time: Duration) -> Result<f64, Failure> {
        let script = self.script("baseline.pgbench", BATCH)?;
        let mut pgbench = self.pgbench(time);
        pgbench.args([
            "-c",
            "4",
            "-j",
            "2",
            "-D",
            &format!("batch={batch}"),
            "-D",
            &format!("payload=\"{}\"", "x".repeat(bytes.saturating_sub(2))),
            "-f",
        ]);
        let printed = output(pgbench.arg(script).arg(&self.url)).await?;
        let tps = printed.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
        Ok(tps.ok_or_else(|| Failure::new(format!("pgbench printed no tps: {printed}")))? * batch as f64)
    }

    /// How long single small commits take at `rate` a second.
    pub(super) async fn commit(&self, rate: u32, time: Duration) -> Result<Percentiles, Failure> {
        let script = self.script("commit.pgbench", COMMIT)?;
        let log = self.scratch.path().join("commit");
        let mut pgbench = self.pgbench(time);
        pgbench.args(["-c", "1", "-l", "-R", &rate.to_string(), "--log-prefix"]).arg(&log).arg("-f").arg(script);
        output(pgbench.arg(&self.url)).await?;
        let mut times = Vec::new();
        for entry in std::fs::read_dir(self.scratch.path())? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| {
                name.to_string_lossy().starts_with("commit.")
                    && path.extension().is_some_and(|ending| ending != "pgbench")
            }) {
                // client transaction time script epoch µs schedule-lag: the lag is pgbench's own and not the commit's.
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
        let path: &Path = self.scratch.path();
        let path = path.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

async fn output(command: &mut Command) -> Result<String, Failure> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output =
        command.output().await.map_err(|error| Failure::new(format!("{program} could not be run: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failure::new(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr))))
}
