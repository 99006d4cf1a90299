//! How the kernel lets a connection die, as the socket itself tells, and /proc/net/tcp where nobody holds it.

use std::{
    fs, io,
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use halfopen_lab::net::{family::Family, pair::Pair};
use socket2::Socket;

use super::stage::Staged;

/// What each timer that fires changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Timers {
    /// `icsk_retransmits`, `icsk_probes_out`, `icsk_backoff`.
    counts: [u64; 3],
}

/// One connection from its peer's vanishing on.
#[derive(Debug)]
pub struct Observed {
    /// Index of its host.
    pub host: usize,
    pub began: Instant,
    /// The RTO then.
    pub first_rto: Duration,
    timers: Timers,
    /// Timers that fired.
    pub fired: usize,
    /// Before the latest firing.
    pub fired_after: Instant,
    looked: Instant,
    /// Alive at the one, dead at the other.
    pub died: Option<[Instant; 2]>,
    /// What the socket then says.
    pub error: Option<io::Error>,
}

impl Observed {
    pub fn begin(staged: &Staged, host: usize) -> Self {
        let now = Instant::now();
        Self {
            host,
            began: now,
            first_rto: staged.first_rto,
            timers: Timers::default(),
            fired: 0,
            fired_after: now,
            looked: now,
            died: None,
            error: None,
        }
    }

    /// The last timer's length: from the firing before to the death.
    pub fn last_pause(&self) -> Duration {
        self.died.unwrap()[1] - self.fired_after
    }

    fn note(&mut self, at: Instant, found: Result<Timers, Option<io::Error>>) {
        match found {
            Ok(timers) => {
                if timers != self.timers {
                    self.timers = timers;
                    self.fired += 1;
                    self.fired_after = self.looked;
                }
                self.looked = at;
            }
            Err(error) => {
                self.died = Some([self.looked, Instant::now()]);
                self.error = error;
            }
        }
    }
}

/// The part of `struct tcp_info` that is looked at (include/uapi/linux/tcp.h).
#[derive(Debug, Clone, Copy)]
pub struct Info {
    timers: Timers,
    pub rto: Duration,
    pub unacknowledged: u32,
}

/// TCP_INFO.
pub fn info(socket: &Socket) -> Info {
    let mut bytes = [0_u8; 104];
    let mut length: libc::socklen_t = 104;
    // SAFETY: the descriptor is open as long as the socket, and the kernel writes `length` bytes at most.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            bytes.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    Info {
        timers: Timers {
            counts: [bytes[2], bytes[3], bytes[4]].map(u64::from),
        },
        rto: Duration::from_micros(word(8).into()),
        unacknowledged: word(24),
    }
}

/// When it was read, and its connections by local port.
type Table = (Instant, Vec<(u16, Timers)>);

/// Lines of /proc/net/tcp by local port, with `icsk_retransmits` and `icsk_probes_out`: get_tcp4_sock() in
/// net/ipv4/tcp_ipv4.c.
fn table(pair: &Pair, family: Family) -> Vec<(u16, Timers)> {
    let file = match family {
        Family::Ipv4 => "tcp",
        Family::Ipv6 | Family::Mapped => "tcp6",
    };
    let text = pair
        .client
        .run(move || fs::read_to_string(format!("/proc/thread-self/net/{file}")))
        .unwrap()
        .unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = fields[1].rsplit(':').next().unwrap();
        let counts = [
            u64::from_str_radix(fields[6], 16).unwrap(),
            fields[8].parse().unwrap(),
            0,
        ];
        (u16::from_str_radix(port, 16).unwrap(), Timers { counts })
    };
    text.lines().skip(1).map(row).collect()
}

/// Looks at each that is alive.
pub fn look<'a>(pairs: &[Pair], all: impl Iterator<Item = (&'a Staged, &'a mut Observed)>) {
    let mut tables: Vec<Option<Table>> = pairs.iter().map(|_| None).collect();
    for (staged, observed) in all.filter(|(_, observed)| observed.died.is_none()) {
        let (at, found) = if let Some(socket) = &staged.socket {
            let at = Instant::now();
            let found = match socket.take_error().unwrap() {
                None => Ok(info(socket).timers),
                error => Err(error),
            };
            (at, found)
        } else {
            let (at, table) = tables[observed.host].get_or_insert_with(|| {
                (Instant::now(), table(&pairs[observed.host], staged.family))
            });
            let found = table.iter().find(|(port, _)| *port == staged.port);
            (*at, found.map(|(_, timers)| *timers).ok_or(None))
        };
        observed.note(at, found);
    }
}
