//! Reads the kernel's own tables of TCP sockets and namespaces, and hands out maps.
//!
//! Never attached: the agent runs these programs (BPF_PROG_TEST_RUN), which puts them under
//! rcu_read_lock().

mod destination;
mod dump;
mod fast_path;
mod nets;
mod output;
mod program;
mod scratch;
mod socket;
mod sum;
mod suspects;
mod table;
