//! What holds whatever the path: it may be anything that can be a directory's name, and more.
//! The bytes are the same in each run.

use std::collections::HashMap;

use super::{ID, Owner, UID, path};
use crate::model::{group::OTHER, owner::LONGEST_NAME};

/// Parts that mean something somewhere, cut and put together at random.
const PARTS: &[&[u8]] = &[
    b"/",
    b"/",
    b"/",
    b"..",
    b".",
    b"docker",
    b"docker-",
    b".scope",
    b".service",
    b".slice",
    b"kubepods",
    b"kubepods-",
    b"burstable",
    b"-pod",
    b"pod",
    b"lxc",
    b"lxc.payload.",
    b"lxc.payload",
    b"garden",
    b"user@1000.service",
    b"user.slice",
    b"user-1000.slice",
    b"machine.slice",
    b"machine-",
    b"systemd-nspawn@",
    b"libpod-",
    b"crio-",
    b"crio-conmon-",
    b":cri-containerd:",
    b":",
    b"ecs",
    b"-",
    b"_",
    b"@",
    b"~",
    b"\\",
    b"\\x",
    b"\\x2d",
    b"\\x0a",
    b"\\xg",
    b"\n",
    b"\r",
    b"\t",
    b" ",
    b"\0",
    b"\x1b[31m",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc3",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\xe2\x80\x8b",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xcc\x81",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x92\x80",
    b"\"",
    b"{",
    b"}",
    b"other",
    b"a",
    b"0123456789abcdef",
    b" (deleted)",
    b"%s",
    b"=",
    b",",
];

/// Numbers that only look like chance: xorshift64*.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % end
    }
}

fn must_hold(path: &[u8]) -> Owner {
    let owner = Owner::of_path(path);
    let shown = || path.escape_ascii();
    let title = owner.unit.as_ref().map(|unit| unit.title());
    let container = owner.container.as_ref().map(|it| it.id.clone());
    let texts = [Some(owner.name.to_string()), title, container];
    for text in texts.into_iter().flatten() {
        assert!(!text.is_empty(), "{}", shown());
        for c in text.chars() {
            let unsafe_to_show = c.is_control() || c.is_whitespace();
            assert!(!unsafe_to_show, "{}: {c:?}", shown());
            // Those that change the direction of writing, or have no width.
            assert!(
                !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'),
                "{}",
                shown()
            );
            assert!(
                !matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{301}'),
                "{}",
                shown()
            );
        }
    }
    assert!(owner.name.len() <= LONGEST_NAME, "{}", shown());
    assert_ne!(&*owner.name, OTHER);
    owner
}

#[test]
fn every_byte_in_every_place() {
    let id = format!("docker-{ID}.scope");
    let pod = path("kubepods-burstable-podU_I_D.slice");
    let templates: [&[u8]; 7] = [
        b"/x",
        b"/system.slice/foo.service",
        b"/lxc.payload.web",
        b"/machine.slice/systemd-nspawn@x.service",
        b"/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope",
        id.as_bytes(),
        pod.as_bytes(),
    ];
    for template in templates {
        for place in 0..=template.len() {
            for byte in 0..=u8::MAX {
                let mut path = template.to_vec();
                path.insert(place, byte);
                must_hold(&path);
            }
            must_hold(&template[..place]);
        }
    }
}

#[test]
fn anything_put_together() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..30_000 {
        let mut path = Vec::new();
        for _ in 0..numbers.below(12) {
            match numbers.below(PARTS.len() + 3) {
                0 => path.extend(ID.as_bytes()),
                1 => path.extend(UID.as_bytes()),
                2 => path.extend(UID.replace('-', "_").as_bytes()),
                part => path.extend(PARTS[part - 3]),
            }
        }
        must_hold(&path);
    }
}

#[test]
fn different_paths_have_different_names() {
    let mut seen: HashMap<String, Vec<u8>> = HashMap::new();
    let mut check = |path: Vec<u8>| {
        let name = must_hold(&path).name.to_string();
        let other = seen.insert(name.clone(), path.clone());
        assert!(other.is_none_or(|other| other == path), "{name}");
    };
    // All of one and two bytes that make one segment.
    let bytes = || (1..=u8::MAX).filter(|byte| *byte != b'/');
    for first in bytes() {
        check(vec![b'/', b'_', first]);
        for second in bytes() {
            check(vec![b'/', b'_', first, second]);
        }
    }
    // What an escape stands for, and what looks like one.
    check(b"/\\x0a".to_vec());
    check(b"/\n".to_vec());
    // Long ones that begin, or end, alike.
    for end in 0..500 {
        check(format!("/{}/{end}", "a".repeat(300)).into_bytes());
        check(format!("/{}", "é".repeat(100 + end)).into_bytes());
        check(format!("/{end}/{}", "a".repeat(300)).into_bytes());
    }
    // A short one that looks like a long one's.
    let long = format!("/{}", "b".repeat(300)).into_bytes();
    let cut = Owner::of_path(&long).name.to_string();
    check(long);
    check(cut.into_bytes());
}

#[test]
fn a_long_name_is_cut_the_same_in_every_run() {
    let name = |path: String| Owner::of_path(path.as_bytes()).name.to_string();
    let whole = format!("/{}", "a".repeat(LONGEST_NAME - 1));
    assert_eq!(name(whole.clone()), whole);
    let cut = name(format!("/{}", "a".repeat(LONGEST_NAME)));
    assert_eq!(cut.len(), LONGEST_NAME);
    assert!(cut.starts_with("/aaaa") && cut.contains("a~"), "{cut}");
    let unit = format!("{}.service", "u".repeat(247));
    let cut = name(format!("/system.slice/{unit}"));
    assert_eq!(cut.len(), LONGEST_NAME);
    let too_long = format!("/system.slice/u{unit}");
    assert!(name(too_long).starts_with("/system.slice/"));
}
