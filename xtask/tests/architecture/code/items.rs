//! Reads a module's items: what it defines, imports and names, the inside of macros included.

use proc_macro2::{Ident, TokenStream};
use syn::{
    Attribute, ImplItem, Item, ItemUse, Macro, UseTree, Visibility,
    visit::{self, Visit},
};

use super::{
    module::{Import, Mention, Module, Space, only_for_tests},
    tokens,
};

/// Fills a module with what its own items say; modules inside are not entered.
pub fn read(items: &[Item], module: &mut Module) {
    let mut reader = Items { module };
    for item in items {
        if !only_for_tests(attributes(item)) {
            reader.define(item);
            reader.visit_item(item);
        }
    }
}

/// A name without `r#`.
pub fn plain(name: &Ident) -> String {
    name.to_string().trim_start_matches("r#").to_owned()
}

struct Items<'a> {
    module: &'a mut Module,
}

impl Items<'_> {
    fn define(&mut self, item: &Item) {
        use Space::{Macro, Type, Value};
        let (name, spaces): (&Ident, &[Space]) = match item {
            Item::Const(item) => (&item.ident, &[Value]),
            Item::Enum(item) => (&item.ident, &[Type]),
            Item::Fn(item) => (&item.sig.ident, &[Value]),
            Item::Static(item) => (&item.ident, &[Value]),
            Item::Struct(item) => (&item.ident, &[Type, Value]),
            Item::Trait(item) => (&item.ident, &[Type]),
            Item::Type(item) => (&item.ident, &[Type]),
            Item::Union(item) => (&item.ident, &[Type]),
            Item::Macro(item) => match &item.ident {
                Some(name) => (name, &[Macro]),
                None => return self.define_all(item.mac.tokens.clone()),
            },
            _ => return,
        };
        let known = self.module.definitions.entry(plain(name)).or_default();
        known.extend(spaces);
    }

    /// What a macro's call spells out is taken for defined by it.
    fn define_all(&mut self, tokens: TokenStream) {
        for (name, is_type) in tokens::items(tokens) {
            let space = if is_type { Space::Type } else { Space::Value };
            let known = self.module.definitions.entry(name).or_default();
            known.insert(space);
        }
    }

    fn mention(&mut self, path: Vec<String>, calls_macro: bool) {
        self.module.mentions.insert(Mention { path, calls_macro });
    }

    /// Inside a macro a lone lower-case word is as likely a field or a variable: it is passed over.
    fn mention_all(&mut self, tokens: TokenStream, lone_words: bool) {
        for spelled in tokens::paths(tokens) {
            let upper = spelled.segments[0].starts_with(char::is_uppercase);
            if spelled.segments.len() > 1 || spelled.calls_macro || (upper && lone_words) {
                self.mention(spelled.segments, spelled.calls_macro);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Items<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !matches!(item, Item::Mod(_)) && !only_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let tests = matches!(item, ImplItem::Fn(item) if only_for_tests(&item.attrs));
        if !tests {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            let public = !matches!(item.vis, Visibility::Inherited);
            leaves(&item.tree, &mut Vec::new(), &mut |path, name| {
                let (path, name) = (path.to_vec(), name.to_owned());
                self.module.imports.push(Import { path, name, public });
            });
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|segment| plain(&segment.ident));
            self.mention(names.collect(), false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        let names = call.path.segments.iter();
        let names: Vec<_> = names.map(|segment| plain(&segment.ident)).collect();
        if names != ["macro_rules"] {
            self.mention(names, true);
        }
        self.mention_all(call.tokens.clone(), true);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.mention_all(list.tokens.clone(), false);
        }
    }
}

/// Each leaf of a `use` with its whole path and the name that it has here.
pub fn leaves(tree: &UseTree, path: &mut Vec<String>, found: &mut impl FnMut(&[String], &str)) {
    let depth = path.len();
    match tree {
        UseTree::Path(inner) => {
            path.push(plain(&inner.ident));
            leaves(&inner.tree, path, found);
        }
        UseTree::Name(leaf) => {
            let name = plain(&leaf.ident);
            if name != "self" {
                path.push(name);
            }
            let name = path.last().cloned().unwrap_or_default();
            found(path, &name);
        }
        UseTree::Rename(leaf) => {
            if leaf.ident != "self" {
                path.push(plain(&leaf.ident));
            }
            found(path, &plain(&leaf.rename));
        }
        UseTree::Glob(_) => found(path, "*"),
        UseTree::Group(group) => {
            for tree in &group.items {
                leaves(tree, path, found);
            }
        }
    }
    path.truncate(depth);
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
