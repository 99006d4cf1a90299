//! What the hooks record and count, and what of it stays in the kernel.

mod accounting;
mod ignored;
mod late_namespaces;
mod paths;
mod pin;
mod records;
mod verifier;
