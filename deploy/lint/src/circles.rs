//! Which module of a crate names which: two that name each other, directly or over others, cannot be read apart.
//!
//! Sources are read as text, which is enough for paths that begin with `crate` or `super`. What a module re-exports of
//! its children counts as theirs. What the crate's root re-exports is its face, which everybody may name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A module by the names that lead to it from the crate's root, which has none.
type Path = Vec<String>;

/// A crate's modules, each with the modules that it names.
#[derive(Debug)]
pub(crate) struct Modules(BTreeMap<Path, BTreeSet<Path>>);

impl Modules {
    /// Reads them out of source files, each by its path under `src`. What is for tests alone may look anywhere.
    pub(crate) fn read(files: &[(String, String)]) -> Self {
        let for_tests: BTreeSet<Path> =
            files.iter().flat_map(|(file, text)| test_modules(text).map(|name| below(&module(file), name))).collect();
        let code = files.iter().map(|(file, text)| (module(file), code(text)));
        let sources = Sources(code.filter(|(path, _)| !for_tests.contains(path)).collect());
        Self(sources.0.keys().map(|path| (path.clone(), sources.named_by(path))).collect())
    }

    /// The shortest circle through each module that is in one, each circle once.
    pub(crate) fn circles(&self) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut circles = BTreeSet::new();
        for start in self.0.keys() {
            if let Some(circle) = self.way_back(start)
                && seen.insert(circle.iter().copied().collect::<BTreeSet<_>>())
            {
                let names: Vec<String> = circle.iter().chain([&circle[0]]).map(|path| path.join("::")).collect();
                circles.insert(names.join(" → "));
            }
        }
        circles
    }

    /// The modules on the shortest way from a module back to itself, beginning with it.
    fn way_back<'a>(&'a self, start: &'a Path) -> Option<Vec<&'a Path>> {
        let mut ways = VecDeque::from([vec![start]]);
        let mut visited = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            for next in self.0.get(*way.last()?)? {
                if next == start {
                    return Some(way);
                }
                if visited.insert(next) {
                    ways.push_back(way.iter().copied().chain([next]).collect());
                }
            }
        }
        None
    }
}

/// The code of each module.
struct Sources(BTreeMap<Path, String>);

impl Sources {
    /// The modules that a module names, but for itself and those that it lies in.
    fn named_by(&self, module: &Path) -> BTreeSet<Path> {
        let code = &self.0[module];
        let mut all = BTreeSet::new();
        for path in paths(code, "crate").chain(paths(code, "super")) {
            let mut names = path.iter().map(String::as_str).peekable();
            let mut base = if names.next_if_eq(&"crate").is_some() { Path::new() } else { module.clone() };
            while names.next_if_eq(&"super").is_some() {
                base.pop();
            }
            match self.follow(base, names) {
                (found, None) => all.extend(self.named_through(code, &found)),
                (found, Some(_)) => drop(all.insert(found)),
            }
        }
        all.retain(|other| !module.starts_with(other));
        all
    }

    /// What is named by the name of a module that was taken in as a whole; the module itself, where that is nothing.
    fn named_through(&self, code: &str, module: &Path) -> Vec<Path> {
        let Some(name) = module.last() else { return Vec::new() };
        let through: Vec<Path> = paths(code, name)
            .map(|path| self.follow(module.clone(), path.iter().skip(1).map(String::as_str)).0)
            .collect();
        if through.is_empty() { vec![module.clone()] } else { through }
    }

    /// The module that the names lead to, and the first name in it, if there is one.
    fn follow<'a>(&self, mut module: Path, names: impl Iterator<Item = &'a str>) -> (Path, Option<&'a str>) {
        for name in names.filter(|name| *name != "self") {
            let next = below(&module, name);
            if self.0.contains_key(&next) {
                module = next;
            } else {
                return (self.home(module, name), Some(name));
            }
        }
        (module, None)
    }

    /// The child that a module has a name from, or the module itself. The root keeps its names.
    fn home(&self, module: Path, name: &str) -> Path {
        let children = self.0.keys().filter(|path| path.split_last().is_some_and(|(_, above)| above == module));
        let re_exports = |child: &&Path| {
            let mut paths = self.0.get(&module).into_iter().flat_map(|code| paths(code, &child[module.len()]));
            paths.any(|path| path.last().is_some_and(|last| last == name))
        };
        let home = children.filter(|_| !module.is_empty()).find(re_exports).cloned();
        home.unwrap_or(module)
    }
}

/// The module that a file under `src` holds.
fn module(file: &str) -> Path {
    let mut names: Path = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    names.pop_if(|last| ["lib", "main", "mod"].contains(&last.as_str()));
    names
}

fn below(module: &[String], name: &str) -> Path {
    [module, &[name.to_owned()]].concat()
}

/// The text without comments, up to its tests.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
    let lines = lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    lines.replace("self::", "")
}

/// The modules that are declared for tests alone.
fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    let declared = text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| rest.split_once([';', ' ']));
    declared.map(|(name, _)| name)
}

/// Every path in the code that begins with a name, those of a tree one by one.
fn paths<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = Path> + 'a {
    let starts = code.match_indices(name).filter(move |(at, _)| {
        let inside = |before: char| before.is_alphanumeric() || matches!(before, '_' | ':');
        !code[..*at].ends_with(inside) && code[at + name.len()..].starts_with("::")
    });
    starts.flat_map(|(at, _)| tree(&code[at..]).0)
}

/// The paths of the tree at the front of a text, and what follows it.
fn tree(text: &str) -> (Vec<Path>, &str) {
    let text = text.trim_start();
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(rest) = rest.strip_prefix("::") else { return (vec![vec![name.to_owned()]], rest) };
    let (tails, rest) = match rest.trim_start().strip_prefix('{') {
        Some(branches) => branches_of(branches),
        None => tree(rest),
    };
    (tails.into_iter().map(|tail| [vec![name.to_owned()], tail].concat()).collect(), rest)
}

/// The paths of the trees between braces, and what follows the closing one.
fn branches_of(mut text: &str) -> (Vec<Path>, &str) {
    let mut all = Vec::new();
    loop {
        let (paths, rest) = tree(text);
        all.extend(paths);
        // Another name may stand in between: `a as b`.
        let rest = rest.trim_start_matches(|character| character != ',' && character != '}');
        match rest.strip_prefix(',') {
            Some(next) => text = next,
            None => return (all, rest.strip_prefix('}').unwrap_or(rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        Modules::read(&files).circles().into_iter().collect()
    }

    #[test]
    fn two_modules_that_name_each_other_are_found() {
        let topology = ("topology.rs", "use crate::consume::ConsumerSpec;\nuse crate::{Broker, server::Version};");
        let consume = (
            "consume.rs",
            "use crate::message;\nuse crate::{\n    Broker,\n    topology::{EVENTS, refused as no,},\n};",
        );
        let rest =
            [("lib.rs", "mod consume; mod topology;"), ("message.rs", ""), ("server.rs", "use crate::BrokerError;")];
        assert_eq!(circles(&[&[topology, consume][..], &rest].concat()), ["consume → topology → consume"]);
        assert_eq!(circles(&[&[("topology.rs", ""), consume][..], &rest].concat()), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_a_module_has_from_its_child_is_the_childs() {
        let refused = ("canonical/refused.rs", "use super::limits; use crate::error::ErrorKind;");
        let files = [
            ("canonical.rs", "mod refused; mod reader;\npub use refused::{Refusal, Refused};\npub use reader::read;"),
            refused,
            ("canonical/limits.rs", "fn f() { super::refused::g() }"),
            ("canonical/reader.rs", ""),
        ];
        let of_reader = ("error.rs", "use crate::canonical::read;");
        let of_refused = ("error.rs", "use crate::canonical;\nimpl From<canonical::Refusal> for ErrorKind {}");
        let among_children = "canonical::limits → canonical::refused → canonical::limits";
        assert_eq!(circles(&[&files[..], &[of_reader]].concat()), [among_children]);
        let two = [among_children, "error → canonical::refused → error"];
        assert_eq!(circles(&[&files[..], &[of_refused]].concat()), two);
    }

    #[test]
    fn comments_tests_and_what_a_parent_re_exports_make_no_circle() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod testing;\nmod c;"),
            ("a.rs", "use super::B; // crate::c::d\nuse crate::b::B;\n#[cfg(test)]\nmod tests { use crate::c; }"),
            ("b.rs", "/// [`A`](crate::a::A)\nuse crate::Other;"),
            ("c.rs", "use crate::a;"),
            ("testing.rs", "use crate::a;"),
        ];
        assert_eq!(circles(&files), Vec::<String>::new());
    }
}
