//! How commands print: a table for a person, JSON for a program, progress on stderr if stderr is a terminal.

use std::fmt::{Display, Write as _};
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
        printable(&event.event_type),
        event.recorded_at.to_string(),
        printable(event.actor.as_deref().unwrap_or_default()),
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

/// Prints text, or JSON, and a line feed on stdout. Characters that could act on a terminal, other than line feeds and tabs, are
/// written as JSON escapes, so that JSON keeps its meaning. The macros of the standard library panic if nobody reads stdout any more.
///
/// # Errors
/// [`Failure::no_reader`] if the reader of stdout has gone away, as in `sealbus trail … | head -1`.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout(), "{}", escaped(&text.to_string())).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::no_reader(),
        _ => Failure::new(format!("cannot write to standard output: {error}")),
    })
}

/// Prints a message for a person on stderr. A message that nobody can read does not stop the command.
pub(crate) fn notice(message: impl Display) {
    let _ = writeln!(io::stderr(), "sealbus: {}", printable(&message.to_string()));
}

/// Replaces the characters that could act on a terminal, line breaks among them. Names, details and errors may contain text that an
/// attacker chose.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if acts(character) { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if acts(character) && !matches!(character, '\n' | '\t') {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Returns whether a character could act on a terminal: a control character, or one that changes the direction of text. None is
/// above U+FFFF.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_acts_on_a_terminal_is_replaced() {
        let printed = printable("a\u{1b}[2J\r\n\t\u{7f}\u{9b}31m\u{202e}b\u{2066}\u{2028}é…日");
        assert_eq!(printed, "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}31m\u{fffd}b\u{fffd}\u{fffd}é…日");
    }

    #[test]
    fn json_is_printed_with_escapes_and_keeps_its_meaning() {
        let value = serde_json::json!({ "plan": "a\u{1b}[2J\n\u{7f}\u{9b}31m\u{202e}é" });
        let printed = escaped(&format!("{value:#}"));
        assert_eq!(printed, "{\n  \"plan\": \"a\\u001b[2J\\n\\u007f\\u009b31m\\u202eé\"\n}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
    }
}
