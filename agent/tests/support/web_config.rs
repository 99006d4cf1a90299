//! The example of a web configuration, with the files that it names.

use std::{fs, path::Path};

use super::certificates::Authority;
use tempfile::TempDir;

/// Its file name.
pub const EXAMPLE: &str = "web-config.example.yml";

/// The text of a file of docs.
pub fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::read_to_string(path.join(name)).unwrap()
}

/// The example with the files that it names, of which the authority of clients is also that of the
/// server.
pub fn example() -> (TempDir, Authority) {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    let own = authority.issue("localhost");
    for (name, text) in [
        (EXAMPLE, document(EXAMPLE)),
        ("halfopen.crt", own.certificate),
        ("halfopen.key", own.key),
        ("clients.crt", authority.pem.clone()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    (folder, authority)
}
