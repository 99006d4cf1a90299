//! What paths tell, and what must hold whatever the path.

mod containers;
mod hostile;
mod paths;

use super::{Kind, Manager, Owner, Runtime};

/// An id of a container, of which the paths below are made.
const ID: &str = "f52987fbdcc7b29175fb52e01c7917e9d6d2e14550e3a2a7abf739da5a067e31";
/// That of another.
const INNER: &str = "c81572302e4a00c05810fc436ebc0952ed7a0806c58a2b7eddbfb58de4539206";
/// The UID of a pod.
const UID: &str = "73dc8baf-43a0-413e-aac2-5eb0868f6c1a";
/// The hash that a static pod has for a UID.
const STATIC: &str = "b53dfa9e2dc9b890f7fadb2770857b03";

/// A path in which `ID`, `INNER`, `UID`, `U_I_D` (with underscores) and `STATIC` are put in.
fn path(template: &str) -> String {
    template
        .replace("INNER", INNER)
        .replace("U_I_D", &UID.replace('-', "_"))
        .replace("UID", UID)
        .replace("STATIC", STATIC)
        .replace("ID", ID)
}

fn owner(template: &str) -> Owner {
    Owner::of_path(path(template).as_bytes())
}
