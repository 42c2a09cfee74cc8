//! How commands print: a table for a person, JSON for a program, progress on stderr if stderr is a terminal.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealbus_client::Event;

use crate::failure::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Output {
    /// Columns for a person
    #[default]
    Table,
    /// JSON for a program
    Json,
}

pub(crate) const EVENT_COLUMNS: [&str; 6] = ["seq", "type", "recorded", "actor", "log", "hash"];

/// Returns an event as a row of a plan's trail.
pub(crate) fn event_row(event: &Event) -> [String; EVENT_COLUMNS.len()] {
    [
        event.seq.to_string(),
        event.event_type.clone(),
        event.recorded_at.to_string(),
        event.actor.clone().unwrap_or_default(),
        event.log_index.map(|index| index.to_string()).unwrap_or_default(),
        event.seal.hash.to_string().chars().take(16).collect(),
    ]
}

/// Returns a table without lines, as wide as the terminal.
pub(crate) fn printed_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header.to_vec());
    table
}

/// Returns a progress bar of `total` steps, which is hidden if stderr is not a terminal.
pub(crate) fn progress(total: u64, label: &str) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
        .expect("the template is a constant that indicatif can parse");
    ProgressBar::with_draw_target(Some(total), target).with_style(style).with_message(label.to_owned())
}

/// Prints text and a line feed on stdout. The macros of the standard library panic if nobody reads stdout any more.
///
/// # Errors
/// [`Failure::no_reader`] if the reader of stdout has gone away, as in `sealbus trail … | head -1`.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}").map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::no_reader(),
        _ => Failure::new(format!("cannot write to standard output: {error}")),
    })
}

/// Prints a message for a person on stderr. A message that nobody can read does not stop the command.
pub(crate) fn notice(message: impl Display) {
    let _ = writeln!(io::stderr(), "sealbus: {message}");
}

/// Replaces control characters: names may be chosen by an attacker.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }).collect()
}
