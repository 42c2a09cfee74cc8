//! Words that the project no longer uses, since they were private to it. Each line of `retired_words.txt` is such a word or
//! phrase and, after a colon, the field's term.

use crate::texts::{Texts, numbered};

const LIST: &str = include_str!("retired_words.txt");

/// Returns a sentence for each place where a retired word or phrase is used.
pub(crate) fn retired(texts: &Texts) -> Vec<String> {
    let retired: Vec<(Vec<&str>, &str)> = LIST
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(phrase, instead)| (phrase.split_whitespace().collect(), instead.trim()))
        .collect();
    let mut faults = Vec::new();
    for (file, text) in texts {
        for (number, line) in numbered(text) {
            let line = line.to_lowercase();
            // A single word is found in names too; a phrase only where blanks separate its words, not in `put(off)`.
            let words: Vec<&str> = split(&line, |character| !character.is_alphabetic());
            let spaced: Vec<&str> = split(&line, |character| !character.is_alphabetic() && !"._()".contains(character));
            for (phrase, instead) in &retired {
                let words = if phrase.len() == 1 { &words } else { &spaced };
                if words.windows(phrase.len()).any(|window| window == phrase) {
                    faults.push(format!("{file}:{number}: \"{}\"; use {instead}", phrase.join(" ")));
                }
            }
        }
    }
    faults
}

fn split(text: &str, is_separator: impl Fn(char) -> bool) -> Vec<&str> {
    text.split(is_separator).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retired_word_is_reported_wherever_it_stands_alone() {
        let text = "// Reads elders.\nlet elder_rows = 1; // Shoulders\nlet x = \"It BEGINS ANEW\";\n";
        let faults = retired(&Texts::from([("a.rs".to_owned(), text.to_owned())]));
        let places: Vec<&str> = faults.iter().map(|fault| fault.split('"').next().unwrap_or_default()).collect();
        assert_eq!(places, ["a.rs:1: ", "a.rs:2: ", "a.rs:3: "], "{faults:?}");
    }

    #[test]
    fn a_phrase_is_reported_in_prose_and_not_in_code() {
        let text = "// It is put off again.\nx.put(off());\n";
        assert_eq!(retired(&Texts::from([("a.rs".to_owned(), text.to_owned())])).len(), 1);
    }

    #[test]
    fn every_line_of_the_list_names_a_replacement() {
        for line in LIST.lines() {
            let (phrase, instead) = line.split_once(':').unwrap_or_default();
            assert!(!phrase.trim().is_empty() && !instead.trim().is_empty(), "{line:?}");
        }
    }
}
