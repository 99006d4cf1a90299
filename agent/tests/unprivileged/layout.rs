//! Fails when a definition of pinned maps changes: whoever changes it decides whether the layout is a new
//! one, and records it here.

use std::{fs, path::Path};

use halfopen_common::{fnv, layout::LAYOUT};

/// The layout, and the hash of its definitions. If anything in a pinned map has got another place, size
/// or meaning, raise `LAYOUT` in agent-common/src/layout.rs: agents then refuse the pins of those
/// before. If nothing has (a function or a name is another), keep it. Then put the new pair here.
const KNOWN: (u32, u64) = (6, 0xa3b0_6773_65d7_301d);

/// Files of definitions, and where in them they stand: from a line that begins so to one that is so.
const DEFINITIONS: [(&str, &str, &str); 7] = [
    ("agent-common/src/counts.rs", "", ""),
    ("agent-common/src/ending.rs", "", ""),
    ("agent-common/src/event_record.rs", "", ""),
    ("agent-common/src/record.rs", "", ""),
    ("agent-common/src/switch.rs", "", ""),
    ("agent-common/src/timer_context.rs", "", ""),
    (
        "agent-ebpf/src/maps.rs",
        "static SOCKETS",
        "/// Adds to a counter",
    ),
];

fn definition((file, from, to): (&str, &str, &str)) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let source = fs::read_to_string(path).unwrap();
    let lines = source.lines().skip_while(|line| !line.starts_with(from));
    let mut code = String::new();
    for line in lines {
        if !to.is_empty() && line.starts_with(to) {
            break;
        }
        code.extend(line.split("//").next().unwrap().split_whitespace());
    }
    assert!(code.len() > 40, "{file}: no {from}");
    code
}

#[test]
fn a_change_of_what_is_pinned_is_noticed() {
    let code: String = DEFINITIONS.into_iter().map(definition).collect();
    let hash = fnv::hash(code.as_bytes());
    assert_eq!(
        (LAYOUT, format!("{hash:#018x}")),
        (KNOWN.0, format!("{:#018x}", KNOWN.1)),
        "what stands in pinned maps is defined otherwise: see KNOWN"
    );
}
