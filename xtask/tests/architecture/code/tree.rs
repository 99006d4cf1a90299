//! A crate's tree of modules, each with the file that it stands in.

use std::path::{Path, PathBuf};

use syn::{Attribute, Item};

use super::{
    items,
    module::{Module, only_for_tests},
    sources::Sources,
};

/// A crate; the first module is its root.
#[derive(Debug, Default)]
pub struct Tree {
    pub modules: Vec<Module>,
    /// Files of modules that only tests compile.
    pub tests: Vec<PathBuf>,
}

impl Tree {
    /// Reads the crate whose root is this file.
    pub fn of(sources: &Sources, root: &Path) -> Self {
        let mut tree = Self::default();
        let folder = root.parent().unwrap();
        tree.read_file(sources, root, folder, None);
        tree
    }

    fn read_file(
        &mut self,
        sources: &Sources,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
    ) -> usize {
        let text = sources
            .get(file)
            .unwrap_or_else(|| panic!("no file {}", file.display()));
        let parsed =
            syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.read_items(sources, file, folder, parent, &parsed.items)
    }

    fn read_items(
        &mut self,
        sources: &Sources,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
        list: &[Item],
    ) -> usize {
        let id = self.modules.len();
        let mut module = Module {
            file: file.to_owned(),
            parent,
            ..Module::default()
        };
        items::read(list, &mut module);
        self.modules.push(module);
        for item in list {
            let Item::Mod(item) = item else { continue };
            let name = items::plain(&item.ident);
            let below = folder.join(&name);
            if only_for_tests(&item.attrs) {
                self.tests.extend([below.with_extension("rs"), below]);
                continue;
            }
            let child = if let Some((_, items)) = &item.content {
                self.read_items(sources, file, &below, Some(id), items)
            } else if let Some(named) = path_attribute(&item.attrs) {
                let other = normal(&file.parent().unwrap().join(named));
                let folder = other.parent().unwrap().to_owned();
                self.read_file(sources, &other, &folder, Some(id))
            } else {
                let (flat, nested) = (below.with_extension("rs"), below.join("mod.rs"));
                let other = if sources.get(&flat).is_some() {
                    flat
                } else {
                    nested
                };
                self.read_file(sources, &other, &below, Some(id))
            };
            if item.attrs.iter().any(|at| at.path().is_ident("macro_use")) {
                self.modules[id].macro_children.push(child);
            }
            self.modules[id].children.insert(name, child);
        }
        id
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        match &pair.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(path),
                ..
            }) if pair.path.is_ident("path") => Some(path.value()),
            _ => None,
        }
    })
}

/// Without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        if part.as_os_str() == ".." {
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    clean
}
