//! Loads and attaches one program of the object, by its name: the prefix tells the mechanism.
//! It must never choose; it tries what it is told and says why it failed.

use aya::{
    Btf, Ebpf,
    programs::{FEntry, FExit, KProbe, Program, ProgramError, RawTracePoint},
};

use crate::host::prog_info::{self, ProgramStatistics};

/// Why a program did not attach, in a sentence.
fn reason(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            tracing::trace!(%log, "refused by the verifier");
            // The complaint stands last but for the verifier's own figures.
            let figures = ["processed ", "stack depth", "verification time"];
            let last = log.lines().rev().find(|line| !figures.iter().any(|figure| line.starts_with(figure)));
            match last.map(str::trim) {
                Some(line) if !line.is_empty() => format!("the kernel refused to load it: {io_error} ({line})"),
                _ => format!("the kernel refused to load it: {io_error}"),
            }
        }
        ProgramError::SyscallError(error) => format!("{} failed: {}", error.call, error.io_error),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(inner) = source {
                let inner_text = inner.to_string();
                if !text.contains(&inner_text) {
                    text = format!("{text}: {inner_text}");
                }
                source = inner.source();
            }
            text
        }
    }
}

/// Loads the program, if it is not yet, and attaches it to `target`.
///
/// # Errors
/// Why the kernel would not.
pub fn attach(ebpf: &mut Ebpf, btf: &Btf, name: &str, target: &str) -> Result<(), String> {
    let program =
        ebpf.program_mut(name).ok_or_else(|| format!("the embedded object has no program {name}"))?;
    try_attach(program, btf, target).map_err(|error| reason(&error))
}

fn try_attach(program: &mut Program, btf: &Btf, target: &str) -> Result<(), ProgramError> {
    match program {
        Program::FEntry(program) => load_attach_fentry(program, btf, target),
        Program::FExit(program) => load_attach_fexit(program, btf, target),
        Program::KProbe(program) => load_attach_kprobe(program, target),
        Program::RawTracePoint(program) => load_attach_tracepoint(program, target),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn load_attach_fentry(program: &mut FEntry, btf: &Btf, target: &str) -> Result<(), ProgramError> {
    program.load(target, btf)?;
    program.attach().map(drop)
}

fn load_attach_fexit(program: &mut FExit, btf: &Btf, target: &str) -> Result<(), ProgramError> {
    program.load(target, btf)?;
    program.attach().map(drop)
}

fn load_attach_kprobe(program: &mut KProbe, target: &str) -> Result<(), ProgramError> {
    program.load()?;
    program.attach(target, 0).map(drop)
}

fn load_attach_tracepoint(program: &mut RawTracePoint, target: &str) -> Result<(), ProgramError> {
    program.load()?;
    program.attach(target).map(drop)
}

/// Takes a program out of the kernel again.
pub fn detach(ebpf: &mut Ebpf, name: &str) {
    // Nothing to be done about a program that will not go: its descriptor closes with the process.
    let _ = match ebpf.program_mut(name) {
        Some(Program::FEntry(program)) => program.unload(),
        Some(Program::FExit(program)) => program.unload(),
        Some(Program::KProbe(program)) => program.unload(),
        Some(Program::RawTracePoint(program)) => program.unload(),
        _ => Ok(()),
    };
}

/// What the kernel tells of a loaded program.
#[must_use]
pub fn statistics(ebpf: &Ebpf, name: &str) -> Option<ProgramStatistics> {
    prog_info::read(ebpf.program(name)?.fd().ok()?)
}
