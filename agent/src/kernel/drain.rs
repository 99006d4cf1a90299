//! Reads the ring buffers as they fill: ended records, and the programs' log.
//! It must never hold up a snapshot: it has its own thread.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use aya_log::EbpfLogger;
use halfopen_common::{Ended, Ending, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{debug, warn};
use zerocopy::FromBytes as _;

use super::{Error, maps};
use crate::model::death;

/// How often the buffers are looked at: the programs wake the thread only when one fills up.
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 250_000_000,
};

/// The thread; it ends when this is dropped.
pub struct Drain {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drain {
    /// Starts it.
    ///
    /// # Errors
    /// When a map is missing or the thread cannot be started.
    pub fn start(ebpf: &mut Ebpf, log: bool) -> Result<Self, Error> {
        let mut events = maps::events(ebpf)?;
        let mut logger = log.then(|| EbpfLogger::init(ebpf)).and_then(|logger| {
            logger
                .inspect_err(|error| warn!(%error, "the kernel side cannot log"))
                .ok()
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            while !stopped.load(Ordering::Relaxed) {
                wait(&events, logger.as_ref());
                while let Some(item) = events.next() {
                    match Ended::read_from_bytes(&item) {
                        Ok(ended) => note(&ended),
                        Err(_) => warn!(
                            bytes = item.len(),
                            "an ended record of an unknown size was left out"
                        ),
                    }
                }
                if let Some(logger) = &mut logger {
                    logger.flush();
                }
            }
        };
        let thread = thread::Builder::new()
            .name("events".into())
            .spawn(run)
            .map_err(|source| Error::Thread {
                what: "reads the kernel's events",
                source,
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

fn wait(events: &RingBuf<MapData>, logger: Option<&EbpfLogger<&'static dyn log::Log>>) {
    let mut fds = vec![PollFd::new(events, PollFlags::IN)];
    fds.extend(logger.map(|logger| PollFd::new(logger, PollFlags::IN)));
    // Interrupted or not: the buffers are looked at either way.
    let _ = poll(&mut fds, Some(&WAIT));
}

/// One line for each socket that had a record, when it is destroyed.
fn note(ended: &Ended) {
    let Record { ending, state, .. } = ended.record;
    let cause = Ending::ALL
        .into_iter()
        .find(|known| *known as u8 == ending)
        .and_then(death::cause)
        .map_or("closed", |cause| cause.as_str());
    let record = &ended.record;
    debug!(
        cause,
        state,
        local = %SocketAddr::new(address(record.local), record.local_port),
        remote = %SocketAddr::new(address(record.remote), record.remote_port),
        netns = record.net.inum,
        cgroup = record.cgroup,
        uid = record.uid,
        keepalive_probes = record.keepalive_probes,
        keepalive_answered = record.keepalive_answered,
        window_probes = record.window_probes,
        window_answered = record.window_answered,
        retransmission_timeouts = record.retransmission_timeouts,
        resets_sent = record.resets_sent,
        resets_received = record.resets_received,
        observed_ms = ended.at_ns.saturating_sub(record.first_ns) / 1_000_000,
        "socket destroyed"
    );
}

/// An address as people write it: ::ffff:a.b.c.d as a.b.c.d.
fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook already.
            let _ = thread.join();
        }
    }
}
