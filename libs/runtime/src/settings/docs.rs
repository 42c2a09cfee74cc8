//! Generation of `docs/configuration.md` from the table.

use std::fmt::Write;

use super::entry::{Entry, Rule, Secrecy};
use super::table::{RATIOS, TABLE};

const INTRODUCTION: &str = "\
<!-- Generated from libs/runtime/src/settings/table.rs: \
`SEALBUS_WRITE_DOCS=1 cargo test -p sealbus-runtime --test configuration` -->
# Configuration

Every program of Sealbus is configured by environment variables and, optionally, by a TOML file. \
`sealbus config` prints the value of each setting and its source; it masks secrets.

- A value is taken from the environment; otherwise from the TOML file that `SEALBUS_CONFIG` names; otherwise it is the default.
- `SEALBUS_X_FILE` names a file that holds the value of `SEALBUS_X`, which is how secrets are usually mounted. \
Every variable has this form, except those that hold a path. Setting both is refused.
- In the TOML file the key of `SEALBUS_X` is `x`. All keys are in one flat table; a list may be an array. An unknown key is refused.
- Spaces around a value are removed, and an empty value counts as not set. \
A process does not start with a value that breaks its rule, or with two values that do not fit together; the message names them.
- A `SEALBUS_…` variable that is not listed here is ignored, with a warning in the log.
- A file with secrets that every user of the machine can read causes a warning in the log and from `sealbus config`: \
the keyring, the token file, the subscriptions, the file of a secret value, and a TOML file that holds one. \
A mode for a group, such as 0640 by `fsGroup` and `defaultMode` of Kubernetes, causes none.
- A duration is a whole number and a unit: `us`, `ms`, `s`, `m`, `h` or `d`. \
A size is a number of bytes, or a whole number and `KiB`, `MiB` or `GiB`.
";

/// Returns the page with all variables.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut group = "";
    for entry in TABLE {
        if entry.group != group {
            group = entry.group;
            let _ = write!(
                page,
                "\n## {group}\n\n| variable | meaning | kind | default | read by |\n|---|---|---|---|---|\n"
            );
        }
        let _ = writeln!(page, "{}", line(entry));
    }
    page
}

fn line(entry: &Entry) -> String {
    let rule = match entry.rule {
        Rule::Any => String::new(),
        Rule::Between(least, most) => format!(", {least} to {most}"),
        Rule::OneOf(choices) => format!(", one of {}", choices.join(" ")),
    };
    let ratios: Vec<String> = RATIOS
        .iter()
        .filter(|ratio| ratio.larger == entry.name)
        .map(|ratio| {
            let times = if ratio.times == 1 { String::new() } else { format!("{} × ", ratio.times) };
            let roles: Vec<_> = entry.readers.iter().copied().filter(|role| ratio.applies_to(role)).collect();
            let where_read = if ratio.is_common() { String::new() } else { format!(" ({})", roles.join(", ")) };
            format!(", at least {times}`{}`{where_read}", ratio.smaller)
        })
        .collect();
    let secret = if entry.secrecy == Secrecy::Open || entry.kind == "secret" { "" } else { ", secret" };
    let default = entry.default.map_or_else(String::new, |default| format!("`{default}`"));
    let Entry { name, about, kind, .. } = entry;
    format!(
        "| `{name}` | {about} | {kind}{secret}{rule}{} | {default} | {} |",
        ratios.concat(),
        entry.readers.join(", ")
    )
}
