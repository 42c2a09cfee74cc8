//! `sealbus config`: prints the effective settings of this environment, and what they let the roles hold in memory.

use sealbus_runtime::memory::bounds::{BOUNDS, sum};
use sealbus_runtime::settings::{Settings, Size};

use crate::failure::Failure;
use crate::output::{Output, notice, print, printed_table};
use crate::roles::Role;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints every setting with its value and its source, notices about roles that would refuse them, and the bounds of each role's memory with their sum. Secrets are masked.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    for warning in settings.warnings() {
        notice(warning);
    }
    for role in Role::ALL {
        if let Err(error) = settings.check_role(role.name()) {
            notice(format_args!("the {} does not start: {error}", role.name()));
        }
    }
    let values = settings.rows().into_iter().map(|row| (row.name.to_owned(), row.value, row.origin.to_string()));
    let rows: Vec<_> = values.chain(memory(&settings)).collect();
    match args.output {
        Output::Json => {
            let rows: Vec<_> = rows
                .iter()
                .map(|(name, value, origin)| serde_json::json!({"name": name, "value": value, "origin": origin}))
                .collect();
            print(serde_json::Value::Array(rows))?;
        }
        Output::Table => {
            let rows = rows.into_iter().map(|(name, value, origin)| [name, value.unwrap_or_default(), origin]);
            print(printed_table(&["setting", "value", "from"]).add_rows(rows))?;
        }
    }
    Ok(())
}

/// Returns the rows of the memory of each role: its bounds and their sum.
fn memory(settings: &Settings) -> Vec<(String, Option<String>, String)> {
    let row = |role: &str, name: &str, size: Size| {
        (format!("memory of a {role}: {name}"), Some(size.to_string()), "bound".to_owned())
    };
    let mut rows = Vec::new();
    for bounds in BOUNDS.chunk_by(|one, next| one.role == next.role) {
        let role = bounds[0].role;
        rows.extend(bounds.iter().map(|bound| row(role, bound.name, bound.size(settings))));
        rows.push(row(role, "sum", sum(role, settings)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_a_role_and_their_sum_are_printed() {
        let given = [("SEALBUS_MAX_CONNECTIONS", "2000"), ("SEALBUS_MAX_FEEDS", "1GiB")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let rows = memory(&Settings::load(given).expect("valid settings"));
        let value = |name: &str| {
            let row = rows.iter().find(|(row, ..)| row == name).unwrap_or_else(|| panic!("no row {name}: {rows:?}"));
            row.1.clone().expect("a bound has a value")
        };
        assert_eq!(value("memory of a publisher: feeds of streams"), "1GiB");
        assert_eq!(value("memory of a witness: connections"), "80000KiB");
        assert_eq!(value("memory of a witness: sum"), format!("{}KiB", 80_000 + (32 << 10)));
    }
}
