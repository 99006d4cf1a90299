//! A module: in which file it is, what it defines, imports and names. Items under `#[cfg(test)]` are
//! left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use syn::Attribute;

/// Where a name lives: a type and a function may have the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    Type,
    Value,
    Macro,
}

/// One leaf of a `use`.
#[derive(Debug)]
pub struct Import {
    pub path: Vec<String>,
    /// What it is called here; `*` for all.
    pub name: String,
    /// `pub use`, of whatever visibility: a re-export.
    pub public: bool,
}

/// A path in the code.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    pub path: Vec<String>,
    pub calls_macro: bool,
}

#[derive(Debug, Default)]
pub struct Module {
    pub file: PathBuf,
    pub parent: Option<usize>,
    pub definitions: BTreeMap<String, BTreeSet<Space>>,
    pub children: BTreeMap<String, usize>,
    /// Children whose macros are in scope here by `#[macro_use]`.
    pub macro_children: Vec<usize>,
    pub imports: Vec<Import>,
    pub mentions: BTreeSet<Mention>,
}

/// Whether it stands under `#[cfg(test)]` or `#[cfg(all(test, …))]`.
pub fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
            _ => return false,
        };
        let all = condition.replace(' ', "");
        all == "test"
            || all.starts_with("all(test,")
            || all.ends_with(",test)") && all.starts_with("all(")
    })
}
