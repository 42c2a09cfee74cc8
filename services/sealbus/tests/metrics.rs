//! The page of metrics agrees with the metrics that the roles serve.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sealbus_runtime::telemetry::metrics::{Registry, exposition};

use crate::support::Bus;

const PAGE: &str = "docs/operations/metrics.md";

/// Returns the type and the help text of each metric in an exposition, by name. The name of a counter ends in `_total`.
fn metrics(exposition: &str) -> BTreeMap<String, [String; 2]> {
    let lines =
        |prefix: &'static str| exposition.lines().filter_map(move |line| line.strip_prefix(prefix)?.split_once(' '));
    let helps: BTreeMap<&str, &str> = lines("# HELP ").collect();
    let metrics = lines("# TYPE ").map(|(name, kind)| {
        let help = helps[name].trim_end_matches('.').to_owned();
        (if kind == "counter" { format!("{name}_total") } else { name.to_owned() }, [kind.to_owned(), help])
    });
    metrics.collect()
}

/// Starts one process of each role and returns the metrics of all of them. A witness needs a log to start, and has no metrics but
/// its own and those of every process.
async fn served() -> BTreeMap<String, [String; 2]> {
    let bus = Bus::start().await;
    let mut witness = Registry::default();
    sealbus_witness::Metrics::register(&mut witness);
    let mut served = metrics(&exposition(&witness));
    for name in ["publisher", "relay", "sealer", "dispatcher"] {
        let role = bus.role(name).await;
        let text = reqwest::get(format!("{}/metrics", role.admin_url())).await.unwrap().text().await.unwrap();
        served.append(&mut metrics(&text));
    }
    served
}

/// Returns the name in a row of the page's tables: name, type, labels, meaning, and what to do.
fn name_in(row: &str) -> Option<&str> {
    Some(row.strip_prefix("| `")?.split_once('`')?.0).filter(|name| row.contains('|') && !name.contains(' '))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_describes_every_metric_of_every_role() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE);
    let (page, served) = (fs::read_to_string(&path).unwrap(), served().await);

    // What the code says of a metric stands in the second and fourth cell of its row.
    let row = |line: &str| {
        let (name, mut cells) = (name_in(line)?, line.split(" | ").map(str::to_owned).collect::<Vec<_>>());
        let [kind, help] = served.get(name)?;
        (cells.len() == 5).then(|| {
            (cells[1], cells[3]) = (kind.clone(), help.clone());
            cells.join(" | ")
        })
    };
    let lines = page.lines().map(|line| row(line).unwrap_or_else(|| line.to_owned()) + "\n");
    let expected: String = lines.collect();

    let described: BTreeSet<&str> = page.lines().filter_map(name_in).collect();
    let undescribed: Vec<_> = served.keys().filter(|name| !described.contains(name.as_str())).collect();
    assert!(undescribed.is_empty(), "{PAGE} lacks these metrics: {undescribed:?}");
    let unknown: Vec<_> = described.iter().filter(|name| !served.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "{PAGE} describes metrics that no role has: {unknown:?}");
    if std::env::var_os("SEALBUS_WRITE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == expected,
        "types or meanings in {PAGE} differ from the code: run SEALBUS_WRITE_DOCS=1 cargo test -p sealbus --test metrics"
    );
}

/// An alarm about a metric that does not exist would never be raised.
#[test]
fn every_alarm_names_metrics_of_the_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let described: BTreeSet<&str> = page.lines().filter_map(name_in).collect();
    let mut pages = String::new();
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        pages.push_str(&fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let words = pages.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let unknown: BTreeSet<&str> = words
        .filter(|word| word.starts_with("sealbus_") && *word != "sealbus_writer")
        .filter(|word| {
            let series = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
            !described.contains(word) && !series.is_some_and(|name| described.contains(name))
        })
        .collect();
    assert!(unknown.is_empty(), "the pages beside {PAGE} name metrics that it does not describe: {unknown:?}");
}
