//! The kernel's BPF iterator over the TCP sockets of a network namespace, with a program that does
//! nothing: the least that reading them by it can cost.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use anyhow::{Context, Result};
use btfparse::{Error, ErrorKind as BtfErrorKind, Readable, TypeInformation, TypeVariant};
use halfopen::bpf::statistics;

/// The kernel's types.
const BTF: &str = "/sys/kernel/btf/vmlinux";
/// The function that stands for the iterator.
const TARGET: &str = "bpf_iter_tcp";

// Of include/uapi/linux/bpf.h.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_ITER: u32 = 28;
/// `r0 = 0`, then `exit`.
static PROGRAM: [u64; 2] = [0xb7, 0x95];

/// `union bpf_attr` as BPF_PROG_LOAD reads it, up to what is given here.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// As BPF_LINK_CREATE reads it.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// As BPF_ITER_CREATE reads it.
#[repr(C)]
#[derive(Default)]
struct IterCreate {
    link_fd: u32,
    flags: u32,
}

/// The iterator with its program.
pub struct Iterator {
    program: OwnedFd,
    link: OwnedFd,
}

impl Iterator {
    /// Loads and links them.
    pub fn load() -> Result<Self> {
        let program = bpf(
            BPF_PROG_LOAD,
            &ProgLoad {
                prog_type: BPF_PROG_TYPE_TRACING,
                expected_attach_type: BPF_TRACE_ITER,
                attach_btf_id: target()?,
                insns: PROGRAM.as_ptr() as u64,
                insn_cnt: 2,
                license: c"GPL".as_ptr() as u64,
                ..ProgLoad::default()
            },
        );
        let program = program.context("loading a BPF iterator's program")?;
        let link = bpf(
            BPF_LINK_CREATE,
            &LinkCreate {
                prog_fd: program.as_raw_fd().cast_unsigned(),
                attach_type: BPF_TRACE_ITER,
                ..LinkCreate::default()
            },
        );
        let link = link.context("linking a BPF iterator")?;
        Ok(Self { program, link })
    }

    /// Goes once over every socket of the calling thread's network namespace.
    pub fn run(&self) -> Result<()> {
        let run = bpf(
            BPF_ITER_CREATE,
            &IterCreate {
                link_fd: self.link.as_raw_fd().cast_unsigned(),
                ..IterCreate::default()
            },
        );
        let mut run = File::from(run.context("making a BPF iterator")?);
        loop {
            match run.read(&mut [0; 64]) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // After a million objects without output (bpf_seq_read()).
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("reading from a BPF iterator"),
            }
        }
    }

    /// How many sockets `run` has the program see; it costs more than a run that is measured.
    pub fn count(&self, runs: u64, run: impl FnOnce() -> Result<()>) -> Result<u64> {
        let statistics = statistics::enable().context("having the kernel count BPF programs")?;
        let before = self.program_runs()?;
        run()?;
        let after = self.program_runs()?;
        drop(statistics);
        // Each run's last call is for the end, without a socket.
        Ok((after - before).saturating_sub(runs))
    }

    fn program_runs(&self) -> Result<u64> {
        let path = format!("/proc/self/fdinfo/{}", self.program.as_raw_fd());
        let facts = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        facts
            .lines()
            .find_map(|line| line.strip_prefix("run_cnt:")?.trim().parse().ok())
            .with_context(|| format!("{path} tells no run_cnt"))
    }
}

/// The number of [`TARGET`] in the kernel's BTF.
fn target() -> Result<u32> {
    let bytes = fs::read(BTF).with_context(|| format!("reading {BTF}"))?;
    let types = TypeInformation::new(&Bytes(bytes))
        .map_err(|error| anyhow::anyhow!("reading {BTF}: {}", error.message()))?;
    let is_target = |kind: &TypeVariant| match kind {
        TypeVariant::Func(function) => function.name().as_deref() == Some(TARGET),
        _ => false,
    };
    let found = types.get().iter().find(|(_, kind)| is_target(kind));
    let (id, _) = found.with_context(|| format!("this kernel has no {TARGET}"))?;
    Ok(*id)
}

/// A file in memory, as the parser wants it.
struct Bytes(Vec<u8>);

impl Readable for Bytes {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..)?.get(..buffer.len()))
            .ok_or_else(|| Error::new(BtfErrorKind::IOError, "it ends too early"))?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// bpf(2), for commands that return a descriptor.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads size_of::<T>() bytes of `attributes`, and what its pointers lead to,
    // which lives as long as the program; it writes nothing.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, and its descriptor belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
