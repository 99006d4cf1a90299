//! Finds the file that defines what a path names, through imports, re-exports and globs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{module::Space, tree::Tree};

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(usize),
    /// Defined in this module; `None` when a macro must have made it, which cannot be seen.
    Item(usize, Option<Space>),
}

/// Names being looked up, so that re-exports that lead to each other end: where, which, whether last.
type Visited = BTreeSet<(usize, String, bool)>;

/// Imports between files: from, to, and the names that make each.
pub type Edges = BTreeMap<(PathBuf, PathBuf), BTreeSet<String>>;

/// Whether a file is of a module below the one that `parent` defines.
fn is_below(file: &Path, parent: &Path) -> bool {
    let roots = ["mod.rs", "lib.rs", "main.rs"];
    let is_root = parent
        .file_name()
        .is_some_and(|name| roots.iter().any(|root| name == *root));
    let folder = if is_root {
        parent.parent().unwrap_or(parent).to_owned()
    } else {
        parent.with_extension("")
    };
    file.starts_with(folder)
}

impl Tree {
    /// Adds every import between two files of this crate. A re-export is none by itself, and neither is what a
    /// module takes from its own children: it is made of them.
    pub fn edges(&self, edges: &mut Edges) {
        for (id, module) in self.modules.iter().enumerate() {
            let imports = module.imports.iter().filter(|import| !import.public);
            let imports = imports.map(|import| (&import.path, false));
            let mentions = module.mentions.iter();
            let mentions = mentions.map(|mention| (&mention.path, mention.calls_macro));
            for (path, calls_macro) in imports.chain(mentions) {
                for target in self.named(id, path, calls_macro) {
                    let file = &self.modules[target].file;
                    if *file != module.file && !is_below(file, &module.file) {
                        let names = edges.entry((module.file.clone(), file.clone()));
                        names.or_default().insert(self.item_name(target, path));
                    }
                }
            }
        }
    }

    /// Which part of a path is the item's name: a method or a variant may follow it.
    fn item_name(&self, module: usize, path: &[String]) -> String {
        let definitions = &self.modules[module].definitions;
        let mut names = path.iter().rev();
        let name = names.find(|name| definitions.contains_key(*name));
        name.or(path.last()).cloned().unwrap_or_default()
    }

    /// The modules that define what this path names.
    fn named(&self, from: usize, path: &[String], calls_macro: bool) -> BTreeSet<usize> {
        let mut found = self.resolve(from, path, &mut BTreeSet::new());
        if calls_macro {
            found.retain(|target| matches!(target, Target::Item(_, None | Some(Space::Macro))));
            if found.is_empty() && path.len() == 1 {
                found.extend(self.macro_in_scope(from, &path[0]));
            }
        }
        let item = |target| match target {
            Target::Item(module, _) => Some(module),
            Target::Module(_) => None,
        };
        found.into_iter().filter_map(item).collect()
    }

    fn resolve(&self, from: usize, path: &[String], seen: &mut Visited) -> BTreeSet<Target> {
        let Some((first, rest)) = path.split_first() else {
            return BTreeSet::new();
        };
        let mut targets = match first.as_str() {
            "crate" => BTreeSet::from([Target::Module(0)]),
            "self" => BTreeSet::from([Target::Module(from)]),
            "super" => self.modules[from]
                .parent
                .map(Target::Module)
                .into_iter()
                .collect(),
            name => self.look_up(from, name, rest.is_empty(), seen),
        };
        for (at, name) in rest.iter().enumerate() {
            let last = at + 1 == rest.len();
            targets = self.step(&targets, name, last, seen);
        }
        targets
    }

    /// One `::name` further; what belongs to a type (a method, a variant) is where the type is.
    fn step(
        &self,
        targets: &BTreeSet<Target>,
        name: &str,
        last: bool,
        seen: &mut Visited,
    ) -> BTreeSet<Target> {
        let mut next = BTreeSet::new();
        for target in targets {
            match *target {
                Target::Module(module) if name == "super" => {
                    next.extend(self.modules[module].parent.map(Target::Module));
                }
                Target::Module(_) if name == "self" || name == "*" => {
                    next.insert(*target);
                }
                Target::Module(module) => {
                    let found = self.look_up(module, name, last, seen);
                    if found.is_empty() && !seen.contains(&(module, name.to_owned(), last)) {
                        next.insert(Target::Item(module, None));
                    }
                    next.extend(found);
                }
                Target::Item(_, Some(Space::Value | Space::Macro)) => {}
                Target::Item(..) => {
                    next.insert(*target);
                }
            }
        }
        next
    }

    /// What a name means in a module; before further segments of a path, a child module comes first.
    fn look_up(
        &self,
        module: usize,
        name: &str,
        last: bool,
        seen: &mut Visited,
    ) -> BTreeSet<Target> {
        let mut found = BTreeSet::new();
        let here = &self.modules[module];
        if let (false, Some(child)) = (last, here.children.get(name)) {
            return BTreeSet::from([Target::Module(*child)]);
        }
        if !seen.insert((module, name.to_owned(), last)) {
            return found;
        }
        if let Some(spaces) = here.definitions.get(name) {
            found.extend(
                spaces
                    .iter()
                    .map(|space| Target::Item(module, Some(*space))),
            );
        }
        found.extend(here.children.get(name).map(|child| Target::Module(*child)));
        for import in here.imports.iter().filter(|import| import.name == name) {
            found.extend(self.resolve(module, &import.path, seen));
        }
        if found.is_empty() {
            for glob in here.imports.iter().filter(|import| import.name == "*") {
                for target in self.resolve(module, &glob.path, seen) {
                    if let Target::Module(other) = target {
                        found.extend(self.look_up(other, name, last, seen));
                    }
                }
            }
        }
        seen.remove(&(module, name.to_owned(), last));
        found
    }

    /// A `macro_rules!` that stands in an enclosing module, or in a child of one with `#[macro_use]`.
    fn macro_in_scope(&self, from: usize, name: &str) -> Option<Target> {
        let mut enclosing = Some(from);
        while let Some(id) = enclosing {
            let module = &self.modules[id];
            let defines = |id: &&usize| {
                let definitions = &self.modules[**id].definitions;
                definitions
                    .get(name)
                    .is_some_and(|spaces| spaces.contains(&Space::Macro))
            };
            let mut places = std::iter::once(&id).chain(&module.macro_children);
            if let Some(place) = places.find(defines) {
                return Some(Target::Item(*place, Some(Space::Macro)));
            }
            enclosing = module.parent;
        }
        None
    }
}
