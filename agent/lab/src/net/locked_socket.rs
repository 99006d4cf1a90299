//! A socket that its process holds locked: a write that waits for a page of its own data, which is missing.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, RawFd},
    ptr,
    thread::{self, JoinHandle},
};

use nix::libc;
use socket2::Socket;

use crate::Error;

/// Of the page that is missing; its contents do not matter.
const PAGE: usize = 4096;

/// `UFFDIO_API`, `UFFDIO_REGISTER` and `UFFDIO_ZEROPAGE` (include/uapi/linux/userfaultfd.h).
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFDIO_ZEROPAGE: libc::c_ulong = 0xc020_aa04;
const UFFD_API: u64 = 0xaa;
const MISSING: u64 = 1;

/// A held socket.
#[derive(Debug)]
pub struct LockedSocket {
    faults: File,
    page: usize,
    writer: Option<JoinHandle<()>>,
}

impl LockedSocket {
    /// Begins a write of one page that is not there yet (userfaultfd(2)): the kernel copies it with the
    /// socket locked (`tcp_sendmsg`, net/ipv4/tcp.c), and waits.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(socket: &Socket) -> Result<Self, Error> {
        let failed = |source| Error::needs_root("hold a socket by a page that is missing", source);
        // SAFETY: takes flags alone and returns a new descriptor.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
        let fd = RawFd::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(failed(io::Error::last_os_error()));
        }
        // SAFETY: the descriptor was just made, and nobody else has it.
        let faults = unsafe { File::from_raw_fd(fd) };
        // SAFETY: a new anonymous mapping, of no address asked for.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(failed(io::Error::last_os_error()));
        }
        let mut locked = Self {
            faults,
            page: page as usize,
            writer: None,
        };
        locked
            .ask(UFFDIO_API, [UFFD_API, 0, 0, 0])
            .map_err(failed)?;
        let range = [locked.page as u64, PAGE as u64, MISSING, 0];
        locked.ask(UFFDIO_REGISTER, range).map_err(failed)?;
        let (socket, page) = (socket.try_clone().map_err(failed)?, locked.page);
        locked.writer = Some(thread::spawn(move || {
            // SAFETY: the page is mapped until the thread has been joined. What comes of the write does
            // not matter: the connection is dead by then.
            unsafe {
                libc::send(
                    socket.as_raw_fd(),
                    page as *const _,
                    PAGE,
                    libc::MSG_NOSIGNAL,
                )
            };
        }));
        Ok(locked)
    }

    fn ask(&self, request: libc::c_ulong, mut argument: [u64; 4]) -> io::Result<()> {
        // SAFETY: each of these requests reads and writes at most four words.
        let result = unsafe { libc::ioctl(self.faults.as_raw_fd(), request, &raw mut argument) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Brings the page, so that the write ends and the socket is free.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn release(mut self) -> Result<(), Error> {
        self.let_go()
            .map_err(|source| Error::needs_root("let go of a socket", source))
    }

    fn let_go(&mut self) -> io::Result<()> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let brought = self.ask(UFFDIO_ZEROPAGE, [self.page as u64, PAGE as u64, 0, 0]);
        // A page that is there already is as good; the thread itself cannot panic.
        let _ = writer.join();
        brought
    }
}

impl Drop for LockedSocket {
    fn drop(&mut self) {
        // Without the page the mapping stays: the thread may still wait for it.
        if self.let_go().is_ok() {
            // SAFETY: mapped by `new`, and nobody uses it any more.
            unsafe { libc::munmap(self.page as *mut _, PAGE) };
        }
    }
}
