//! `sealbus config`: prints the effective settings of this environment.

use std::process::ExitCode;

use sealbus_runtime::settings::Settings;

use crate::failure::Failure;
use crate::output::{Output, notice, table};

/// The arguments of `sealbus config`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints every setting with its value and its source. Secrets are masked.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
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
            let mut printed = table(&["setting", "value", "from"]);
            for row in rows {
                printed.add_row([row.name.to_owned(), row.value.unwrap_or_default(), row.origin.to_string()]);
            }
            println!("{printed}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
