//! Who imports whom, as `syn` parses it: the levels of `src/lib.rs`, and no circle between files.
//!
//! An import is a path that begins with `crate`, `super`, `self` or a child, anywhere in the code: in `use`, in types, in calls, in
//! macros. It leads to the file that declares the name: what a `mod.rs` re-exports leads through it. Unit tests do not count.

use crate::architecture::{File, row_of, sources};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};
use syn::visit::Visit;

/// Folders with a circle that is known, each with its reason.
const CIRCLES: &[(&str, &str)] = &[
    ("src/cedar/", "the check of a text, its lexer and the advice about it call each other"),
    ("src/federation/", "presets say how key sets are found, and key sets know the presets"),
    ("src/policy/", "shards are loaded by the verbs that they serve"),
    ("src/web/", "the table of routes has the row of the document that is rendered from it"),
    ("src/vault/provider/", "a provider's file is in the table of mod.rs and implements what stands beside it"),
];

/// The paths that a file names, and those that it re-exports, by name.
#[derive(Default)]
struct Paths {
    named: Vec<Vec<String>>,
    exported: BTreeMap<String, Vec<String>>,
}

impl Paths {
    fn flatten(&mut self, tree: &syn::UseTree, prefix: &[String], exported: bool) {
        let with = |name: String| [prefix, &[name]].concat();
        match tree {
            syn::UseTree::Path(path) => self.flatten(&path.tree, &with(path.ident.to_string()), exported),
            syn::UseTree::Group(group) => group.items.iter().for_each(|one| self.flatten(one, prefix, exported)),
            syn::UseTree::Glob(_) => self.named.push(prefix.to_vec()),
            syn::UseTree::Name(name) => self.add(with(name.ident.to_string()), name.ident.to_string(), exported),
            syn::UseTree::Rename(rename) => {
                self.add(with(rename.ident.to_string()), rename.rename.to_string(), exported)
            }
        }
    }

    fn add(&mut self, path: Vec<String>, name: String, exported: bool) {
        match exported {
            true => drop(self.exported.insert(name, path)),
            false => self.named.push(path),
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string() == "test")
    })
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.flatten(&item.tree, &[], !matches!(item.vis, syn::Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.named.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        syn::visit::visit_macro(self, call);
        let tokens = call.tokens.to_string();
        let words: Vec<&str> = tokens.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).collect();
        let text = words.join(" ").replace(" :: ", "::");
        for path in text.split_whitespace().filter(|word| word.contains("::")) {
            self.named.push(path.split("::").map(str::to_owned).collect());
        }
    }
}

/// The files with what each of them imports.
struct Graph {
    /// By module path.
    files: BTreeMap<Vec<String>, String>,
    paths: BTreeMap<Vec<String>, Arc<Paths>>,
}

/// By text: a file is parsed once, whichever rule asks.
static PARSED: LazyLock<Mutex<HashMap<String, Arc<Paths>>>> = LazyLock::new(Mutex::default);

fn paths_of(file: &File) -> Arc<Paths> {
    if let Some(paths) = PARSED.lock().unwrap().get(&file.text) {
        return paths.clone();
    }
    let parsed = syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut found = Paths::default();
    found.visit_file(&parsed);
    PARSED.lock().unwrap().entry(file.text.clone()).or_insert(Arc::new(found)).clone()
}

fn module_path(path: &str) -> Option<Vec<String>> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if parts.first().is_some_and(|first| first == "bin") {
        return None;
    }
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    Some(parts)
}

impl Graph {
    fn of(sources: &[File]) -> Self {
        let (mut files, mut paths) = (BTreeMap::new(), BTreeMap::new());
        for file in sources {
            let Some(module) = module_path(&file.path) else { continue };
            files.insert(module.clone(), file.path.clone());
            paths.insert(module, paths_of(file));
        }
        Self { files, paths }
    }

    /// The module path that a path in `module` means, if it is one of the crate.
    fn resolve(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut base = module.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|first| first == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            child => {
                base.push(child.to_owned());
                if !self.files.contains_key(&base) {
                    return None;
                }
                rest = &rest[1..];
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// The module whose file declares what the path names: re-exports are followed.
    fn target(&self, path: &[String], steps: usize) -> Option<Vec<String>> {
        let known = (0..=path.len()).rev().map(|n| &path[..n]).find(|prefix| self.files.contains_key(*prefix))?;
        let exported = path.get(known.len()).and_then(|name| self.paths[known].exported.get(name));
        match exported.filter(|_| steps > 0).and_then(|path| self.resolve(known, path)) {
            Some(further) if further != path => self.target(&further, steps - 1),
            _ => Some(known.to_vec()),
        }
    }

    /// Which file imports which.
    fn edges(&self) -> BTreeSet<(Vec<String>, Vec<String>)> {
        let mut edges = BTreeSet::new();
        for (module, paths) in &self.paths {
            for path in &paths.named {
                if let Some(target) = self.resolve(module, path).and_then(|path| self.target(&path, 5))
                    && target != *module
                    && !target.is_empty()
                {
                    edges.insert((module.clone(), target));
                }
            }
        }
        edges
    }
}

fn upward(sources: &[File]) -> Vec<String> {
    let graph = Graph::of(sources);
    let unknown = graph.files.iter().filter(|(module, _)| module.first().is_some_and(|top| row_of(top).is_none()));
    let mut complaints: Vec<String> = unknown.map(|(_, path)| format!("{path} is not in the table")).collect();
    for (from, to) in graph.edges() {
        let (Some(own), Some(other)) = (from.first(), to.first()) else { continue };
        if own != other && row_of(other) >= row_of(own) {
            complaints.push(format!("{}: `{own}` may not import `{}`", graph.files[&from], to.join("::")));
        }
    }
    complaints
}

fn circles(sources: &[File]) -> Vec<String> {
    let graph = Graph::of(sources);
    let edges = graph.edges();
    let mut imports: BTreeMap<&Vec<String>, Vec<&Vec<String>>> = BTreeMap::new();
    edges.iter().for_each(|(from, to)| imports.entry(from).or_default().push(to));
    let reaches = |from: &Vec<String>, to: &Vec<String>| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for further in imports.get(module).into_iter().flatten().copied() {
                if further == to {
                    return true;
                }
                if seen.insert(further) {
                    next.push(further);
                }
            }
        }
        false
    };
    let back = edges.iter().filter(|(from, to)| reaches(to, from));
    back.map(|(from, to)| format!("{} imports {}, and that leads back", graph.files[from], graph.files[to])).collect()
}

fn samples(files: &[(&str, &str)]) -> Vec<File> {
    files.iter().map(|(path, text)| File::sample(path, text)).collect()
}

#[test]
fn nothing_imports_upward() {
    assert_eq!(upward(&sources()), Vec::<String>::new());
    for (path, text) in [
        ("src/store/x.rs", "use crate::web::Call;"),
        ("src/crypto/x.rs", "use crate::error::Fault;"),
        ("src/audit/x.rs", "fn f() { crate::keys::all() }"),
        ("src/audit/x.rs", "fn f() { vec![crate::keys::all()] }"),
        ("src/keys.rs", "use crate::{error::Result, authn};"),
        ("src/tokens/verify.rs", "use crate::{context::{Cx, Peer}, grants};"),
        ("src/model/x.rs", "pub(in crate::store) fn f() {}"),
        ("src/model/x.rs", "use super::super::store;"),
        ("src/unheard_of.rs", "//! A module that the table does not know."),
    ] {
        let mut files = sources();
        files.retain(|file| file.path != path);
        files.push(File::sample(path, text));
        assert!(!upward(&files).is_empty(), "the rule misses {path}: {text}");
    }
    let tests = samples(&[("src/model/x.rs", "#[cfg(test)]\nmod tests { use crate::store; }"), ("src/store.rs", "")]);
    assert_eq!(upward(&tests), Vec::<String>::new());
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut found = circles(&sources());
    found.retain(|circle| !CIRCLES.iter().any(|(folder, _)| circle.matches(folder).count() == 2));
    assert_eq!(found, Vec::<String>::new());
    for files in [
        &[
            ("src/a/x.rs", "use super::y;"),
            ("src/a/y.rs", "fn f() { super::x::g() }"),
            ("src/a/mod.rs", "mod x; mod y;"),
        ][..],
        &[("src/a/x.rs", "use super::own;"), ("src/a/mod.rs", "mod x; use x::f; fn own() {}")],
        &[
            ("src/a/x.rs", "use super::F;"),
            ("src/a/y.rs", "use crate::a::G; pub struct F;"),
            ("src/a/mod.rs", "mod x; mod y; pub use y::F; pub use x::G;"),
        ],
    ] {
        assert!(!circles(&samples(files)).is_empty(), "the rule misses {files:?}");
    }
    let sound = [
        ("src/a/x.rs", "use super::F;"),
        ("src/a/y.rs", "pub struct F;"),
        ("src/a/mod.rs", "mod x; mod y; pub use y::F; pub use x::G;"),
    ];
    assert_eq!(circles(&samples(&sound)), Vec::<String>::new());
}
