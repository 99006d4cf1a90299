//! Reports which process holds which TCP socket: the kernel runs it for every descriptor of every
//! process, as its iterator over them is read. Each descriptor is reported once.

use aya_ebpf::{
    bindings::{file, seq_file},
    helpers::{
        bpf_get_current_task,
        generated::{bpf_seq_write, bpf_sock_from_file},
    },
};
use halfopen_common::SocketHolder;
use zerocopy::FromZeros as _;

use crate::{
    fields,
    kernel::kernel,
    read::{FieldReader, Offset, read},
    sock::Sock,
};

/// SOCK_STREAM (include/linux/net.h).
const SOCK_STREAM: u16 = 1;
/// IPPROTO_TCP.
const IPPROTO_TCP: u16 = 6;
/// IPPROTO_MPTCP.
const IPPROTO_MPTCP: u16 = 262;
/// A connection of MPTCP has one subflow for each path, eight beside the first at most
/// (`MPTCP_PM_ADDR_MAX`, net/mptcp/protocol.h).
const MOST_SUBFLOWS: u32 = 9;

/// `struct bpf_iter__task_file` (kernel/bpf/task_iter.c), whose members take eight bytes each.
#[repr(C)]
pub struct TaskFile {
    meta: *const Meta,
    task: u64,
    fd: u64,
    file: *mut file,
}

/// The beginning of `struct bpf_iter_meta` (include/linux/bpf.h).
#[repr(C)]
struct Meta {
    seq: *mut seq_file,
}

/// Threads that share their process's descriptors are passed over by the kernel itself
/// (`task_seq_get_next`). 1 would ask for the same descriptor again.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn task_file(visit: *const TaskFile) -> i32 {
    // SAFETY: the kernel hands over a live one; the verifier knows its type.
    let TaskFile {
        meta,
        task,
        fd,
        file,
    } = unsafe { &*visit };
    // Both are missing at the end.
    if *task != 0 && !file.is_null() {
        // SAFETY: as above.
        let seq = unsafe { (**meta).seq };
        // SAFETY: the kernel holds the file.
        let socket = unsafe { bpf_sock_from_file(*file) };
        if !socket.is_null() {
            let _ = report(seq, *task, *fd as u32, socket as u64);
        }
    }
    0
}

#[inline(always)]
fn report(seq: *mut seq_file, task: u64, fd: u32, socket: u64) -> Option<()> {
    let sock = read(socket, fields::socket_sk())?;
    let protocol = read(sock, fields::protocol())?;
    if protocol == IPPROTO_MPTCP {
        return report_subflows(seq, task, fd, sock);
    }
    let kind = read(sock, fields::sock_type())?;
    if protocol != IPPROTO_TCP || kind != SOCK_STREAM {
        return None;
    }
    let mut held = holder(task, fd)?;
    write(seq, &mut held, Sock(sock))
}

/// What is held is a socket of MPTCP, and so are held the TCP sockets behind it.
#[inline(always)]
fn report_subflows(seq: *mut seq_file, task: u64, fd: u32, sock: u64) -> Option<()> {
    let list = fields::mptcp_subflows();
    if list.is_absent() {
        return None;
    }
    let mut held = holder(task, fd)?;
    let list = list.of(sock);
    let mut entry = list;
    for _ in 0..MOST_SUBFLOWS {
        // The list may change under the reader: what is reported then is no address that a walk met.
        entry = read(entry, Offset::new(0))?;
        if entry == list {
            break;
        }
        let context = fields::subflow_node().owner(entry);
        let subflow = read(context, fields::subflow_sock())?;
        write(seq, &mut held, Sock(subflow))?;
    }
    Some(())
}

/// The process that holds the descriptor.
#[inline(always)]
fn holder(task: u64, fd: u32) -> Option<SocketHolder> {
    let mut held = SocketHolder::new_zeroed();
    let leader = read(task, fields::task_leader())?;
    held.pid = pid(leader)?;
    held.fd = fd;
    held.cgroup = cgroup(leader).unwrap_or(0);
    let mut reader = FieldReader::of(leader);
    reader.field(&raw mut held.name, fields::task_comm());
    reader.ok().then_some(held)
}

/// Id of the cgroup (v2) that a task is in (`task_dfl_cgroup`).
#[inline(always)]
fn cgroup(task: u64) -> Option<u64> {
    let set = read(task, fields::task_cgroups())?;
    let cgroup = read(set, fields::css_set_cgroup())?;
    read(read(cgroup, fields::cgroup_kn())?, fields::kn_id())
}

/// A task's number in the PID namespace of the reader, on whose behalf the iterator runs
/// (`task_pid_nr_ns`).
#[inline(always)]
fn pid(task: u64) -> Option<u32> {
    // SAFETY: takes no argument.
    let reader = unsafe { bpf_get_current_task() };
    let own = read(reader, fields::task_pid())?;
    let level = read(own, fields::pid_level())?;
    let pid = read(task, fields::task_pid())?;
    let number = u64::from(level) * u64::from(kernel!(upid_size));
    let upid = fields::pid_numbers().of(pid).wrapping_add(number);
    read(upid, fields::upid_number())
}

/// Where the buffer is full the kernel notices by itself, and asks for this descriptor again.
#[inline(always)]
fn write(seq: *mut seq_file, held: &mut SocketHolder, sock: Sock) -> Option<()> {
    held.sock = sock.0;
    held.local_port = read(sock.0, fields::local_port())?;
    held.remote_port = sock.remote_port()?;
    // SAFETY: `held` has this size, and no byte of it is unset.
    unsafe {
        bpf_seq_write(
            seq,
            (&raw const *held).cast(),
            size_of::<SocketHolder>() as u32,
        )
    };
    Some(())
}
