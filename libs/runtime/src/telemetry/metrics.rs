//! The numbers of a process, as Prometheus reads them.
//!
//! Each service declares its metrics in one struct and registers them, by their full names (`sealbus_…`), on the registry
//! of its process; the admin listener serves it.

use prometheus_client::encoding::text::encode;
pub use prometheus_client::registry::Registry;

use super::process::Process;

/// The media type of [`exposition`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry that holds what the operating system knows of the process: memory, processor time, open files, threads.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry
}

/// Every metric of the registry with its value of this moment, in the text form of `OpenMetrics`.
pub fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    // Only a metric whose own encoding fails can make this fail; the rest is worth having.
    if encode(&mut text, registry).is_err() {
        tracing::error!("a metric could not be written");
    }
    text
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn says_what_was_registered_and_how_the_process_fares() {
        let mut registry = registry();
        let appended = Counter::<u64>::default();
        registry.register("sealbus_events_appended", "Events appended", appended.clone());
        appended.inc_by(7);
        let text = exposition(&registry);
        assert!(text.contains("# TYPE sealbus_events_appended counter"), "{text}");
        assert!(text.contains("\nsealbus_events_appended_total 7\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        let resident = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        let resident: u64 = resident.expect("it is there").parse().expect("a number");
        assert!(resident > 1 << 20, "{resident}");
        for name in ["process_cpu_seconds_total ", "process_open_fds ", "process_threads "] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name}: {text}");
        }
    }
}
