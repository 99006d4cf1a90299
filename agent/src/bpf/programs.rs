//! Loads one program of the object, by its name, and attaches it or runs it by hand.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

use aya::{
    Btf, Ebpf, TestRun as _,
    programs::{
        Program, ProgramError, ProgramFd, RawTracePointRunOptions,
        fentry::FEntryLinkId,
        fexit::FExitLinkId,
        kprobe::KProbeLinkId,
        links::{FdLink, PinnedLink},
        loaded_programs,
        raw_trace_point::RawTracePointLinkId,
    },
};

use crate::bpf::prog_info::{self, ProgramStatistics};

/// Why a program did not attach, in a sentence.
fn reason(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            tracing::trace!(%log, "refused by the verifier");
            // The complaint stands last but for the verifier's own figures.
            let figures = ["processed ", "stack depth", "verification time"];
            let last = log
                .lines()
                .rev()
                .find(|line| !figures.iter().any(|figure| line.starts_with(figure)));
            match last.map(str::trim) {
                Some(line) if !line.is_empty() => {
                    format!("the kernel refused to load it: {io_error} ({line})")
                }
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

/// The attachment of one program; it lasts until it is cut, or the object is dropped.
pub enum Link {
    /// Of an fentry program.
    Entry(FEntryLinkId),
    /// Of an fexit program.
    Exit(FExitLinkId),
    /// Of a kprobe or kretprobe program.
    Probe(KProbeLinkId),
    /// Of a raw tracepoint program.
    Tracepoint(RawTracePointLinkId),
    /// Of a pinned program, which lasts for as long as its pin.
    Kept(Kept),
}

/// A program that an agent before this one has attached and pinned.
pub struct Kept(ProgramFd);

impl Kept {
    /// Those of these links, by the names of their programs.
    ///
    /// # Errors
    /// Why the kernel would not give them.
    pub fn open(links: &[PathBuf]) -> Result<BTreeMap<String, Self>, String> {
        let mut names = BTreeMap::new();
        for path in links {
            let link = PinnedLink::from_pin(path).map_err(|error| error.to_string())?;
            let info = FdLink::from(link)
                .info()
                .map_err(|error| error.to_string())?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            names.insert(info.program_id(), name.into_owned());
        }
        let programs = loaded_programs().filter_map(Result::ok);
        let kept = programs.filter_map(|program| {
            let name = names.remove(&program.id())?;
            Some((name, Self(program.fd().ok()?)))
        });
        Ok(kept.collect())
    }

    /// What the kernel tells of it.
    pub fn statistics(&self) -> Option<ProgramStatistics> {
        prog_info::read(&self.0)
    }
}

/// What iterators go over: the descriptors of all processes.
const ITERATED: &str = "task_file";

/// Loads the program into the kernel, for `target`; of an iterator that is known.
///
/// # Errors
/// Why the kernel would not.
pub fn load(ebpf: &mut Ebpf, btf: &Btf, name: &str, target: &str) -> Result<(), String> {
    let result = match find(ebpf, name)? {
        Program::FEntry(program) => program.load(target, btf),
        Program::FExit(program) => program.load(target, btf),
        Program::KProbe(program) => program.load(),
        Program::RawTracePoint(program) => program.load(),
        Program::Iter(program) => program.load(ITERATED, btf),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    result.map_err(|error| reason(&error))
}

/// Loads a program that is never attached, but run by [`run`].
///
/// # Errors
/// Why the kernel would not.
pub fn load_to_run(ebpf: &mut Ebpf, name: &str) -> Result<(), String> {
    let result = match find(ebpf, name)? {
        // Of a tracepoint without a type of its own: it needs no BTF.
        Program::RawTracePoint(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    match result {
        // Several may run it.
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(reason(&error)),
    }
}

/// Runs a loaded program once; what it returns.
///
/// # Errors
/// Why the kernel would not.
pub fn run(ebpf: &Ebpf, name: &str, arguments: [u64; 2]) -> Result<u32, String> {
    let result = match ebpf.program(name) {
        Some(Program::RawTracePoint(program)) => {
            let mut options = RawTracePointRunOptions::new();
            options.args[..arguments.len()].copy_from_slice(&arguments);
            program.test_run(options)
        }
        Some(_) => Err(ProgramError::UnexpectedProgramType),
        None => return Err(absent(name)),
    };
    result
        .map(|result| result.return_value)
        .map_err(|error| reason(&error))
}

/// A file that, as it is read, runs a loaded iterator once over everything, and yields what it writes.
///
/// # Errors
/// Why the kernel would not.
pub fn iterate(ebpf: &mut Ebpf, name: &str) -> Result<File, String> {
    let Program::Iter(program) = find(ebpf, name)? else {
        return Err(reason(&ProgramError::UnexpectedProgramType));
    };
    let link = program.attach().and_then(|link| program.take_link(link));
    let link = link.map_err(|error| reason(&error))?;
    link.into_file().map_err(|error| error.to_string())
}

/// The running kernel's BTF, for types that are its own whatever file the offsets came from.
///
/// # Errors
/// Why it cannot be read.
pub fn running_btf() -> Result<Btf, String> {
    Btf::from_sys_fs().map_err(|error| error.to_string())
}

/// Attaches a loaded program to `target`.
///
/// # Errors
/// Why the kernel would not.
pub fn attach(ebpf: &mut Ebpf, name: &str, target: &str) -> Result<Link, String> {
    let result = match find(ebpf, name)? {
        Program::FEntry(program) => program.attach().map(Link::Entry),
        Program::FExit(program) => program.attach().map(Link::Exit),
        Program::KProbe(program) => program.attach(target, 0).map(Link::Probe),
        Program::RawTracePoint(program) => program.attach(target).map(Link::Tracepoint),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    result.map_err(|error| reason(&error))
}

fn find<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, String> {
    ebpf.program_mut(name).ok_or_else(|| absent(name))
}

fn absent(name: &str) -> String {
    format!("the embedded object has no program {name}")
}

/// Detaches a program, which stays loaded.
///
/// # Errors
/// Why the kernel would not.
pub fn cut(ebpf: &mut Ebpf, name: &str, link: Link) -> Result<(), String> {
    let result = match (find(ebpf, name)?, link) {
        (Program::FEntry(program), Link::Entry(link)) => program.detach(link),
        (Program::FExit(program), Link::Exit(link)) => program.detach(link),
        (Program::KProbe(program), Link::Probe(link)) => program.detach(link),
        (Program::RawTracePoint(program), Link::Tracepoint(link)) => program.detach(link),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    result.map_err(|error| reason(&error))
}

/// Pins the attachment of a program: from then on it lasts for as long as its pin.
///
/// # Errors
/// Why the kernel would not.
pub fn keep(ebpf: &mut Ebpf, name: &str, link: Link, path: &Path) -> Result<(), String> {
    let link: Result<FdLink, ProgramError> = match (find(ebpf, name)?, link) {
        (Program::FEntry(program), Link::Entry(link)) => program.take_link(link).map(Into::into),
        (Program::FExit(program), Link::Exit(link)) => program.take_link(link).map(Into::into),
        (Program::RawTracePoint(program), Link::Tracepoint(link)) => {
            program.take_link(link).map(Into::into)
        }
        (Program::KProbe(program), Link::Probe(link)) => match program.take_link(link) {
            Ok(link) => Ok(FdLink::try_from(link).map_err(|error| error.to_string())?),
            Err(error) => Err(error),
        },
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    let pinned = link.map_err(|error| reason(&error))?.pin(path);
    pinned.map(drop).map_err(|error| error.to_string())
}

/// Takes a program out of the kernel again, with its attachments.
pub fn unload(ebpf: &mut Ebpf, name: &str) {
    // Nothing to be done about a program that will not go: its descriptor closes with the process.
    let _ = match ebpf.program_mut(name) {
        Some(Program::FEntry(program)) => program.unload(),
        Some(Program::FExit(program)) => program.unload(),
        Some(Program::KProbe(program)) => program.unload(),
        Some(Program::RawTracePoint(program)) => program.unload(),
        Some(Program::Iter(program)) => program.unload(),
        _ => Ok(()),
    };
}

/// What the kernel tells of a loaded program.
#[must_use]
pub fn statistics(ebpf: &Ebpf, name: &str) -> Option<ProgramStatistics> {
    prog_info::read(ebpf.program(name)?.fd().ok()?)
}
