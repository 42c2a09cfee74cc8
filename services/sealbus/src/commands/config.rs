//! `sealbus config`: prints the effective settings of this environment.

use sealbus_runtime::settings::Settings;

use crate::failure::Failure;
use crate::output::{Output, notice, printed_table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints every setting with its value and its source. Secrets are masked.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    for warning in settings.warnings() {
        notice(warning);
    }
    let rows = settings.rows();
    match args.output {
        Output::Json => {
            let rows: Vec<_> = rows
                .iter()
                .map(|row| serde_json::json!({"name": row.name, "value": row.value, "origin": row.origin.to_string()}))
                .collect();
            println!("{}", serde_json::Value::Array(rows));
        }
        Output::Table => {
            let rows = rows
                .into_iter()
                .map(|row| [row.name.to_owned(), row.value.unwrap_or_default(), row.origin.to_string()]);
            println!("{}", printed_table(&["setting", "value", "from"]).add_rows(rows));
        }
    }
    Ok(())
}
