//! A `struct sock` and what follows from its fields.

use halfopen_common::{NetKey, direction, state};

use crate::{
    clock::{clock_ms, jiffies, span_ns},
    fields,
    kernel::kernel,
    read::{FieldReader, Offset, read},
};

/// AF_INET.
pub const AF_INET: u16 = 2;
/// AF_INET6.
pub const AF_INET6: u16 = 10;
/// SHUTDOWN_MASK (include/net/sock.h): closed in both directions.
pub const SHUTDOWN_MASK: u8 = 3;
/// RCV_SHUTDOWN (include/net/sock.h): nothing will be read any more.
pub const RCV_SHUTDOWN: u8 = 1;
/// SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6 (include/uapi/linux/errqueue.h).
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;
/// IPPROTO_TCP.
const IPPROTO_TCP: u16 = 6;

/// A `struct sock *`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sock(pub u64);

impl Sock {
    /// The socket a hook was given, if any.
    #[inline(always)]
    pub fn new(address: u64) -> Option<Self> {
        (address != 0).then_some(Self(address))
    }

    /// One of its fields.
    #[inline(always)]
    pub fn get<T>(self, offset: Offset<T>) -> Option<T> {
        read(self.0, offset)
    }

    /// The socket whose keepalive timer this is.
    #[inline(always)]
    pub fn of_keepalive_timer(timer: u64) -> Self {
        Self(timer.wrapping_sub(u64::from(kernel!(keepalive_timer))))
    }

    /// The socket whose retransmit timer this is.
    #[inline(always)]
    pub fn of_retransmit_timer(timer: u64) -> Self {
        Self(timer.wrapping_sub(u64::from(kernel!(retransmit_timer))))
    }

    /// Whether it is TCP (`inet_sock_set_state` reports others too).
    #[inline(always)]
    pub fn is_tcp(self) -> bool {
        self.get(fields::protocol()) == Some(IPPROTO_TCP)
    }

    /// The errno of the last ICMP message in its error queue. `tcp_v4_err` puts one there in SYN_SENT (5.15), and
    /// only the application that reads the queue takes it out; `tcp_v6_err` does so with IPV6_RECVERR alone.
    #[inline(always)]
    pub fn queued_icmp_error(self) -> Option<u32> {
        if self.get(fields::error_queue_len())? == 0 {
            return None;
        }
        let queued = fields::skb_cb().of(self.get(fields::error_queue())?);
        let origin = read(queued, fields::queued_origin())?;
        let is_icmp = origin == ORIGIN_ICMP || origin == ORIGIN_ICMP6;
        is_icmp.then(|| read(queued, fields::queued_errno()))?
    }

    /// SOCK_DEAD: closed by its application.
    #[inline(always)]
    pub fn is_dead(self) -> Option<bool> {
        self.has_flag(kernel!(flag_dead))
    }

    #[inline(always)]
    fn has_flag(self, flag: u32) -> Option<bool> {
        let flags = self.get(fields::flags())?;
        Some(flags >> (flag & 63) & 1 != 0)
    }

    /// In SYN_SENT: since the first SYN was sent (`tcp_connect` notes it in milliseconds).
    #[inline(always)]
    pub fn syn_sent_elapsed_ns(self) -> Option<u64> {
        let first = self.get(fields::retrans_stamp())?;
        Some(u64::from(clock_ms().wrapping_sub(first)) * 1_000_000)
    }

    /// Since any segment of the peer came; `None` where the length of a jiffy is not known. One read after another
    /// without a branch between: each would double the verifier's work.
    #[inline(always)]
    pub fn silence_ns(self) -> Option<u64> {
        let (mut ack, mut data, mut answered) = (0_u32, 0_u32, 0_u32);
        let mut reader = FieldReader::of(self.0);
        reader.field(&raw mut ack, fields::rcv_tstamp());
        reader.field(&raw mut data, fields::lrcvtime());
        reader.field(&raw mut answered, fields::last_oow_ack_time());
        if !reader.ok() {
            return None;
        }
        let now = jiffies();
        let (ack, data) = (now.wrapping_sub(ack), now.wrapping_sub(data));
        let answered = age_if_set(now, answered);
        let in_window = if ack < data { ack } else { data };
        span_ns(if in_window < answered {
            in_window
        } else {
            answered
        })
    }

    /// For how long no data has been sent or received, jiffies.
    #[inline(always)]
    pub fn idle_jiffies(self) -> Option<u32> {
        let now = jiffies();
        let sent = now.wrapping_sub(self.get(fields::lsndtime())?);
        let received = now.wrapping_sub(self.get(fields::lrcvtime())?);
        Some(if sent < received { sent } else { received })
    }

    /// Whether it is a full socket of a connection: neither a request, nor TIME_WAIT, nor a listener.
    #[inline(always)]
    pub fn is_connection(self) -> bool {
        self.get(fields::state()).is_some_and(|state| {
            state != state::NEW_SYN_RECV && state != state::TIME_WAIT && state != state::LISTEN
        })
    }

    /// Its network namespace; only `sock_common` is read, so any kind of socket will do.
    #[inline(always)]
    pub fn net(self) -> Option<NetKey> {
        net_key(self.get(fields::net())?)
    }

    /// Id of its own cgroup, 0 if the kernel has none.
    #[inline(always)]
    pub fn cgroup(self) -> u64 {
        self.try_cgroup().unwrap_or(0)
    }

    #[inline(always)]
    fn try_cgroup(self) -> Option<u64> {
        let cgroup = self.get(fields::cgroup())?;
        // Before 5.15 the low bit marks a value that is no pointer (sock_cgroup_data.is_data).
        if cgroup & 1 != 0 {
            return None;
        }
        let node = read(cgroup, fields::cgroup_kn())?;
        read(node, fields::kn_id())
    }

    /// Who opened it. A child of a listener has inherited the backlog limit (`sk_clone_lock`), or at
    /// least holds the interface its handshake came in by (`tcp_v4_syn_recv_sock`,
    /// `tcp_v6_syn_recv_sock`); a socket that called connect() has neither.
    #[inline(always)]
    pub fn direction(self) -> u8 {
        if self.has_backlog() == Some(false) {
            self.direction_without_backlog()
        } else {
            direction::INBOUND
        }
    }

    /// Whether it has inherited a listener's backlog limit.
    #[inline(always)]
    pub fn has_backlog(self) -> Option<bool> {
        self.get(fields::max_ack_backlog()).map(|limit| limit != 0)
    }

    /// The same of a socket that has no backlog limit.
    #[inline(always)]
    fn direction_without_backlog(self) -> u8 {
        if self.get(fields::mc_index()) != Some(0) {
            return direction::INBOUND;
        }
        if self.get(fields::family()) == Some(AF_INET6)
            && let Some(inet6) = self.get(fields::pinet6())
            && read(inet6, fields::mcast_oif()).is_some_and(|index| index != 0)
        {
            return direction::INBOUND;
        }
        direction::OUTBOUND
    }

    /// Local port, host order, kept after the port was released.
    #[inline(always)]
    pub fn local_port(self) -> Option<u16> {
        self.get(fields::inet_sport()).map(u16::from_be)
    }

    /// Remote port, host order.
    #[inline(always)]
    pub fn remote_port(self) -> Option<u16> {
        self.get(fields::remote_port()).map(u16::from_be)
    }

    /// Whether `tcp_write_wakeup` would send data instead of a probe: there is some, and the window
    /// has room for its beginning.
    #[inline(always)]
    pub fn would_send_data(self) -> Option<bool> {
        let next = self.get(fields::snd_nxt())?;
        let room = self
            .get(fields::snd_una())?
            .wrapping_add(self.get(fields::snd_wnd())?)
            .wrapping_sub(next);
        Some(self.get(fields::write_seq())? != next && room != 0 && room < 1 << 31)
    }

    /// Whether the peer was heard at or after this moment: an acceptable ACK (`rcv_tstamp`) or data
    /// (`lrcvtime`; header prediction skips `tcp_ack`).
    #[inline(always)]
    pub fn heard_since(self, jiffies: u32) -> Option<bool> {
        let ack = self.get(fields::rcv_tstamp())?;
        let data = self.get(fields::lrcvtime())?;
        Some(is_at_or_after(ack, jiffies) || is_at_or_after(data, jiffies))
    }
}

/// Since a moment of jiffies, where 0 is none: the longest time, then. Without a branch, which would double the
/// verifier's work.
#[inline(always)]
fn age_if_set(now: u32, then: u32) -> u32 {
    let is_set = (then | then.wrapping_neg()) >> 31;
    now.wrapping_sub(then) | is_set.wrapping_sub(1)
}

/// Whether the first of two moments of a wrapping clock is not before the second.
#[inline(always)]
fn is_at_or_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) < 1 << 31
}

/// An IPv4 address as ::ffff:a.b.c.d.
#[inline(always)]
pub fn mapped(v4: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = v4;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// The key of the namespace whose `struct net` this is.
#[inline(always)]
pub fn net_key(net: u64) -> Option<NetKey> {
    Some(NetKey {
        cookie: read(net, fields::net_cookie()).unwrap_or(0),
        inum: read(net, fields::net_inum())?,
        padding: 0,
    })
}

/// The function a `struct timer_list *` will call.
#[inline(always)]
pub fn timer_function(timer: u64) -> Option<u64> {
    read(timer, fields::timer_function())
}
