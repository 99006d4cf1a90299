//! Words that could stand for many things name one type each.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use syn::{
    Ident, Item, Macro,
    visit::{self, Visit},
};

use crate::code::{sources::Sources, tokens};

const ONCE: [&str; 9] = [
    "Reader", "Reading", "State", "Seen", "Told", "Pending", "Held", "Source", "Walk",
];

struct Types<'a> {
    file: &'a Path,
    found: &'a mut BTreeMap<String, Vec<PathBuf>>,
}

impl Types<'_> {
    fn add(&mut self, name: &str) {
        let places = self.found.entry(name.to_owned()).or_default();
        places.push(self.file.to_owned());
    }
}

impl<'ast> Visit<'ast> for Types<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let name: Option<&Ident> = match item {
            Item::Enum(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(name) = name {
            self.add(&name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        for (name, is_type) in tokens::items(call.tokens.clone()) {
            if is_type {
                self.add(&name);
            }
        }
    }
}

/// The files that define each of these types and others, tests included.
fn types(sources: &Sources) -> BTreeMap<String, Vec<PathBuf>> {
    let mut found = BTreeMap::new();
    let words = |text: &str| ONCE.iter().any(|name| text.contains(name));
    for (file, text) in sources.files().filter(|(_, text)| words(text)) {
        let parsed = syn::parse_file(text);
        let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let found = &mut found;
        Types { file, found }.visit_file(&parsed);
    }
    found
}

fn shared(sources: &Sources) -> Vec<(String, Vec<PathBuf>)> {
    let types = types(sources).into_iter();
    types
        .filter(|(name, files)| ONCE.contains(&name.as_str()) && files.len() > 1)
        .collect()
}

#[test]
fn a_name_stands_for_one_thing() {
    let sources = Sources::of_workspace();
    assert!(types(sources).len() > 100);
    let shared = shared(sources);
    assert!(shared.is_empty(), "say which one in its name: {shared:#?}");
}

#[test]
fn names_of_two_things_are_found() {
    let cases = [
        ("pub struct Reader;", "struct Writer;", 0),
        ("pub struct Reader;", "mod tests { enum Reader {} }", 1),
        ("type State = u8;", "fn f() { trait State {} }", 1),
        (
            "trait T { type Source; }",
            "impl T for X { type Source = u8; } struct Source;",
            0,
        ),
        (
            "fields! { struct Walk { a: u8 } }",
            "union Walk { a: u8 }",
            1,
        ),
        ("use a::Walk;", "struct Walk;", 0),
        ("struct Named;", "struct Named;", 0),
    ];
    for (a, b, expected) in cases {
        let shared = shared(&Sources::of(&[("a.rs", a), ("b.rs", b)]));
        assert_eq!(shared.len(), expected, "{a} {b}: {shared:?}");
    }
}
