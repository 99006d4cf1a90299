//! What the programs cost: the kernel's measuring of runs, and the verifier's work on each program.
//!
//! # Invariants
//! Nothing is attached here.

use std::{io, os::fd::OwnedFd};

use aya::sys::{Stats, enable_stats};

use super::{Error, attach, btf, hooks::HOOKS, load, programs};
use crate::{host::privileges, options::Options};

/// What the verifier made of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The program's name in the object.
    pub program: String,
    /// The function or tracepoint it is for; `None` for one that is never attached.
    pub target: Option<&'static str>,
    /// Instructions the verifier walked through (`None` before Linux 5.16, which does not tell), or
    /// why the kernel refused the program.
    pub instructions: Result<Option<u64>, String>,
}

/// Has the kernel measure the runs of all BPF programs for as long as the descriptor lives.
///
/// # Errors
/// When the kernel would not.
pub fn enable() -> io::Result<OwnedFd> {
    enable_stats(Stats::RunTime).map_err(|error| error.io_error)
}

/// Loads every program of the object, one after the other, each out again at once; in order of
/// their names.
///
/// # Errors
/// When a privilege or kernel feature is missing without which none could be loaded.
pub fn verify(options: &Options) -> Result<Vec<Verified>, Error> {
    privileges::check()?;
    let mut layout = btf::read(&options.btf)?;
    attach::resolve_addresses(&mut layout);
    let mut object = load::load(&layout, options, None)?;
    let btf = load::btf(&options.btf)?;
    let mut names: Vec<String> = object
        .ebpf
        .programs()
        .map(|(name, _)| name.to_owned())
        .collect();
    names.sort();
    let verified = names.into_iter().map(|program| {
        let target = target(&program);
        let loaded = programs::load(&mut object.ebpf, &btf, &program, target.unwrap_or_default());
        let instructions =
            loaded.map(|()| programs::statistics(&object.ebpf, &program)?.verified_instructions);
        programs::unload(&mut object.ebpf, &program);
        Verified {
            program,
            target,
            instructions,
        }
    });
    Ok(verified.collect())
}

/// What a program is attached to.
fn target(program: &str) -> Option<&'static str> {
    let attachments = HOOKS
        .iter()
        .flat_map(|hook| hook.ways)
        .flat_map(|way| way.programs);
    attachments
        .copied()
        .find_map(|(name, target)| (name == program).then_some(target))
}
