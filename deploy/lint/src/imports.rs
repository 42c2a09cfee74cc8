//! The style of imports: three blocks (standard library, other crates, this crate) separated by blank lines, and one `use`
//! per module without nested braces. Stable rustfmt keeps this style but does not enforce it.

use crate::texts::{Texts, numbered, rust_files};

/// A `use` item at the top level of a file.
struct Import {
    line: usize,
    text: String,
    /// Whether a blank line comes before it.
    after_blank: bool,
}

impl Import {
    /// 0 for the standard library, 1 for other crates, 2 for this crate.
    fn block(&self) -> usize {
        let path = self.text.split_once("use ").map_or("", |(_, path)| path);
        match path.split([':', ';']).next().unwrap_or_default() {
            "std" | "core" | "alloc" => 0,
            "crate" | "self" | "super" => 2,
            _ => 1,
        }
    }

    /// Visibility and module. Two imports of the same key belong together.
    fn key(&self) -> &str {
        self.text.rfind("::").map_or(&self.text, |end| {
            let start = self.text.find('{').map_or(end, |brace| brace.saturating_sub(2));
            &self.text[..start]
        })
    }
}

/// Returns a sentence for each import that is out of place.
pub(crate) fn misplaced(texts: &Texts) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, text) in rust_files(texts) {
        let mut fault = |line: usize, what: &str| faults.push(format!("{file}:{line}: {what}"));
        for group in groups(text) {
            for import in group.iter().filter(|import| import.text.matches('{').count() > 1) {
                fault(import.line, "nested braces in an import; write one `use` per module");
            }
            for pair in group.windows(2) {
                let (first, second) = (&pair[0], &pair[1]);
                if first.block() > second.block() {
                    fault(second.line, "imports are ordered: standard library, other crates, this crate");
                } else if (first.block() != second.block()) != second.after_blank {
                    fault(second.line, "a blank line separates the three blocks of imports, and nothing else");
                } else if first.key() == second.key() && first.text.contains("::") {
                    fault(second.line, "two imports of one module; write one `use` per module");
                }
            }
        }
    }
    faults
}

/// Returns the runs of `use` items with nothing but blank lines between them.
fn groups(text: &str) -> Vec<Vec<Import>> {
    let mut groups = Vec::new();
    let mut group = Vec::new();
    let mut after_blank = false;
    let mut lines = numbered(text);
    while let Some((line, start)) = lines.next() {
        if start.starts_with("use ") || start.starts_with("pub") && start.contains(" use ") && !start.contains(" fn ") {
            let mut text = start.to_owned();
            while !text.ends_with(';') {
                let Some((_, next)) = lines.next() else { break };
                text.push_str(next.trim());
            }
            group.push(Import { line, text, after_blank });
        } else if !start.is_empty() {
            groups.push(std::mem::take(&mut group));
        }
        after_blank = start.is_empty();
    }
    groups.push(group);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        misplaced(&Texts::from([("a.rs".to_owned(), text.to_owned())]))
    }

    #[test]
    fn three_blocks_pass() {
        let text = "//! Doc.\n\nmod x;\n\nuse std::fmt;\nuse std::io::{self, Read};\n\nuse serde::Serialize;\n\nuse crate::x::Y;\npub use self::x::Z;\n\nfn main() {}\n";
        assert_eq!(faults(text), Vec::<String>::new());
    }

    #[test]
    fn order_blank_lines_and_trees_are_checked() {
        for (text, line) in [
            ("use crate::a;\n\nuse std::fmt;\n", 3),
            ("use std::fmt;\nuse serde::Serialize;\n", 2),
            ("use std::fmt;\n\nuse std::io;\n", 3),
            ("use a::{b, c::{d, e}};\n", 1),
            ("use a::b::{C, D};\nuse a::b::E;\n", 2),
            ("use a::{\n    b,\n    c::{d},\n};\n", 1),
        ] {
            let faults = faults(text);
            assert!(faults.len() == 1 && faults[0].starts_with(&format!("a.rs:{line}: ")), "{text:?}: {faults:?}");
        }
    }
}
