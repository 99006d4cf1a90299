//! Names that are safe to show, and as short as a label should be.
//!
//! # Invariants
//! Two names never have the same printed form.

use std::fmt::Write as _;

use halfopen_common::fnv;

use super::LONGEST_NAME;

/// What `~` and the 16 digits of the hash take.
const TAIL: usize = 17;

/// A path by its segments.
pub fn of_path(segments: &[&[u8]]) -> String {
    let mut name = String::new();
    for segment in segments {
        name.push('/');
        push_safe(&mut name, segment);
    }
    name
}

/// A name that came from elsewhere.
pub fn safe(bytes: &[u8]) -> String {
    let mut name = String::with_capacity(bytes.len());
    push_safe(&mut name, bytes);
    name
}

/// What is not printable is written `\xNN`, byte by byte, and so are `\` and `~`, which then have no
/// other meaning.
fn push_safe(name: &mut String, bytes: &[u8]) {
    let escape = |name: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(name, "\\x{byte:02x}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_plain(c) {
                name.push(c);
            } else {
                escape(name, c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        escape(name, chunk.invalid());
    }
}

fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic() && c != '\\' && c != '~';
    }
    // Debug's escapes: what has no shape of its own, or changes the direction of writing.
    !c.is_whitespace() && c.escape_debug().count() == 1
}

/// The name itself, or its beginning and a hash of the whole.
pub fn bounded(mut name: String) -> String {
    if name.len() > LONGEST_NAME {
        let hash = fnv::hash(name.as_bytes());
        let cut = (0..=LONGEST_NAME - TAIL)
            .rev()
            .find(|cut| name.is_char_boundary(*cut))
            .unwrap_or_default();
        name.truncate(cut);
        // Writing to a String cannot fail.
        let _ = write!(name, "~{hash:016x}");
    }
    name
}
