//! Instructions that the verifier walks through in every program, checked against the committed ceilings.
//! A program without a line in the table fails, and so does a line without a program.

use std::collections::BTreeMap;

use halfopen::{bpf::statistics, options::Options};

const TABLE: &str = include_str!("../../../../agent-ebpf/verified-instructions.txt");

/// The ceiling of each program.
fn ceilings() -> BTreeMap<&'static str, u64> {
    let mut ceilings = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let (program, ceiling) = line.split_once(' ').unwrap();
        let before = ceilings.insert(program, ceiling.trim().parse().unwrap());
        assert_eq!(before, None, "{program} stands twice in the table");
    }
    ceilings
}

#[test]
#[ignore = "needs root"]
fn no_program_exceeds_its_ceiling() {
    let mut ceilings = ceilings();
    let mut complaints = Vec::new();
    for verified in statistics::verify(&Options::default()).unwrap() {
        let program = verified.program;
        match (ceilings.remove(program.as_str()), verified.instructions) {
            (None, instructions) => {
                complaints.push(format!("{program} is not in the table: {instructions:?}"));
            }
            (Some(ceiling), Ok(Some(instructions))) if instructions > ceiling => {
                complaints.push(format!(
                    "{program}: {instructions} instructions, ceiling {ceiling}"
                ));
            }
            (Some(_), Ok(instructions)) => println!("{program}: {instructions:?}"),
            // A kernel without BPF trampolines refuses these; their kprobe twins have the same code.
            (Some(_), Err(reason))
                if program.starts_with("fentry_") || program.starts_with("fexit_") =>
            {
                println!("{program}: {reason}");
            }
            (Some(_), Err(reason)) => complaints.push(format!("{program}: {reason}")),
        }
    }
    let gone = ceilings
        .keys()
        .map(|program| format!("{program} is in the table, but not in the object"));
    complaints.extend(gone);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
