//! The text files of the repository, and what the checks need to read code in them.

use std::collections::BTreeMap;
use std::path::Path;

/// The text files of the repository by their path from its root.
pub(crate) type Texts = BTreeMap<String, String>;

/// Returns whether the name of a file ends in a dot and `ending`.
pub(crate) fn has_ending(file: &str, ending: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == ending)
}

/// Returns the path and the text of each Rust file.
pub(crate) fn rust_files(texts: &Texts) -> impl Iterator<Item = (&str, &str)> {
    texts.iter().filter(|(file, _)| has_ending(file, "rs")).map(|(file, text)| (file.as_str(), text.as_str()))
}

/// Returns the lines of a text with their numbers from 1.
pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// Returns the lines of a Rust file before its test module, with their numbers from 1.
pub(crate) fn before_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    numbered(text).take_while(|(_, line)| *line != "#[cfg(test)]")
}

/// Returns whether a character can be part of a name in Rust.
pub(crate) fn in_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Returns whether a line has `word`, and not only as a part of a longer name. A word that ends in `::` may be followed by any name.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        !before.ends_with(in_name) && (word.ends_with("::") || !after.starts_with(in_name))
    })
}
