//! Metrics of this process from Linux, under the names that the Prometheus client libraries use.

use std::{fmt, fs};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads `/proc/self` at each scrape. Values that cannot be read are left out.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name, help, unit: Option<&Unit>, value: Option<i64>| match value {
            Some(value) => {
                let gauge = ConstGauge::new(value);
                let metric = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
                gauge.encode(metric)
            }
            None => Ok(()),
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status_field(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024);
        gauge("process_resident_memory", "Resident memory", Some(&Unit::Bytes), resident)?;
        gauge("process_threads", "Threads", None, status_field(&status, "Threads:"))?;
        gauge("process_open_fds", "Open file descriptors", None, open_files())?;
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time, user and system";
            let metric = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

/// Returns a number from `/proc/self/status`, such as 1234 from `VmRSS:     1234 kB`.
fn status_field(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<i64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // The descriptor that was opened for counting is not counted.
    i64::try_from(count.saturating_sub(1)).ok()
}

/// Returns the CPU time in seconds: utime and stime, fields 14 and 15 of `/proc/self/stat`, which Linux states in hundredths of a
/// second on all architectures.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name of the program in parentheses, which may contain any characters.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11).map(str::parse::<u32>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((f64::from(user) + f64::from(system)) / 100.0)
}
