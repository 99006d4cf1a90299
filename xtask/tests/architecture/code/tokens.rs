//! What can be read off a file's tokens: identifiers, literals, and the paths inside macros.

use std::iter::Peekable;

use proc_macro2::{Spacing, TokenStream, TokenTree};

/// The tokens of a file; comments are gone, documentation is a literal.
pub fn of(source: &str) -> TokenStream {
    source
        .parse()
        .unwrap_or_else(|error| panic!("{error} in {source}"))
}

/// Every identifier and literal, with its line.
pub fn flat(tokens: TokenStream) -> Vec<(TokenTree, usize)> {
    let mut found = Vec::new();
    for tree in tokens {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => found.extend(flat(group.stream())),
            tree => found.push((tree, line)),
        }
    }
    found
}

/// Every identifier of a file, with its line.
pub fn identifiers(source: &str) -> Vec<(String, usize)> {
    let identifier = |(tree, line)| match tree {
        TokenTree::Ident(name) => Some((name.to_string(), line)),
        _ => None,
    };
    flat(of(source))
        .into_iter()
        .filter_map(identifier)
        .collect()
}

/// Places where one of the words stands as an identifier: `file:line: word`.
pub fn named(path: &std::path::Path, source: &str, words: &[&str]) -> Vec<String> {
    if !words.iter().any(|word| source.contains(word)) {
        return Vec::new();
    }
    identifiers(source)
        .into_iter()
        .filter(|(name, _)| words.contains(&name.as_str()))
        .map(|(name, line)| format!("{}:{line}: {name}", path.display()))
        .collect()
}

/// A path written inside a macro's tokens.
pub struct Spelled {
    pub segments: Vec<String>,
    /// Whether it is a macro's call, `path!(…)`.
    pub calls_macro: bool,
}

/// The paths of a token stream. `a.b` is no path of `b`; `$crate` is `crate`.
pub fn paths(tokens: TokenStream) -> Vec<Spelled> {
    let mut found = Vec::new();
    let mut trees = tokens.into_iter().peekable();
    let mut after_dot = false;
    while let Some(tree) = trees.next() {
        let dot = matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == '.');
        match tree {
            TokenTree::Group(group) => found.extend(paths(group.stream())),
            TokenTree::Ident(first) if !after_dot => {
                let mut segments = vec![first.to_string()];
                while let Some(next) = next_segment(&mut trees) {
                    segments.push(next);
                }
                let calls_macro = is_bang(trees.peek());
                found.push(Spelled {
                    segments,
                    calls_macro,
                });
            }
            _ => {}
        }
        after_dot = dot;
    }
    found
}

/// Names of the items that a macro's tokens spell out (`struct Name`, `fn name`), with whether each is
/// a type.
pub fn items(tokens: TokenStream) -> Vec<(String, bool)> {
    const TYPES: [&str; 5] = ["struct", "enum", "trait", "type", "union"];
    let mut found = Vec::new();
    let mut keyword = None;
    for (tree, _) in flat(tokens) {
        let TokenTree::Ident(name) = tree else {
            keyword = None;
            continue;
        };
        let name = name.to_string();
        if let Some(is_type) = keyword {
            found.push((name.clone(), is_type));
        }
        keyword = if TYPES.contains(&name.as_str()) {
            Some(true)
        } else {
            ["fn", "const", "static"]
                .contains(&name.as_str())
                .then_some(false)
        };
    }
    found
}

type Trees = Peekable<proc_macro2::token_stream::IntoIter>;

/// Takes `::name`, when that comes next.
fn next_segment(trees: &mut Trees) -> Option<String> {
    let mut ahead = trees.clone();
    let colon = |tree: Option<TokenTree>, spacing| matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == ':' && (punct.spacing() == spacing));
    if !colon(ahead.next(), Spacing::Joint) || !colon(ahead.next(), Spacing::Alone) {
        return None;
    }
    let Some(TokenTree::Ident(name)) = ahead.next() else {
        return None;
    };
    *trees = ahead;
    Some(name.to_string())
}

fn is_bang(tree: Option<&TokenTree>) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == '!' && punct.spacing() == Spacing::Alone)
}
