//! The metrics of a process's connections to its ledger.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use sealbus_ledger::{LaneUsage, Ledger};
use sealbus_runtime::telemetry::metrics::{Registry, encode_labelled};

/// Registers the metrics of the connections to a ledger, by lane.
pub(crate) fn register_connections(registry: &mut Registry, ledger: &Ledger) {
    registry.register_collector(Box::new(LedgerConnections(ledger.clone())));
}

/// The connections to a ledger, read at each scrape.
struct LedgerConnections(Ledger);

impl fmt::Debug for LedgerConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LedgerConnections").finish_non_exhaustive()
    }
}

impl Collector for LedgerConnections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let lanes = self.0.connection_usage();
        let mut gauge = |name, help, value: fn(&LaneUsage) -> u32| {
            let values = lanes.iter().map(|(lane, usage)| (*lane, ConstGauge::new(value(usage))));
            encode_labelled(&mut encoder, (name, help, None), "lane", values)
        };
        gauge("sealbus_ledger_max_connections", "Connections that a lane opens at most", |usage| usage.max)?;
        gauge("sealbus_ledger_open_connections", "Open connections of a lane", |usage| usage.open)?;
        gauge("sealbus_ledger_idle_connections", "Open connections of a lane that are not in use", |usage| usage.idle)?;
        gauge("sealbus_ledger_used_connections", "Connections of a lane in use", |usage| usage.open - usage.idle)?;

        let mut counter = |name, help, value: fn(&LaneUsage) -> u64| {
            let values = lanes.iter().map(|(lane, usage)| (*lane, ConstCounter::new(value(usage))));
            encode_labelled(&mut encoder, (name, help, None), "lane", values)
        };
        counter("sealbus_ledger_waits", "Requests for a connection of a lane", |usage| usage.waits)?;
        let help = "Requests for a connection of a lane that got none in time, or found the database unreachable";
        counter("sealbus_ledger_failed_waits", help, |usage| usage.failed_waits)?;
        let waited = lanes.iter().map(|(lane, usage)| (*lane, ConstCounter::new(usage.waited.as_secs_f64())));
        let help = "Time for which connections of a lane were waited for";
        encode_labelled(&mut encoder, ("sealbus_ledger_wait", help, Some(&Unit::Seconds)), "lane", waited)?;

        let unconfirmed = ConstGauge::new(u32::from(self.0.server_history().is_unconfirmed()));
        let help = "1 if the database's history was not confirmed when this process last appended or sealed";
        let metric =
            encoder.encode_descriptor("sealbus_ledger_unconfirmed_history", help, None, unconfirmed.metric_type())?;
        unconfirmed.encode(metric)?;

        let outages = ConstCounter::new(self.0.outages());
        let help = "Times that an operation found the database unreachable, or found another server";
        let metric = encoder.encode_descriptor("sealbus_ledger_outages", help, None, outages.metric_type())?;
        outages.encode(metric)
    }
}
