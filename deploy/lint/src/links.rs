//! Links in documents and comments. Every relative link, every anchor, and every source path that a document names must
//! exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Folders at the root of the repository. A path in a code span that begins with one of them must exist.
const ROOTS: &[&str] = &["libs/", "services/", "migrations/", "docs/", "deploy/", "fuzz/"];

/// The text files of the repository by their path from its root.
#[derive(Debug, Default)]
pub(crate) struct Texts(pub BTreeMap<PathBuf, String>);

impl Texts {
    /// Returns a sentence for each link or path that leads nowhere.
    pub(crate) fn dead_links(&self) -> Vec<String> {
        let anchors: BTreeMap<&Path, BTreeSet<String>> =
            self.documents().map(|(file, text)| (file, anchors(text))).collect();
        let mut faults = Vec::new();
        // This program's own tests cite documents that do not exist.
        for (file, text) in self.0.iter().filter(|(file, _)| !file.starts_with("deploy/lint/src")) {
            let is_document = is_document(file);
            let links = if is_document { markdown_links(text) } else { cited_documents(text) };
            for (line, link) in links {
                if let Err(fault) = self.resolve(file, &link, is_document, &anchors) {
                    faults.push(format!("{}:{line}: {fault}", file.display()));
                }
            }
            if is_document {
                let missing = named_paths(text).into_iter().filter(|(_, path)| !self.exists(Path::new(path)));
                faults.extend(missing.map(|(line, path)| format!("{}:{line}: no file {path}", file.display())));
            }
        }
        faults
    }

    fn documents(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.iter().filter(|(file, _)| is_document(file)).map(|(file, text)| (file.as_path(), text.as_str()))
    }

    /// Whether a file, or a folder that holds one, exists.
    fn exists(&self, path: &Path) -> bool {
        self.0.range(path.to_path_buf()..).next().is_some_and(|(file, _)| file.starts_with(path))
    }

    /// Checks a link. In a document it is relative to the document, in other files to the root.
    fn resolve(
        &self,
        file: &Path,
        link: &str,
        is_document: bool,
        anchors: &BTreeMap<&Path, BTreeSet<String>>,
    ) -> Result<(), String> {
        let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
        let path = match (target, is_document) {
            ("", _) => file.to_path_buf(),
            (target, true) => normal(&file.parent().unwrap_or(Path::new("")).join(target)),
            (target, false) => PathBuf::from(target),
        };
        if !self.exists(&path) {
            return Err(format!("link to {link}: no file {}", path.display()));
        }
        match (anchor, anchors.get(path.as_path())) {
            (Some(anchor), Some(known)) if !known.contains(anchor) => {
                Err(format!("link to {link}: {} has no anchor {anchor}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn is_document(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "md")
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// Lines outside fenced code blocks, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

/// The targets of `[text](target)` that are not on the web.
fn markdown_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (line, text) in prose(text) {
        for part in text.split("](").skip(1) {
            let Some((target, _)) = part.split_once(')') else { continue };
            let target = target.split_whitespace().next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") && !target.is_empty() {
                links.push((line, target.to_owned()));
            }
        }
    }
    links
}

/// The documents that a source file cites as `docs/…md` or `docs/…md#anchor`.
fn cited_documents(text: &str) -> Vec<(usize, String)> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "/._-#".contains(character);
    let mut links = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (start, _) in line.match_indices("docs/") {
            if line[..start].ends_with(is_part) {
                continue;
            }
            let rest = &line[start..];
            let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
            let link = rest[..end].trim_end_matches(['.', '#']);
            if link.contains(".md") {
                links.push((index + 1, link.to_owned()));
            }
        }
    }
    links
}

/// The paths in code spans that begin with a folder of the repository. A path with a placeholder or wildcard is no path.
fn named_paths(text: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for (line, text) in prose(text) {
        for span in text.split('`').skip(1).step_by(2) {
            let path = span.split([' ', '#', ':']).next().unwrap_or_default();
            let literal = !path.contains(['*', '{', '<', '…', '$', '(']);
            if ROOTS.iter().any(|root| path.starts_with(root)) && literal {
                paths.push((line, path.trim_end_matches('/').to_owned()));
            }
        }
    }
    paths
}

/// The anchors of a document: explicit ids, and the headings as GitHub names them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut headings: BTreeMap<String, usize> = BTreeMap::new();
    for (_, line) in prose(text) {
        for part in line.split("id=\"").skip(1) {
            anchors.extend(part.split_once('"').map(|(id, _)| id.to_owned()));
        }
        if line.starts_with('#') {
            let slug = slug(line.trim_start_matches('#'));
            let count = headings.entry(slug.clone()).or_default();
            anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
            *count += 1;
        }
    }
    anchors
}

/// The anchor of a heading.
fn slug(heading: &str) -> String {
    let text = without_tags(heading);
    let kept = text.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// A heading without HTML tags, and with the text of its links only.
fn without_tags(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['<', ']']) {
        out.push_str(&rest[..start]);
        let closing = if rest[start..].starts_with('<') { '>' } else { ')' };
        let is_markup = closing == '>' || rest[start + 1..].starts_with('(');
        let end = rest[start..].find(closing).filter(|_| is_markup);
        rest = &rest[end.map_or(start + 1, |end| start + end + 1)..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let texts = files.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect();
        Texts(texts).dead_links()
    }

    #[test]
    fn links_and_anchors_that_exist_pass() {
        let page = "# Title\n\n## How it works, in short\n<a id=\"consume-7\"></a>7. Rule\n## `sealbus dev`\n";
        let files = [
            ("docs/spec/protocol.md", page),
            (
                "docs/README.md",
                "[a](spec/protocol.md#consume-7) [b](spec/protocol.md#how-it-works-in-short) [c](#d)\n# D",
            ),
            ("docs/x.md", "[up](../README.md) `libs/core` `libs/{a,b}.rs` [dev](spec/protocol.md#sealbus-dev)"),
            ("README.md", "[web](https://example.org/none) ```\n"),
            ("libs/core/src/lib.rs", "//! (docs/spec/protocol.md#consume-7)."),
        ];
        assert_eq!(faults(&files), Vec::<String>::new());
    }

    #[test]
    fn a_missing_file_anchor_or_path_is_reported_with_its_place() {
        let files = [
            ("docs/a.md", "# A\n[x](b.md)\n[y](a.md#none) `libs/none.rs`\n```\n[in code](none.md)\n```\n"),
            ("libs/core/src/lib.rs", "\n// docs/a.md#gone and docs/gone.md#x, not mydocs/z.md"),
        ];
        let expected = [
            "docs/a.md:2: link to b.md: no file docs/b.md",
            "docs/a.md:3: link to a.md#none: docs/a.md has no anchor none",
            "docs/a.md:3: no file libs/none.rs",
            "libs/core/src/lib.rs:2: link to docs/a.md#gone: docs/a.md has no anchor gone",
            "libs/core/src/lib.rs:2: link to docs/gone.md#x: no file docs/gone.md",
        ];
        assert_eq!(faults(&files), expected);
    }
}
