//! Where code may be `unsafe`: nowhere in the core and in what both sides share; in the agent where it
//! calls the kernel, in files that allow it for themselves and say why.

use syn::{Attribute, Meta};

use crate::code::{
    sources::{Sources, text},
    tokens::named,
};

/// The rooms that call the kernel.
const ROOMS: [&str; 2] = ["agent/src/bpf", "agent/src/host"];

/// Whether inner attributes put `unsafe_code` at one of these levels, with a reason where it is allowed.
fn level(attributes: &[Attribute], levels: &[&str]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else {
            return false;
        };
        let tokens = list.tokens.to_string();
        let allowed = list.path.is_ident("allow") || list.path.is_ident("expect");
        levels.iter().any(|level| list.path.is_ident(level))
            && tokens.contains("unsafe_code")
            && (!allowed || tokens.contains("reason"))
    })
}

/// Files that are unsafe elsewhere or without allowing it, or that allow it for nothing.
fn mistakes(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for (path, source) in sources.below("agent/src") {
        if !source.contains("unsafe") {
            continue;
        }
        let uses = named(path, source, &["unsafe"]);
        let file = syn::parse_file(source).unwrap();
        if let Some(first) = uses.first()
            && !ROOMS.iter().any(|room| path.starts_with(room))
        {
            found.push(format!("{first}: call it in one of {ROOMS:?}"));
            continue;
        }
        match (uses.first(), level(&file.attrs, &["allow", "expect"])) {
            (Some(first), false) => found.push(format!(
                "{first}, without #![allow(unsafe_code, reason = …)] in this file"
            )),
            (None, true) => found.push(format!(
                "{}: allows unsafe_code and needs it not",
                path.display()
            )),
            _ => {}
        }
    }
    found
}

#[test]
fn unsafe_code_is_allowed_file_by_file() {
    let found = mistakes(Sources::of_workspace());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn crates_forbid_or_deny_unsafe_code() {
    for (root, levels) in [
        ("agent/src/lib.rs", &["deny"][..]),
        ("agent/src/main.rs", &["deny", "forbid"]),
        ("agent/core/src/lib.rs", &["forbid"]),
        ("agent-common/src/lib.rs", &["forbid"]),
    ] {
        let file = syn::parse_file(&text(root)).unwrap();
        let levels_name = levels.join(" or ");
        assert!(
            level(&file.attrs, levels),
            "{root} lacks #![{levels_name}(unsafe_code)]"
        );
    }
}

#[test]
fn mistakes_are_found() {
    let cases = [
        ("//! Unsafe.\n fn f() {}", 0),
        ("fn f() { unsafe { g() } }", 1),
        ("unsafe impl Send for X {}", 1),
        ("#[cfg(test)] mod tests { fn f() { unsafe { g() } } }", 1),
        ("#![allow(unsafe_code)] fn f() { unsafe { g() } }", 1),
        (
            "#![allow(dead_code, reason = \"x\")] fn f() { unsafe { g() } }",
            1,
        ),
        (
            "#![allow(unsafe_code, reason = \"x\")] fn f() { unsafe { g() } }",
            0,
        ),
        ("#![allow(unsafe_code, reason = \"x\")] fn f() {}", 1),
        ("#![deny(unsafe_code)] mod x;", 0),
    ];
    for (source, expected) in cases {
        let found = mistakes(&Sources::of(&[("agent/src/host/x.rs", source)]));
        assert_eq!(found.len(), expected, "{source}: {found:?}");
    }
    let allowed = "#![allow(unsafe_code, reason = \"x\")] fn f() { unsafe { g() } }";
    let found = mistakes(&Sources::of(&[("agent/src/serve/x.rs", allowed)]));
    assert_eq!(found.len(), 1, "{found:?}");
}
