//! A path between two hosts that loses, delays or reorders what it carries: a third namespace between them, in which
//! a thread passes each frame on. It needs nothing of the kernel but veth and packet sockets: netem and nfqueue
//! are not everywhere.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, poll};

use crate::{
    Error,
    net::{
        family::Family,
        frames::{Frame, FrameSocket},
        host::{Host, NetnsLifetime},
        pair::{LINK, Pair},
    },
};

/// What it does to packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Trouble {
    /// It passes all.
    None,
    /// It drops every tenth packet of each connection and direction, of those with data as of those without. What
    /// is sent again after a loss is so not lost again, whatever goes on beside it: by chance, or by one counter
    /// for all, as many might be lost in a row as make a suspect.
    Loss,
    /// Every fifth packet with data, of each connection and direction, is overtaken by the three that follow.
    Reorder,
    /// It drops packets of 1,200 bytes and more.
    SmallMtu,
}

const TENTH: u64 = 10;
const FIFTH: u64 = 5;
const OVERTAKEN_BY: u32 = 3;
/// Where nothing follows it is passed on all the same.
const HELD_AT_MOST: Duration = Duration::from_millis(20);
const LONG: usize = 1200;

/// How often a thread at rest looks whether it must end, or has held a packet for long enough.
const TICK_MS: u8 = 5;

/// The names of the devices in the middle: towards the client, towards the server.
const DEVICES: [&str; 2] = ["client0", "server0"];

/// The path; dropped, it carries nothing any more.
#[derive(Debug)]
pub struct TroubledPath {
    state: Arc<PathState>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// Its namespace lives as long as the path.
    _middle: Host,
}

#[derive(Debug, Default)]
struct PathState {
    trouble: AtomicU8,
    is_over: AtomicBool,
    troubled: AtomicU64,
}

impl TroubledPath {
    /// Two hosts, and the path between them, without trouble at first.
    ///
    /// # Errors
    /// Without the right or the means to.
    pub fn new(name: &str, family: Family) -> Result<(Pair, Self), Error> {
        let host = |part: &str| Host::new(&format!("{name}{part}"), NetnsLifetime::Thread);
        let (client, server, middle) = (host("c")?, host("s")?, host("m")?);
        for (device, end) in DEVICES.into_iter().zip([&client, &server]) {
            let peer = end.path().display();
            middle.ip(&format!(
                "link add {device} type veth peer name {LINK} netns {peer}\nlink set {device} up\n"
            ))?;
            // One segment in each packet, as on a wire.
            end.ip(&format!("link set {LINK} gso_max_segs 1\n"))?;
        }
        let failed = |source| Error::needs_root("pass frames on in a private namespace", source);
        let open = || -> io::Result<[FrameSocket; 2]> {
            Ok([
                FrameSocket::open(DEVICES[0])?,
                FrameSocket::open(DEVICES[1])?,
            ])
        };
        let sockets = middle.run(open)?.map_err(failed)?;
        let state = Arc::new(PathState::default());
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new()
            .name(format!("{name}p"))
            .spawn(move || Forwarder::new(&sockets).run(&shared))
            .map_err(failed)?;
        let path = Self {
            state,
            thread: Some(thread),
            _middle: middle,
        };
        Ok((Pair::joined(client, server, family)?, path))
    }

    /// From now on it does this.
    pub fn set(&self, trouble: Trouble) {
        self.state.trouble.store(trouble as u8, Ordering::Relaxed);
    }

    /// Packets that were dropped or overtaken.
    #[must_use]
    pub fn troubled(&self) -> u64 {
        self.state.troubled.load(Ordering::Relaxed)
    }
}

impl Drop for TroubledPath {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A path that broke has carried nothing any more, which its connections have shown.
            let _ = thread.join();
        }
    }
}

impl PathState {
    fn trouble(&self) -> Trouble {
        let kinds = [Trouble::Loss, Trouble::Reorder, Trouble::SmallMtu];
        let now = self.trouble.load(Ordering::Relaxed);
        kinds
            .into_iter()
            .find(|kind| *kind as u8 == now)
            .unwrap_or(Trouble::None)
    }
}

/// A connection's one direction.
type FlowKey = (u16, u16);

/// The same, and whether data or nothing but acknowledgements are meant.
type CountedKey = (FlowKey, bool);

/// A packet that others overtake.
struct HeldFrame {
    frame: Frame,
    flow: FlowKey,
    overtaken: u32,
    until: Instant,
}

/// What passes frames on, from each device to the other.
struct Forwarder<'a> {
    sockets: &'a [FrameSocket; 2],
    /// Packets so far.
    counts: HashMap<CountedKey, u64>,
    /// By the device that they leave by.
    held: [Vec<HeldFrame>; 2],
}

impl<'a> Forwarder<'a> {
    fn new(sockets: &'a [FrameSocket; 2]) -> Self {
        Self {
            sockets,
            counts: HashMap::new(),
            held: [Vec::new(), Vec::new()],
        }
    }

    fn run(mut self, state: &PathState) -> io::Result<()> {
        let mut buffer = vec![0; 128 << 10];
        while !state.is_over.load(Ordering::Relaxed) {
            let mut ready = self
                .sockets
                .each_ref()
                .map(|socket| PollFd::new(std::os::fd::AsFd::as_fd(socket), PollFlags::POLLIN));
            match poll(&mut ready, TICK_MS) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            for (from, to) in [(0, 1), (1, 0)] {
                while let Some(frame) = self.sockets[from].take(&mut buffer)? {
                    self.pass(frame, to, state)?;
                }
                self.release(to, |held| Instant::now() >= held.until)?;
            }
        }
        Ok(())
    }

    fn pass(&mut self, frame: Frame, to: usize, state: &PathState) -> io::Result<()> {
        let Some(segment) = frame.segment() else {
            return self.sockets[to].give(&frame);
        };
        let flow = segment.ports;
        let trouble = state.trouble();
        let count = self.counts.entry((flow, segment.has_data)).or_default();
        *count += 1;
        let is_nth = |nth| count.is_multiple_of(nth);
        let is_lost = match trouble {
            Trouble::Loss => is_nth(TENTH),
            Trouble::SmallMtu => segment.length >= LONG,
            Trouble::None | Trouble::Reorder => false,
        };
        let is_held = trouble == Trouble::Reorder && segment.has_data && is_nth(FIFTH);
        state
            .troubled
            .fetch_add(u64::from(is_lost || is_held), Ordering::Relaxed);
        if is_lost {
            return Ok(());
        }
        if is_held {
            let until = Instant::now() + HELD_AT_MOST;
            self.held[to].push(HeldFrame {
                frame,
                flow,
                overtaken: 0,
                until,
            });
            return Ok(());
        }
        self.sockets[to].give(&frame)?;
        for held in &mut self.held[to] {
            held.overtaken += u32::from(held.flow == flow);
        }
        self.release(to, |held| held.overtaken >= OVERTAKEN_BY)
    }

    /// Passes those on that were held for long enough.
    fn release(&mut self, to: usize, is_due: impl Fn(&HeldFrame) -> bool) -> io::Result<()> {
        for held in self.held[to].extract_if(.., |held| is_due(held)) {
            self.sockets[to].give(&held.frame)?;
        }
        Ok(())
    }
}
