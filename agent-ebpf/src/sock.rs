//! The only reads of `struct sock` and its relatives, at offsets the agent took from BTF.
//! It must never be told an offset by anything but [`halfopen_common::Kernel`].

use aya_ebpf::helpers::{bpf_jiffies64, bpf_probe_read_kernel};
use halfopen_common::{ABSENT, NetKey, Record, direction, state};

use crate::maps::{kernel, now_ns};

/// AF_INET.
const AF_INET: u16 = 2;
/// AF_INET6.
pub const AF_INET6: u16 = 10;
/// SHUTDOWN_MASK (include/net/sock.h): closed in both directions.
pub const SHUTDOWN_MASK: u8 = 3;
/// IPPROTO_TCP.
const IPPROTO_TCP: u16 = 6;
/// RTN_LOCAL (include/uapi/linux/rtnetlink.h).
const RTN_LOCAL: u8 = 2;
/// RTF_LOCAL (include/uapi/linux/ipv6_route.h).
const RTF_LOCAL: u32 = 0x8000_0000;

/// Reads a kernel object's field; `None` if the field is absent or the memory unreadable.
#[inline(always)]
pub fn read<T>(object: u64, offset: u32) -> Option<T> {
    if offset == ABSENT || object == 0 {
        return None;
    }
    let address = object.wrapping_add(u64::from(offset)) as *const T;
    // SAFETY: the helper checks the access itself and fails on bad memory.
    unsafe { bpf_probe_read_kernel(address) }.ok()
}

/// A `struct sock *`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sock(pub u64);

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $field:ident;)*) => {
        impl Sock {$(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name(self) -> Option<$type> {
                read(self.0, kernel!($field))
            }
        )*}
    };
}

fields! {
    /// `skc_state`.
    state: u8 = state;
    /// `sk_err`.
    err: i32 = err;
    /// `sk_shutdown`.
    shutdown: u8 = shutdown;
    /// `icsk_pending`.
    pending: u8 = pending;
    /// `icsk_retransmits`.
    retransmits: u8 = retransmits;
    /// `icsk_probes_out`.
    probes_out: u8 = probes_out;
    /// `icsk_user_timeout`, ms.
    user_timeout: u32 = user_timeout;
    /// `segs_out`.
    segs_out: u32 = segs_out;
    /// `packets_out`.
    packets_out: u32 = packets_out;
    /// `write_seq`.
    write_seq: u32 = write_seq;
    /// `snd_nxt`.
    snd_nxt: u32 = snd_nxt;
    /// `snd_una`.
    snd_una: u32 = snd_una;
    /// `snd_wnd`.
    snd_wnd: u32 = snd_wnd;
    /// `rcv_nxt`.
    rcv_nxt: u32 = rcv_nxt;
    /// `copied_seq`.
    copied_seq: u32 = copied_seq;
    /// `linger2`.
    linger2: i32 = linger2;
    /// `fastopen_rsk`.
    fastopen_rsk: u64 = fastopen_rsk;
    /// `sk_lock.owned`.
    owned: i32 = owned;
    /// `skc_family`.
    family: u16 = family;
}

impl Sock {
    /// The socket a hook was given, if any.
    #[inline(always)]
    pub fn new(address: u64) -> Option<Self> {
        (address != 0).then_some(Self(address))
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
        read::<u16>(self.0, kernel!(protocol)) == Some(IPPROTO_TCP)
    }

    /// SOCK_DEAD: closed by its application.
    #[inline(always)]
    pub fn is_dead(self) -> Option<bool> {
        self.has_flag(kernel!(flag_dead))
    }

    #[inline(always)]
    fn has_flag(self, flag: u32) -> Option<bool> {
        let flags: u64 = read(self.0, kernel!(flags))?;
        Some(flags >> (flag & 63) & 1 != 0)
    }

    /// In SYN_SENT: since the first SYN was sent (`tcp_connect` notes it in milliseconds).
    #[inline(always)]
    pub fn knocking_ns(self) -> Option<u64> {
        const MS: u64 = 1_000_000;
        let first: u32 = read(self.0, kernel!(retrans_stamp))?;
        let now = (now_ns() / MS) as u32;
        Some(u64::from(now.wrapping_sub(first)) * MS)
    }

    /// Since the peer was last heard; `None` where the length of a jiffy is not known.
    #[inline(always)]
    pub fn silence_ns(self) -> Option<u64> {
        let now = jiffies();
        let ack: u32 = read(self.0, kernel!(rcv_tstamp))?;
        let data: u32 = read(self.0, kernel!(lrcvtime))?;
        let (ack, data) = (now.wrapping_sub(ack), now.wrapping_sub(data));
        span_ns(if ack < data { ack } else { data })
    }

    /// Whether it is a full socket of a connection: neither a request, nor TIME_WAIT, nor a listener.
    #[inline(always)]
    pub fn is_connection(self) -> bool {
        self.state().is_some_and(|state| {
            state != state::NEW_SYN_RECV && state != state::TIME_WAIT && state != state::LISTEN
        })
    }

    /// Its network namespace; only `sock_common` is read, so any kind of socket will do.
    #[inline(always)]
    pub fn net(self) -> Option<NetKey> {
        net_key(read(self.0, kernel!(net))?)
    }

    /// Id of its own cgroup, 0 if the kernel does not tell.
    #[inline(always)]
    pub fn cgroup(self) -> u64 {
        self.try_cgroup().unwrap_or(0)
    }

    #[inline(always)]
    fn try_cgroup(self) -> Option<u64> {
        let cgroup: u64 = read(self.0, kernel!(cgroup))?;
        // Before 5.15 the low bit marks a value that is no pointer (sock_cgroup_data.is_data).
        if cgroup & 1 != 0 {
            return None;
        }
        let node: u64 = read(cgroup, kernel!(cgroup_kn))?;
        read(node, kernel!(kn_id))
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
        read::<u32>(self.0, kernel!(max_ack_backlog)).map(|limit| limit != 0)
    }

    /// The same of a socket that has no backlog limit.
    #[inline(always)]
    fn direction_without_backlog(self) -> u8 {
        if read::<i32>(self.0, kernel!(mc_index)) != Some(0) {
            return direction::INBOUND;
        }
        if self.family() == Some(AF_INET6)
            && let Some(inet6) = read::<u64>(self.0, kernel!(pinet6))
            && read::<i32>(inet6, kernel!(mcast_oif)).is_some_and(|index| index != 0)
        {
            return direction::INBOUND;
        }
        direction::OUTBOUND
    }

    /// Local port, host order, kept after the port was released.
    #[inline(always)]
    pub fn local_port(self) -> Option<u16> {
        read(self.0, kernel!(inet_sport)).map(u16::from_be)
    }

    /// Remote port, host order.
    #[inline(always)]
    pub fn remote_port(self) -> Option<u16> {
        read(self.0, kernel!(remote_port)).map(u16::from_be)
    }

    /// Whether `tcp_write_wakeup` would send data instead of a probe: there is some, and the window
    /// has room for its beginning.
    #[inline(always)]
    pub fn would_send_data(self) -> Option<bool> {
        let next = self.snd_nxt()?;
        let room = self
            .snd_una()?
            .wrapping_add(self.snd_wnd()?)
            .wrapping_sub(next);
        Some(self.write_seq()? != next && room != 0 && room < 1 << 31)
    }

    /// Whether the peer was heard at or after this moment: an acceptable ACK (`rcv_tstamp`) or data
    /// (`lrcvtime`; header prediction skips `tcp_ack`).
    #[inline(always)]
    pub fn heard_since(self, jiffies: u32) -> Option<bool> {
        let ack: u32 = read(self.0, kernel!(rcv_tstamp))?;
        let data: u32 = read(self.0, kernel!(lrcvtime))?;
        Some(is_at_or_after(ack, jiffies) || is_at_or_after(data, jiffies))
    }
}

/// Low 32 bits of jiffies, the clock of the sockets' own time stamps.
#[inline(always)]
pub fn jiffies() -> u32 {
    // SAFETY: the helper takes no argument.
    unsafe { bpf_jiffies64() as u32 }
}

/// Nanoseconds of so many jiffies; `None` where the length of one is not known.
#[inline(always)]
pub fn span_ns(jiffies: u32) -> Option<u64> {
    let jiffy: u64 = kernel!(jiffy_ns);
    (jiffy != 0).then(|| u64::from(jiffies) * jiffy)
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

#[inline(always)]
fn net_key(net: u64) -> Option<NetKey> {
    Some(NetKey {
        cookie: read(net, kernel!(net_cookie)).unwrap_or(0),
        inum: read(net, kernel!(net_inum))?,
        padding: 0,
    })
}

/// A `struct sk_buff *`: the segment a reset answers.
#[derive(Clone, Copy)]
pub struct Segment(pub u64);

impl Segment {
    /// The namespace of the device it came in by.
    #[inline(always)]
    pub fn net(self) -> Option<NetKey> {
        let device: u64 = read(self.0, kernel!(skb_dev))?;
        net_key(read(device, kernel!(dev_net))?)
    }

    /// Its two ends, as a reset's that answers it: it was sent to the local one.
    #[inline(always)]
    pub fn ends(self, record: &mut Record) -> Option<()> {
        let head: u64 = read(self.0, kernel!(skb_head))?;
        let network: u16 = read(self.0, kernel!(skb_network))?;
        let transport: u16 = read(self.0, kernel!(skb_transport))?;
        let ip = head.wrapping_add(u64::from(network));
        let tcp = head.wrapping_add(u64::from(transport));
        record.remote_port = read(tcp, 0).map(u16::from_be)?;
        record.local_port = read(tcp, 2).map(u16::from_be)?;
        let version: u8 = read(ip, 0)?;
        // RFC 791 and RFC 8200: where the addresses stand in the header.
        if version >> 4 == 6 {
            record.family = AF_INET6;
            record.remote = read(ip, 8)?;
            record.local = read(ip, 24)?;
        } else {
            record.family = AF_INET;
            record.remote = mapped(read(ip, 12)?);
            record.local = mapped(read(ip, 16)?);
        }
        Some(())
    }

    /// Whether it is itself a reset: never answered.
    #[inline(always)]
    pub fn is_reset(self) -> Option<bool> {
        let head: u64 = read(self.0, kernel!(skb_head))?;
        let transport: u16 = read(self.0, kernel!(skb_transport))?;
        let flags: u8 = read(head.wrapping_add(u64::from(transport)), 13)?;
        Some(flags & 0x04 != 0)
    }

    /// Whether its route is a local one, IPv4 (`skb_rtable(skb)->rt_type`).
    #[inline(always)]
    pub fn is_local4(self) -> Option<bool> {
        Some(read::<u8>(self.route()?, kernel!(rt_type))? == RTN_LOCAL)
    }

    /// Whether its route is a local one, IPv6 (`ipv6_unicast_destination`).
    #[inline(always)]
    pub fn is_local6(self) -> Option<bool> {
        Some(read::<u32>(self.route()?, kernel!(rt6_flags))? & RTF_LOCAL != 0)
    }

    /// `skb_dst`: the low bit only says who holds it (SKB_DST_NOREF).
    #[inline(always)]
    fn route(self) -> Option<u64> {
        read::<u64>(self.0, kernel!(skb_refdst)).map(|route| route & !1)
    }
}

/// The function a `struct timer_list *` will call.
#[inline(always)]
pub fn timer_function(timer: u64) -> Option<u64> {
    read(timer, kernel!(timer_function))
}
