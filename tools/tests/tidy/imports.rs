//! Which files of a crate import which, and the circles among them.
//!
//! A file imports another where a path leads to it, in a `use` or anywhere else: `crate::a::b`, `super::b`, `self::b`,
//! or `b::…` for a module of its own. Comments and the tests at the end of a file don't count.

use crate::tree::Source;
use std::collections::{BTreeMap, BTreeSet};

/// A module's name: what leads to it from the crate's root.
type Module = Vec<String>;

/// Which file imports which.
pub fn imports(root: &str, sources: &[&Source]) -> Vec<(String, String)> {
    let modules = by_name(root, sources);
    let mut imports = Vec::new();
    for (name, source) in &modules {
        for target in targets(name, &source.text, &modules) {
            imports.push((source.path.clone(), modules[&target].path.clone()));
        }
    }
    imports
}

fn by_name<'s>(root: &str, sources: &[&'s Source]) -> BTreeMap<Module, &'s Source> {
    sources.iter().map(|source| (module(root, &source.path), *source)).collect()
}

/// The sets of files, sorted, in which each leads to each other one, but for those of one file.
pub fn circles(root: &str, sources: &[&Source]) -> Vec<Vec<String>> {
    let modules = by_name(root, sources);
    let names: Vec<&Module> = modules.keys().collect();
    let edges: Vec<BTreeSet<usize>> = names
        .iter()
        .map(|&name| {
            let targets = targets(name, &modules[name].text, &modules);
            targets.iter().filter_map(|target| names.binary_search(&target).ok()).collect()
        })
        .collect();
    let reach: Vec<BTreeSet<usize>> = (0..names.len()).map(|from| reachable(from, &edges)).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for from in 0..names.len() {
        let circle: Vec<usize> =
            reach[from].iter().copied().filter(|&other| reach[other].contains(&from)).collect();
        if circle.len() > 1 && seen.insert(circle.clone()) {
            let mut paths: Vec<_> = circle.iter().map(|&index| modules[names[index]].path.clone()).collect();
            paths.sort_unstable();
            circles.push(paths);
        }
    }
    circles
}

fn reachable(from: usize, edges: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(at) = next.pop() {
        next.extend(edges[at].iter().copied().filter(|&to| reached.insert(to)));
    }
    reached
}

fn module(root: &str, path: &str) -> Module {
    let inner = path[root.len() + 1..].trim_end_matches(".rs");
    let mut name: Module = inner.split('/').map(str::to_owned).collect();
    if matches!(name.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        name.pop();
    }
    name
}

/// The modules to which paths in a file lead.
fn targets(name: &Module, text: &str, modules: &BTreeMap<Module, &Source>) -> BTreeSet<Module> {
    let tests = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(all(test, "]
        .into_iter()
        .filter_map(|cfg| text.find(cfg))
        .min();
    let text = &text[..tests.unwrap_or(text.len())];
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let (code, mut paths) = (code.join("\n"), Vec::new());
    let mut rest = code.as_str();
    while let Some(at) = use_in(rest) {
        let (before, after) = rest.split_at(at);
        let Some((tree, behind)) = after[USE.len()..].split_once(';') else { break };
        paths_in(before, &mut paths);
        expand(tree.trim(), &mut paths);
        rest = behind;
    }
    paths_in(rest, &mut paths);
    let found = paths.iter().filter_map(|path| resolve(name, path, modules));
    found.filter(|target| target != name).collect()
}

const USE: &str = "use ";

/// Where the next `use` is.
fn use_in(code: &str) -> Option<usize> {
    let is_word = |at: usize| code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    code.match_indices(USE).map(|(at, _)| at).find(|&at| !is_word(at))
}

/// The paths of a `use` with braces.
fn expand(tree: &str, paths: &mut Vec<String>) {
    let Some((before, inner)) = tree.split_once('{') else {
        return paths.push(tree.split(" as ").next().unwrap_or_default().trim().to_owned());
    };
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&format!("{before}{}", inner[start..at].trim()), paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        expand(&format!("{before}{}", inner[start..].trim()), paths);
    }
}

/// The paths in other code.
fn paths_in(code: &str, paths: &mut Vec<String>) {
    let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let words = code.split(|letter| !is_path(letter));
    paths.extend(words.filter(|word| word.contains("::")).map(str::to_owned));
}

/// The module to which a path leads from another one: the longest beginning that is one.
fn resolve(from: &Module, path: &str, modules: &BTreeMap<Module, &Source>) -> Option<Module> {
    let mut parts: Vec<&str> = path.split("::").map(str::trim).filter(|part| !part.is_empty()).collect();
    let mut base = from.clone();
    match *parts.first()? {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while parts.first() == Some(&"super") {
                base.pop();
                parts.remove(0);
            }
            parts.insert(0, "super");
        }
        child => {
            base.push(child.to_owned());
            return modules.contains_key(&base).then(|| longest(from.clone(), &parts, modules)).flatten();
        }
    }
    longest(base, &parts[1..], modules)
}

fn longest(mut base: Module, parts: &[&str], modules: &BTreeMap<Module, &Source>) -> Option<Module> {
    let depth = base.len();
    base.extend(parts.iter().map(|part| (*part).to_owned()));
    while base.len() > depth && !modules.contains_key(&base) {
        base.pop();
    }
    modules.contains_key(&base).then_some(base)
}

#[test]
fn circles_are_found_through_uses_and_paths() {
    let source = |path: &str, text: &str| Source { path: format!("x/src/{path}"), text: text.to_owned() };
    let sources = [
        source("lib.rs", "pub mod a;\npub mod b;\npub mod lone;"),
        source("a/mod.rs", "mod inner;\nuse crate::b::{Thing, other::{self, More}};"),
        source("a/inner.rs", "use std::io;\nuse super::super::lone::Alone; // super::super::b"),
        source(
            "b.rs",
            "fn f() { crate::a::inner::g(); }\n#[cfg(test)]\nmod tests {\n    use crate::lone::X;\n}",
        ),
        source("lone.rs", "use super::a::Name as Other;"),
    ];
    let sources: Vec<_> = sources.iter().collect();
    let expected = ["x/src/a/inner.rs", "x/src/a/mod.rs", "x/src/b.rs", "x/src/lone.rs"];
    assert_eq!(circles("x/src", &sources), [expected]);
}
