//! Dependencies between the modules of a crate. Modules, and folders of modules, must not depend on each other in a cycle:
//! otherwise neither can be read, tested or moved without the other.
//!
//! Sources are read as text, which is enough for paths that begin with `crate`, `super` or `self`. A name that a module
//! re-exports from one of its children counts as the child's. A name that the crate's root re-exports counts as the root's,
//! which every module may use.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::texts::{before_tests, in_name};

/// The path of a module from the crate's root. The root's path is empty.
type Path = Vec<String>;

/// For each module, the modules that it uses.
type Uses = BTreeMap<Path, BTreeSet<Path>>;

/// The modules of a crate and the dependencies between them.
#[derive(Debug)]
pub(crate) struct Modules(Uses);

impl Modules {
    /// Reads the modules out of source files, given as (path below `src`, text). Test modules are ignored.
    pub(crate) fn read(files: &[(&str, &str)]) -> Self {
        let code = production_code(files).into_iter().map(|(file, code)| (module(file), code.replace("self::", "")));
        let sources = Sources(code.collect());
        Self(sources.0.keys().map(|path| (path.clone(), sources.named_by(path))).collect())
    }

    /// Returns each cycle once, as `a → b → a`: first between single modules, then between folders, in each of which all
    /// modules below count as one.
    pub(crate) fn cycles(&self) -> BTreeSet<String> {
        let mut cycles = cycles(&self.0);
        for folder in self.0.keys() {
            cycles.extend(crate::modules::cycles(&self.children_of(folder)));
        }
        cycles
    }

    /// Returns the length of the longest chain of dependencies, counted in modules. Meaningful only without cycles.
    pub(crate) fn levels(&self) -> usize {
        fn level(uses: &Uses, module: &Path, known: &mut BTreeMap<Path, usize>) -> usize {
            if let Some(level) = known.get(module) {
                return *level;
            }
            // A module in a cycle counts once.
            known.insert(module.clone(), 1);
            let below = uses.get(module).into_iter().flatten().map(|next| level(uses, next, known)).max().unwrap_or(0);
            known.insert(module.clone(), below + 1);
            below + 1
        }
        let mut known = BTreeMap::new();
        self.0.keys().map(|module| level(&self.0, module, &mut known)).max().unwrap_or(0)
    }

    /// The direct children of a folder, each with the dependencies of all modules below it on its siblings.
    fn children_of(&self, folder: &Path) -> Uses {
        let child = |path: &Path| {
            (path.len() > folder.len() && path.starts_with(folder)).then(|| path[..=folder.len()].to_vec())
        };
        let mut children = Uses::new();
        for (module, uses) in &self.0 {
            let Some(from) = child(module) else { continue };
            let siblings = uses.iter().filter_map(child).filter(|to| *to != from);
            children.entry(from.clone()).or_default().extend(siblings);
        }
        children
    }
}

/// The shortest cycle through each module that is in one, each cycle once.
fn cycles(uses: &Uses) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut cycles = BTreeSet::new();
    for start in uses.keys() {
        if let Some(cycle) = shortest_cycle(uses, start)
            && seen.insert(cycle.iter().copied().collect::<BTreeSet<_>>())
        {
            let names: Vec<String> = cycle.iter().chain([&cycle[0]]).map(|path| path.join("::")).collect();
            cycles.insert(names.join(" → "));
        }
    }
    cycles
}

/// The modules on the shortest path from a module back to itself, beginning with it.
fn shortest_cycle<'a>(uses: &'a Uses, start: &'a Path) -> Option<Vec<&'a Path>> {
    let mut paths = VecDeque::from([vec![start]]);
    let mut visited = BTreeSet::new();
    while let Some(path) = paths.pop_front() {
        for next in uses.get(*path.last()?)? {
            if next == start {
                return Some(path);
            }
            if visited.insert(next) {
                paths.push_back(path.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}

/// The code of each module, without comments and tests.
struct Sources(BTreeMap<Path, String>);

impl Sources {
    /// The modules that a module uses, except itself and its ancestors.
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

    /// The modules that are used through an imported module name, as in `use crate::a; a::b::c()`; the module itself if there are
    /// none.
    fn named_through(&self, code: &str, module: &Path) -> Vec<Path> {
        let Some(name) = module.last() else { return Vec::new() };
        let through: Vec<Path> = paths(code, name)
            .map(|path| self.follow(module.clone(), path.iter().skip(1).map(String::as_str)).0)
            .collect();
        if through.is_empty() { vec![module.clone()] } else { through }
    }

    /// The module that a sequence of names leads to, and the first name that is not a module.
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

    /// The child that a module re-exports a name from, or the module itself. The root counts as the owner of its re-exports.
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

/// The module that a file below `src` defines.
fn module(file: &str) -> Path {
    let mut names: Path = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    names.pop_if(|last| ["lib", "main", "mod"].contains(&last.as_str()));
    names
}

fn below(module: &[String], name: &str) -> Path {
    [module, &[name.to_owned()]].concat()
}

/// Returns the production code of each file of a crate, given as (path below `src`, text): without comments, and without
/// the modules that are declared under `#[cfg(test)]`. Lines keep their numbers.
pub(crate) fn production_code<'a>(files: &[(&'a str, &str)]) -> Vec<(&'a str, String)> {
    let mut for_tests = BTreeSet::new();
    for (file, text) in files {
        let declared = text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| rest.split_once([';', ' ']));
        for_tests.extend(declared.map(|(name, _)| below(&module(file), name)));
    }
    let is_for_tests = |file: &str| for_tests.iter().any(|test| module(file).starts_with(test));
    let code = files.iter().filter(|(file, _)| !is_for_tests(file)).map(|(file, text)| {
        let lines: Vec<&str> = before_tests(text).filter_map(|(_, line)| line.split("//").next()).collect();
        (*file, lines.join("\n"))
    });
    code.collect()
}

/// All paths in the code that begin with a name. A `use` tree gives one path per leaf.
fn paths<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = Path> + 'a {
    let starts = code.match_indices(name).filter(move |(at, _)| {
        !code[..*at].ends_with(|before| in_name(before) || before == ':') && code[at + name.len()..].starts_with("::")
    });
    starts.flat_map(|(at, _)| tree(&code[at..]).0)
}

/// Returns the paths of the `use` tree at the start of a text, and the rest of the text.
fn tree(text: &str) -> (Vec<Path>, &str) {
    let text = text.trim_start();
    if let Some(mut branches) = text.strip_prefix('{') {
        let mut all = Vec::new();
        loop {
            let (paths, rest) = tree(branches);
            all.extend(paths);
            // Skip a rename: `a as b`.
            let rest = rest.trim_start_matches(|character| character != ',' && character != '}');
            match rest.strip_prefix(',') {
                Some(next) => branches = next,
                None => return (all, rest.strip_prefix('}').unwrap_or(rest)),
            }
        }
    }
    let (name, rest) = text.split_at(text.find(|character| !in_name(character)).unwrap_or(text.len()));
    let Some(rest) = rest.strip_prefix("::") else { return (vec![vec![name.to_owned()]], rest) };
    let (tails, rest) = tree(rest);
    (tails.into_iter().map(|tail| [vec![name.to_owned()], tail].concat()).collect(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles(files: &[(&str, &str)]) -> Vec<String> {
        Modules::read(files).cycles().into_iter().collect()
    }

    #[test]
    fn two_modules_that_use_each_other_are_reported() {
        let topology = ("topology.rs", "use crate::consume::ConsumerSpec;\nuse crate::{Broker, server::Version};");
        let consume = (
            "consume.rs",
            "use crate::message;\nuse crate::{\n    Broker,\n    topology::{EVENTS, refused as no,},\n};",
        );
        let rest =
            [("lib.rs", "mod consume; mod topology;"), ("message.rs", ""), ("server.rs", "use crate::BrokerError;")];
        assert_eq!(cycles(&[&[topology, consume][..], &rest].concat()), ["consume → topology → consume"]);
        assert_eq!(cycles(&[&[("topology.rs", ""), consume][..], &rest].concat()), Vec::<String>::new());
    }

    #[test]
    fn a_re_exported_name_counts_as_the_childs() {
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
        assert_eq!(cycles(&[&files[..], &[of_reader]].concat()), [among_children]);
        let two = [among_children, "error → canonical::refused → error"];
        assert_eq!(cycles(&[&files[..], &[of_refused]].concat()), two);
    }

    #[test]
    fn comments_tests_and_root_re_exports_make_no_cycle() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod testing;\nmod c;"),
            ("a.rs", "use super::B; // crate::c::d\nuse crate::b::B;\n#[cfg(test)]\nmod tests { use crate::c; }"),
            ("b.rs", "/// [`A`](crate::a::A)\nuse crate::Other;"),
            ("c.rs", "use crate::a;"),
            ("testing.rs", "use crate::a;"),
        ];
        assert_eq!(cycles(&files), Vec::<String>::new());
    }

    #[test]
    fn two_folders_that_use_each_other_are_reported_although_no_modules_do() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a/mod.rs", "mod one; mod two;"),
            ("a/one.rs", "use crate::b::low::X;"),
            ("a/two.rs", ""),
            ("b/mod.rs", "mod high; mod low;"),
            ("b/high.rs", "use crate::a::two::Y;"),
            ("b/low.rs", ""),
        ];
        assert_eq!(cycles(&files), ["a → b → a"]);
    }

    #[test]
    fn levels_are_the_longest_chain() {
        let files =
            [("a.rs", "use crate::b::B; use crate::c::C;"), ("b.rs", "use crate::c::C;"), ("c.rs", ""), ("d.rs", "")];
        assert_eq!(Modules::read(&files).levels(), 3);
    }
}
