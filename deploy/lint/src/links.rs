//! Links in documents and comments. Every relative link, every anchor, and every source path that a document names must
//! exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::texts::{Texts, has_ending, numbered};

/// Folders at the root of the repository. A path in a code span that begins with one of them must exist.
const ROOTS: &[&str] = &["libs/", "services/", "migrations/", "docs/", "deploy/", "fuzz/"];

/// Returns a sentence for each link or path that leads nowhere.
pub(crate) fn dead_links(texts: &Texts) -> Vec<String> {
    // All files, and all folders that hold one.
    let places: BTreeSet<&Path> = texts.keys().flat_map(|file| Path::new(file).ancestors()).collect();
    let exists = |path: &str| places.contains(Path::new(path));
    let documents = texts.iter().filter(|(file, _)| has_ending(file, "md"));
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        documents.map(|(file, text)| (file.as_str(), anchors(text))).collect();
    let mut faults = Vec::new();
    // This program's own tests cite documents that do not exist.
    for (file, text) in texts.iter().filter(|(file, _)| !file.starts_with("deploy/lint/src")) {
        let mut fault = |line: usize, what: String| faults.push(format!("{file}:{line}: {what}"));
        let is_document = anchors.contains_key(file.as_str());
        for (line, link) in if is_document { markdown_links(text) } else { cited_documents(text) } {
            let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
            let path = match target {
                "" => file.clone(),
                target if is_document => relative(file, target),
                target => target.to_owned(),
            };
            if !exists(&path) {
                fault(line, format!("link to {link}: no file {path}"));
            } else if let Some(anchor) = anchor
                && anchors.get(path.as_str()).is_some_and(|known| !known.contains(anchor))
            {
                fault(line, format!("link to {link}: {path} has no anchor {anchor}"));
            }
        }
        for (line, path) in named_paths(text).into_iter().filter(|(_, path)| is_document && !exists(path)) {
            fault(line, format!("no file {path}"));
        }
    }
    faults
}

/// Returns the path from the root to which `target` leads from a document.
fn relative(document: &str, target: &str) -> String {
    let mut names: Vec<&str> = document.split('/').collect();
    names.pop();
    for name in target.split('/') {
        match name {
            ".." => drop(names.pop()),
            "" | "." => {}
            name => names.push(name),
        }
    }
    names.join("/")
}

/// Returns the lines outside fenced code blocks, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    numbered(text).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

/// Returns the targets of `[text](target)` that are not on the web.
fn markdown_links(text: &str) -> Vec<(usize, &str)> {
    let parts = prose(text).flat_map(|(line, text)| text.split("](").skip(1).map(move |part| (line, part)));
    let targets = parts.filter_map(|(line, part)| Some((line, part.split_once(')')?.0.split_whitespace().next()?)));
    targets.filter(|(_, target)| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// Returns the documents that a source file cites as `docs/…md` or `docs/…md#anchor`.
fn cited_documents(text: &str) -> Vec<(usize, &str)> {
    let is_separator = |character: char| !character.is_ascii_alphanumeric() && !"/._-#".contains(character);
    let words = numbered(text).flat_map(|(line, text)| text.split(is_separator).map(move |word| (line, word)));
    let links = words.map(|(line, word)| (line, word.trim_end_matches(['.', '#'])));
    links.filter(|(_, link)| link.starts_with("docs/") && link.contains(".md")).collect()
}

/// Returns the paths in code spans that begin with a folder of the repository. A path with a placeholder or wildcard is no
/// path.
fn named_paths(text: &str) -> Vec<(usize, &str)> {
    let spans = prose(text).flat_map(|(line, text)| text.split('`').skip(1).step_by(2).map(move |span| (line, span)));
    let paths = spans.map(|(line, span)| (line, span.split([' ', '#', ':']).next().unwrap_or_default()));
    let literal = paths.filter(|(_, path)| !path.contains(['*', '{', '<', '…', '$', '(']));
    literal.filter(|(_, path)| ROOTS.iter().any(|root| path.starts_with(root))).collect()
}

/// Returns the anchors of a document: explicit ids, and the headings as GitHub names them.
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

/// Returns the anchor of a heading.
fn slug(heading: &str) -> String {
    let text = without_tags(heading);
    let kept = text.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Returns a heading without HTML tags, and with the text of its links only.
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
        dead_links(&files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
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
