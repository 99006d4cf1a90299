//! What the agent reads from the running kernel's BTF and hands to the programs at load.
//! It must never hold a default: a field the kernel lacks is [`ABSENT`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The kernel has no such field, argument or value.
pub const ABSENT: u32 = u32::MAX;

/// Bits of the one word of the array `SWITCHES`: which events a shared program counts, so that none is counted by
/// two hooks.
pub mod switch {
    /// `timer_expire_*` brackets `tcp_keepalive_timer`.
    pub const TIMER_KEEPALIVE: u32 = 1;
    /// `timer_expire_*` brackets `tcp_write_timer`.
    pub const TIMER_WRITE: u32 = 2;
    /// Probes are counted when a bracket closes.
    pub const TIMER_PROBES: u32 = 4;
    /// Retransmission timeouts are counted when a bracket closes.
    pub const TIMER_RETRANSMISSIONS: u32 = 8;
    /// `tcp_send_reset` counts active resets.
    pub const TRACE_ACTIVE_RESETS: u32 = 16;
    /// `tcp_send_reset` counts resets that answer a segment.
    pub const TRACE_REPLY_RESETS: u32 = 32;
    /// `timer_expire_*` brackets `reqsk_timer_handler`.
    pub const TIMER_REQUESTS: u32 = 64;
    /// Somebody watches: every event is told, not deaths alone.
    pub const WATCHED: u32 = 128;
    /// Above these bits stands which programs count: 0, or the generation of those that do. It is one
    /// word, so that programs and what they count change hands at once.
    pub const GENERATION_SHIFT: u32 = 32;
}

/// Byte offsets, argument positions and values of the running kernel; the global `KERNEL`.
/// An offset is from the start of the object named in its comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Kernel {
    /// Address of `tcp_keepalive_timer`, 0 if unknown: what `timer->function` is compared with.
    pub keepalive_timer_fn: u64,
    /// Address of `tcp_write_timer`, likewise.
    pub write_timer_fn: u64,
    /// Address of `reqsk_timer_handler`, likewise.
    pub request_timer_fn: u64,
    /// Nanoseconds of a jiffy, 0 if unknown.
    pub jiffy_ns: u64,
    /// sock: `__sk_common.skc_family`, u16.
    pub family: u32,
    /// sock: `__sk_common.skc_state`, u8.
    pub state: u32,
    /// sock: `__sk_common.skc_dport`, u16, network order.
    pub remote_port: u32,
    /// sock: `__sk_common.skc_rcv_saddr`, u32.
    pub local4: u32,
    /// sock: `__sk_common.skc_daddr`, u32.
    pub remote4: u32,
    /// sock: `__sk_common.skc_v6_rcv_saddr`, 16 bytes; may be absent.
    pub local6: u32,
    /// sock: `__sk_common.skc_v6_daddr`, 16 bytes; may be absent.
    pub remote6: u32,
    /// sock: `__sk_common.skc_net.net`, pointer to net.
    pub net: u32,
    /// sock: `__sk_common.skc_flags`, unsigned long.
    pub flags: u32,
    /// sock: `sk_protocol`, u16 (5.6+; IPPROTO_MPTCP has IPPROTO_TCP as its low byte).
    pub protocol: u32,
    /// sock: `sk_err`, int.
    pub err: u32,
    /// sock: `sk_shutdown`, u8.
    pub shutdown: u32,
    /// sock: `sk_uid`, u32.
    pub uid: u32,
    /// sock: `sk_max_ack_backlog`, u32: a child inherits its listener's.
    pub max_ack_backlog: u32,
    /// sock: `sk_cgrp_data.cgroup`, pointer; may be absent.
    pub cgroup: u32,
    /// sock: `sk_lock.owned`, int.
    pub owned: u32,
    /// inet_sock: `inet_sport`, u16, network order: outlives the port's release at close.
    pub inet_sport: u32,
    /// inet_sock: `mc_index`, int: the interface a passive IPv4 connection came in by.
    pub mc_index: u32,
    /// inet_sock: `pinet6`, pointer; may be absent.
    pub pinet6: u32,
    /// ipv6_pinfo: `mcast_oif`, int: likewise for IPv6; may be absent.
    pub mcast_oif: u32,
    /// inet_connection_sock: `icsk_pending`, u8.
    pub pending: u32,
    /// inet_connection_sock: `icsk_retransmits`, u8.
    pub retransmits: u32,
    /// inet_connection_sock: `icsk_probes_out`, u8.
    pub probes_out: u32,
    /// inet_connection_sock: `icsk_user_timeout`, u32, ms.
    pub user_timeout: u32,
    /// inet_connection_sock: `icsk_ack.lrcvtime`, u32 jiffies.
    pub lrcvtime: u32,
    /// inet_connection_sock: the keepalive timer, a timer_list.
    pub keepalive_timer: u32,
    /// inet_connection_sock: the retransmit timer, a timer_list.
    pub retransmit_timer: u32,
    /// tcp_sock: `rcv_tstamp`, u32 jiffies: the last accepted ACK.
    pub rcv_tstamp: u32,
    /// tcp_sock: `segs_out`, u32.
    pub segs_out: u32,
    /// tcp_sock: `packets_out`, u32.
    pub packets_out: u32,
    /// tcp_sock: `write_seq`, u32.
    pub write_seq: u32,
    /// tcp_sock: `snd_nxt`, u32.
    pub snd_nxt: u32,
    /// tcp_sock: `snd_una`, u32.
    pub snd_una: u32,
    /// tcp_sock: `snd_wnd`, u32.
    pub snd_wnd: u32,
    /// tcp_sock: `rcv_nxt`, u32.
    pub rcv_nxt: u32,
    /// tcp_sock: `copied_seq`, u32.
    pub copied_seq: u32,
    /// tcp_sock: `linger2`, int.
    pub linger2: u32,
    /// tcp_sock: `fastopen_rsk`, pointer.
    pub fastopen_rsk: u32,
    /// net: `ns.inum`, u32.
    pub net_inum: u32,
    /// net: `net_cookie`, u64; may be absent.
    pub net_cookie: u32,
    /// cgroup: `kn`, pointer to kernfs_node; may be absent.
    pub cgroup_kn: u32,
    /// kernfs_node: `id`, u64; may be absent.
    pub kn_id: u32,
    /// timer_list: `function`, pointer.
    pub timer_function: u32,
    /// sk_buff: `head`, pointer.
    pub skb_head: u32,
    /// sk_buff: `transport_header`, u16.
    pub skb_transport: u32,
    /// sk_buff: `dev`, pointer to net_device.
    pub skb_dev: u32,
    /// sk_buff: `_skb_refdst`, unsigned long.
    pub skb_refdst: u32,
    /// net_device: `nd_net.net`, pointer to net.
    pub dev_net: u32,
    /// rtable: `rt_type`, u8 or u16 (its first byte serves).
    pub rt_type: u32,
    /// rt6_info: `rt6i_flags`, u32; may be absent.
    pub rt6_flags: u32,
    /// `LINUX_MIB_TCPKEEPALIVE`.
    pub mib_keepalive: u32,
    /// `LINUX_MIB_TCPWINPROBE`.
    pub mib_winprobe: u32,
    /// Position of the `enum sk_rst_reason` argument of `tcp_send_active_reset`, from 0.
    pub active_reset_reason_arg: u32,
    /// Likewise of `tcp_v4_send_reset` and `tcp_v6_send_reset`.
    pub reply_reset_reason_arg: u32,
    /// Likewise of the tracepoint `tcp_send_reset`.
    pub trace_reset_reason_arg: u32,
    /// `SK_RST_REASON_TCP_STATE`.
    pub reason_state: u32,
    /// `SOCK_DEAD`.
    pub flag_dead: u32,
    /// `SOCK_KEEPOPEN`.
    pub flag_keepopen: u32,
    /// sock: `__sk_common.skc_nulls_node`, the chain of its bucket.
    pub node: u32,
    /// sock: `__sk_common.skc_hash`, unsigned int.
    pub hash: u32,
    /// sock: `__sk_common.skc_num`, u16, host order.
    pub local_port: u32,
    /// sock: `__sk_common.skc_cookie`, u64.
    pub cookie: u32,
    /// sock: `sk_backlog.rmem_alloc`, int.
    pub rmem_alloc: u32,
    /// sock: `sk_wmem_queued`, int.
    pub wmem_queued: u32,
    /// sock: `sk_ack_backlog`, u32.
    pub ack_backlog: u32,
    /// inet_connection_sock: `icsk_rto`, u32 jiffies.
    pub rto: u32,
    /// inet_connection_sock: `icsk_backoff`, u8.
    pub backoff: u32,
    /// tcp_sock: `srtt_us`, u32.
    pub srtt_us: u32,
    /// tcp_sock: `lsndtime`, u32 jiffies.
    pub lsndtime: u32,
    /// tcp_sock: `keepalive_time`, unsigned int, jiffies.
    pub keepalive_time: u32,
    /// tcp_sock: `keepalive_intvl`, unsigned int, jiffies.
    pub keepalive_intvl: u32,
    /// tcp_sock: `keepalive_probes`, u8.
    pub keepalive_probes: u32,
    /// tcp_sock: `is_mptcp`, bool; may be absent.
    pub is_mptcp: u32,
    /// timer_list: `expires`, unsigned long.
    pub timer_expires: u32,
    /// timer_list: `entry.pprev`, pointer: whether it is pending.
    pub timer_pprev: u32,
    /// inet_timewait_sock: `tw_substate`, u8.
    pub tw_substate: u32,
    /// inet_timewait_sock: `tw_timer`, a timer_list.
    pub tw_timer: u32,
    /// request_sock: `num_retrans`, u8.
    pub num_retrans: u32,
    /// request_sock: `rsk_timer`, a timer_list.
    pub rsk_timer: u32,
    /// request_sock: `__req_common.skc_listener`, pointer to the listener.
    pub rsk_listener: u32,
    /// request_sock: the byte that holds `num_timeout` (seven bits; `syncookie` beside it stays as it
    /// is).
    pub num_timeout: u32,
    /// tcp_request_sock: `snt_synack`, u64, microseconds of CLOCK_MONOTONIC; may be absent.
    pub snt_synack: u32,
    /// sk_buff: `network_header`, u16.
    pub skb_network: u32,
    /// tcp_sock: `retrans_stamp`, u32, milliseconds: in SYN_SENT, when the first SYN was sent.
    pub retrans_stamp: u32,
    /// Size of a `tcp_sock`.
    pub tcp_sock_size: u32,
    /// Size of a `tcp6_sock`.
    pub tcp6_sock_size: u32,
    /// Size of a `tcp_timewait_sock`.
    pub timewait_size: u32,
    /// Size of a `tcp_request_sock`.
    pub request_size: u32,
    /// Size of an `inet_listen_hashbucket`; absent where listeners are not chained there.
    pub listen_bucket_size: u32,
    /// inet_listen_hashbucket: `nulls_head`, likewise.
    pub listen_head: u32,
    /// task_struct: `nsproxy`, pointer.
    pub task_nsproxy: u32,
    /// nsproxy: `net_ns`, pointer to net.
    pub nsproxy_net: u32,
    /// net: `list`, list_head: all network namespaces.
    pub net_list: u32,
    /// net: `ns.ops`, pointer.
    pub net_ops: u32,
    /// net: `ipv4.tcp_death_row.hashinfo`, pointer to inet_hashinfo; may be absent (before 6.1).
    pub net_hashinfo: u32,
    /// inet_hashinfo: `ehash`, pointer.
    pub ehash: u32,
    /// inet_hashinfo: `ehash_mask`, unsigned int.
    pub ehash_mask: u32,
    /// inet_hashinfo: `lhash2`, pointer.
    pub lhash2: u32,
    /// inet_hashinfo: `lhash2_mask`, unsigned int.
    pub lhash2_mask: u32,
    /// net: `ipv4.sysctl_tcp_keepalive_time`, int, jiffies.
    pub sysctl_keepalive_time: u32,
    /// net: `ipv4.sysctl_tcp_keepalive_intvl`, int, jiffies.
    pub sysctl_keepalive_intvl: u32,
    /// net: `ipv4.sysctl_tcp_keepalive_probes`, u8.
    pub sysctl_keepalive_probes: u32,
    /// net: `ipv4.sysctl_tcp_retries2`, u8.
    pub sysctl_retries2: u32,
    /// net: `ipv4.sysctl_tcp_orphan_retries`, u8.
    pub sysctl_orphan_retries: u32,
    /// net: `ipv4.sysctl_tcp_syn_retries`, u8.
    pub sysctl_syn_retries: u32,
    /// net: `ipv4.sysctl_tcp_synack_retries`, u8.
    pub sysctl_synack_retries: u32,
    /// net: `ipv4.sysctl_tcp_fin_timeout`, int, jiffies.
    pub sysctl_fin_timeout: u32,
    /// sock: end of the last field of its `sock_common` that a walk needs; what lies beyond may be
    /// on another cache line.
    pub common_size: u32,
    /// sock: `sk_type`, u16; may be absent, as may all that follow.
    pub sock_type: u32,
    /// socket: `sk`, pointer to sock.
    pub socket_sk: u32,
    /// task_struct: `group_leader`, pointer to task_struct.
    pub task_leader: u32,
    /// task_struct: `comm`, 16 bytes.
    pub task_comm: u32,
    /// task_struct: `thread_pid`, pointer to pid.
    pub task_pid: u32,
    /// pid: `level`, unsigned int.
    pub pid_level: u32,
    /// pid: `numbers`, an upid for each level.
    pub pid_numbers: u32,
    /// Size of a `upid`.
    pub upid_size: u32,
    /// upid: `nr`, int.
    pub upid_number: u32,
    /// mptcp_sock: `conn_list`, list_head of the subflows.
    pub mptcp_subflows: u32,
    /// mptcp_subflow_context: `node`, its place in that list.
    pub subflow_node: u32,
    /// mptcp_subflow_context: `tcp_sock`, pointer to sock.
    pub subflow_sock: u32,
}

/// Stretches of a socket that are copied at once: each goes to its own place, [`Quick::PLACE`] bytes
/// apart from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stretch {
    /// From the socket's beginning, bytes.
    pub offset: u32,
    /// Bytes, 0 for none.
    pub length: u32,
}

/// How the few fields by which most sockets are summed are read in as few copies as their layout
/// allows; the global `QUICK`. The positions are those in the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Quick {
    /// Bytes copied of every socket from its beginning: its `sock_common`, and what follows closely.
    pub head: u32,
    /// Copied of every established socket.
    pub always: [Stretch; Quick::ALWAYS],
    /// Copied where SO_KEEPALIVE is on, after the others.
    pub keepalive: [Stretch; Quick::KEEPALIVE],
    /// `packets_out`.
    pub packets_out: u32,
    /// `write_seq`.
    pub write_seq: u32,
    /// `snd_nxt`.
    pub snd_nxt: u32,
    /// `icsk_retransmits`.
    pub retransmits: u32,
    /// `icsk_probes_out`.
    pub probes_out: u32,
    /// `icsk_user_timeout`.
    pub user_timeout: u32,
    /// `icsk_ack.lrcvtime`.
    pub lrcvtime: u32,
    /// `lsndtime`.
    pub lsndtime: u32,
    /// `sk_backlog.rmem_alloc`.
    pub rmem_alloc: u32,
    /// `sk_max_ack_backlog`.
    pub max_ack_backlog: u32,
    /// `sk_cgrp_data.cgroup`; [`ABSENT`] where the kernel has none.
    pub cgroup: u32,
    /// `keepalive_time`.
    pub keepalive_time: u32,
    /// `keepalive_intvl`.
    pub keepalive_intvl: u32,
    /// `keepalive_probes`.
    pub keepalive_probes: u32,
    /// 1 if all of this could be laid out, else 0: then nothing is summed.
    pub usable: u32,
}

impl Quick {
    /// Room for the head, bytes; the copies follow it.
    pub const HEAD: u32 = 256;
    /// Room for one copy, bytes.
    pub const PLACE: u32 = 128;
    /// Stretches of every socket.
    pub const ALWAYS: usize = 6;
    /// Stretches of one with keepalive.
    pub const KEEPALIVE: usize = 4;
    /// Room for the head and all copies, bytes.
    pub const ROOM: usize =
        Self::HEAD as usize + (Self::ALWAYS + Self::KEEPALIVE) * Self::PLACE as usize;
}
