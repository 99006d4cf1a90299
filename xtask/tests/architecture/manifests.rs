//! What the manifests of the core and of the lab keep out.

use crate::{cargo, code::sources::text};

/// Crates through which the core could reach the world.
const OUTSIDE: [&str; 8] = [
    "tokio", "aya", "hyper", "rustls", "rustix", "libc", "socket2", "nix",
];

/// What the lab would learn the agent's answers from.
const AGENT: [&str; 4] = ["halfopen", "halfopen-common", "halfopen-core", "aya"];

/// Names of packages in `cargo tree --prefix none`, one a line with the version behind it.
fn forbidden<'a>(tree: &'a str, names: &[&str]) -> Vec<&'a str> {
    tree.lines()
        .filter(|line| {
            let name = line.split(' ').next().unwrap_or_default();
            names.contains(&name)
        })
        .collect()
}

#[test]
fn the_core_depends_on_nothing_that_reaches_outside() {
    let tree = cargo::tree("halfopen-core");
    assert!(tree.starts_with("halfopen-core "), "{tree}");
    assert!(tree.contains("\nhalfopen-common "), "{tree}");
    let found = forbidden(&tree, &OUTSIDE);
    assert!(found.is_empty(), "cargo tree -p halfopen-core: {found:?}");
}

#[test]
fn forbidden_packages_are_found() {
    for (tree, expected) in [
        ("halfopen-core v0.1.0 (/x)\nserde v1.0.0", 0),
        ("halfopen-core v0.1.0\nlibc v0.2.1 (*)", 1),
        (
            "halfopen-core v0.1.0\ntokio-util v0.7.1\nlibc-print v0.1.0",
            0,
        ),
        (
            "halfopen-core v0.1.0\naya v0.14.0\nserde v1\nrustix v1.1.6 (*)",
            2,
        ),
    ] {
        assert_eq!(forbidden(tree, &OUTSIDE).len(), expected, "{tree}");
    }
}

/// Lines of a manifest that name one of the packages as a dependency.
fn dependencies<'a>(manifest: &'a str, names: &[&str]) -> Vec<&'a str> {
    let lines = manifest.lines().filter(|line| !line.starts_with("name"));
    lines
        .filter(|line| {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            names.contains(&dependency)
                || names
                    .iter()
                    .any(|name| line.contains(&format!("package = \"{name}\"")))
        })
        .collect()
}

#[test]
fn the_lab_knows_no_agent() {
    let manifest = text("agent/lab/Cargo.toml");
    assert!(manifest.lines().count() > 3, "{manifest}");
    let found = dependencies(&manifest, &AGENT);
    assert!(
        found.is_empty(),
        "its expectations never come from the agent: {found:?}"
    );
    let tree = cargo::tree("halfopen-lab");
    assert!(tree.starts_with("halfopen-lab "), "{tree}");
    let found = forbidden(&tree, &AGENT);
    assert!(found.is_empty(), "cargo tree -p halfopen-lab: {found:?}");
}

#[test]
fn dependencies_of_the_lab_are_found() {
    for (manifest, expected) in [
        (
            "[package]\nname = \"halfopen-lab\"\n[dependencies]\nserde.workspace = true",
            0,
        ),
        ("[dependencies]\nhalfopen.workspace = true", 1),
        (
            "[dependencies]\nhalfopen-common = { path = \"../common\" }\naya = \"1\"",
            2,
        ),
        ("[dev-dependencies]\nhalfopen-core.workspace = true", 1),
        (
            "[dependencies]\nshared = { package = \"halfopen-common\", path = \"x\" }",
            1,
        ),
    ] {
        assert_eq!(dependencies(manifest, &AGENT).len(), expected, "{manifest}");
    }
}

#[test]
fn the_build_tool_compiles_without_the_crates_that_it_builds() {
    let tree = cargo::tree("xtask");
    assert!(tree.starts_with("xtask "), "{tree}");
    let members = [
        "halfopen",
        "halfopen-core",
        "halfopen-common",
        "halfopen-lab",
    ];
    let found = forbidden(&tree, &members);
    assert!(found.is_empty(), "cargo tree -p xtask: {found:?}");
}
