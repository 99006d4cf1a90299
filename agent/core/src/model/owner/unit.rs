//! Units of systemd, as cgroups name them.
//!
//! # Invariants
//! A cgroup is a unit only where systemd would call it one.

use super::name;

/// Longest name of a unit (UNIT_NAME_MAX in src/basic/unit-def.h of systemd, less its end).
const LONGEST: usize = 255;

/// Kinds of units that have cgroups, slices apart (man 5 systemd.resource-control).
const SUFFIXES: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

const SLICE: &str = ".slice";

/// Whose systemd a unit is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Manager {
    /// The system's.
    System,
    /// That of the user with this uid, `user@UID.service`.
    User(u32),
}

/// A unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit {
    /// Its name, as `systemctl` prints and takes it. Its characters are of systemd's VALID_CHARS:
    /// ASCII letters, digits and `:-_.\@`.
    pub name: String,
    /// Whose it is.
    pub manager: Manager,
}

impl Unit {
    /// Its name for reading: systemd's escapes (`\x2d`, man 1 systemd-escape) undone. Two units can
    /// have one title.
    #[must_use]
    pub fn title(&self) -> String {
        name::safe(&unescaped(&self.name))
    }

    /// The name as an owner.
    pub(super) fn owner(&self) -> String {
        match self.manager {
            Manager::System => self.name.clone(),
            Manager::User(uid) => format!("user@{uid}.service/{}", self.name),
        }
    }
}

/// The unit by systemd's rule (cg_path_get_unit() and cg_path_get_user_unit() in
/// src/basic/cgroup-util.c): the first below the slices that is none; further down, a cgroup is what
/// the unit makes of it. A path of slices alone is that of the last.
pub fn of_path(segments: &[&[u8]]) -> Option<Unit> {
    let (system, below) = first(segments)?;
    let uid = system
        .strip_prefix("user@")
        .and_then(|rest| number(rest.strip_suffix(".service")?));
    let users = uid.and_then(|uid| Some((first(below)?.0, Manager::User(uid))));
    let (name, manager) = users.unwrap_or((system, Manager::System));
    Some(Unit {
        name: name.to_owned(),
        manager,
    })
}

/// The uid of the user whose slice it is in.
pub fn user(segments: &[&[u8]]) -> Option<u32> {
    let [b"user.slice", slice, ..] = segments else {
        return None;
    };
    let slice = std::str::from_utf8(slice).ok()?;
    number(slice.strip_prefix("user-")?.strip_suffix(SLICE)?)
}

/// A uid, written as systemd writes it and in no other way.
fn number(text: &str) -> Option<u32> {
    let uid = text.parse::<u32>().ok()?;
    (uid.to_string() == text).then_some(uid)
}

/// The first unit, and what lies below it.
fn first<'a, 'b>(segments: &'b [&'a [u8]]) -> Option<(&'a str, &'b [&'a [u8]])> {
    let mut slice = None;
    for (depth, segment) in segments.iter().enumerate() {
        match unit_name(segment) {
            Some(name) if name.ends_with(SLICE) => slice = Some((name, &segments[depth + 1..])),
            Some(name) => return Some((name, &segments[depth + 1..])),
            None => return None,
        }
    }
    slice
}

/// The name of the unit, if it can be one (unit_name_is_valid() in src/basic/unit-name.c).
pub fn unit_name(segment: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(segment).ok()?;
    // What could be taken for a file of the kernel's has `_` before it (cg_escape()).
    let name = name.strip_prefix('_').unwrap_or(name);
    let stem = SUFFIXES
        .iter()
        .chain([&SLICE])
        .find_map(|suffix| name.strip_suffix(suffix))?;
    let valid = |c: char| c.is_ascii_alphanumeric() || r":-_.\@".contains(c);
    // No template, which never runs: `name@.service`.
    let instance = |at: usize| at != 0 && at + 1 != stem.len();
    let whole = !stem.is_empty() && stem.find('@').is_none_or(instance);
    (whole && name.len() <= LONGEST && name.chars().all(valid)).then_some(name)
}

/// `\xNN` as the byte that it stands for.
pub fn unescaped(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match escape(rest) {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.strip_prefix(br"\x")?.split_at_checked(2)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = digit(digits[0])? << 4 | digit(digits[1])?;
    Some((u8::try_from(byte).ok()?, after))
}
