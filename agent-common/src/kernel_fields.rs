//! The one table of what is read of the running kernel's types.
//!
//! [`kernel_fields!`] hands the table to a macro of the caller's. [`crate::Kernel`] and
//! [`crate::kernel::FIELDS`], which the agent resolves from BTF, are made from it, and so are the
//! typed offsets of the kernel programs. A new field is one row here.

/// Calls the macro that is named with the table.
///
/// `fields`: `name: type = Required("path")` or `Optional("path")`, by the structure that owns the
/// field. The type says how many bytes the programs read, which may be less than the field has. A
/// [`crate::Embedded`] is an embedded object of which only the address is used. `sizes` are structures,
/// `values` are enumerators.
#[macro_export]
macro_rules! kernel_fields {
    ($callback:ident) => {
        $callback! {
            fields {
                sock {
                    family: u16 = Required("__sk_common.skc_family");
                    state: u8 = Required("__sk_common.skc_state");
                    /// Network order.
                    remote_port: u16 = Required("__sk_common.skc_dport");
                    local4: [u8; 4] = Required("__sk_common.skc_rcv_saddr");
                    remote4: [u8; 4] = Required("__sk_common.skc_daddr");
                    local6: [u8; 16] = Optional("__sk_common.skc_v6_rcv_saddr");
                    remote6: [u8; 16] = Optional("__sk_common.skc_v6_daddr");
                    /// Pointer to net.
                    net: u64 = Required("__sk_common.skc_net.net");
                    flags: u64 = Required("__sk_common.skc_flags");
                    /// The chain of its bucket; `next` is its first word.
                    node: u64 = Required("__sk_common.skc_nulls_node");
                    hash: u32 = Required("__sk_common.skc_hash");
                    /// Host order; 0 once the port is released.
                    local_port: u16 = Required("__sk_common.skc_num");
                    cookie: u64 = Required("__sk_common.skc_cookie");
                    /// 16 bits since 5.6; IPPROTO_MPTCP has IPPROTO_TCP as its low byte.
                    protocol: u16 = Required("sk_protocol");
                    /// An errno, 0 if none.
                    err: u32 = Required("sk_err");
                    /// What ICMP said while the socket was in use, an errno; 0 if nothing, or once read.
                    err_soft: u32 = Required("sk_err_soft");
                    /// Messages that wait for the application; the last one's sk_buff.
                    error_queue: u64 = Optional("sk_error_queue.prev");
                    error_queue_len: u32 = Optional("sk_error_queue.qlen");
                    shutdown: u8 = Required("sk_shutdown");
                    uid: u32 = Required("sk_uid");
                    /// A child inherits its listener's.
                    max_ack_backlog: u32 = Required("sk_max_ack_backlog");
                    /// Pointer to cgroup.
                    cgroup: u64 = Optional("sk_cgrp_data.cgroup");
                    owned: u32 = Required("sk_lock.owned");
                    rmem_alloc: i32 = Required("sk_backlog.rmem_alloc");
                    wmem_queued: i32 = Required("sk_wmem_queued");
                    ack_backlog: u32 = Required("sk_ack_backlog");
                    sock_type: u16 = Optional("sk_type");
                    /// Pointer to socket: null before accept() (`sk_clone_lock`) and after close
                    /// (`sock_orphan`, which sets SOCK_DEAD first).
                    sk_socket: u64 = Required("sk_socket");
                }
                inet_sock {
                    /// Network order; outlives the port's release at close.
                    inet_sport: u16 = Required("inet_sport");
                    /// The interface that a passive IPv4 connection came in by.
                    mc_index: u32 = Required("mc_index");
                    /// Pointer to ipv6_pinfo.
                    pinet6: u64 = Optional("pinet6");
                }
                ipv6_pinfo {
                    /// The interface that a passive IPv6 connection came in by.
                    mcast_oif: u32 = Optional("mcast_oif");
                }
                inet_connection_sock {
                    /// One of [`crate::icsk_pending`].
                    pending: u8 = Required("icsk_pending");
                    retransmits: u8 = Required("icsk_retransmits");
                    probes_out: u8 = Required("icsk_probes_out");
                    backoff: u8 = Required("icsk_backoff");
                    /// 0 for the namespace's.
                    own_syn_retries: u8 = Required("icsk_syn_retries");
                    /// Jiffies: the first window probe since the window closed, 0 if none; since 5.11.
                    probes_tstamp: u32 = Optional("icsk_probes_tstamp");
                    /// Jiffies; since 6.15.
                    rto_max: u32 = Optional("icsk_rto_max");
                    /// Milliseconds, 0 if unset.
                    user_timeout: u32 = Required("icsk_user_timeout");
                    /// Jiffies: data last received.
                    lrcvtime: u32 = Required("icsk_ack.lrcvtime");
                    /// Jiffies.
                    rto: u32 = Required("icsk_rto");
                    /// Of a listener: TCP_DEFER_ACCEPT as a number of SYN-ACK timeouts, 0 if unset.
                    defer_accept: u8 = Optional("icsk_accept_queue.rskq_defer_accept");
                }
                tcp_sock {
                    /// Jiffies: the last accepted ACK.
                    rcv_tstamp: u32 = Required("rcv_tstamp");
                    /// Jiffies: data last sent.
                    lsndtime: u32 = Required("lsndtime");
                    /// Jiffies: a segment out of the window was answered last, such as a probe of the peer's; 0 if none
                    /// was.
                    last_oow_ack_time: u32 = Required("last_oow_ack_time");
                    /// Segments received, of whatever kind.
                    segs_in: u32 = Required("segs_in");
                    segs_out: u32 = Required("segs_out");
                    packets_out: u32 = Required("packets_out");
                    write_seq: u32 = Required("write_seq");
                    snd_nxt: u32 = Required("snd_nxt");
                    snd_una: u32 = Required("snd_una");
                    snd_wnd: u32 = Required("snd_wnd");
                    rcv_nxt: u32 = Required("rcv_nxt");
                    copied_seq: u32 = Required("copied_seq");
                    /// Payload sent, retransmissions included.
                    bytes_sent: u64 = Required("bytes_sent");
                    /// Payload received in order; a FIN counts as one.
                    bytes_received: u64 = Required("bytes_received");
                    linger2: i32 = Required("linger2");
                    /// Pointer to the request of a Fast Open child.
                    fastopen_rsk: u64 = Required("fastopen_rsk");
                    srtt_us: u32 = Required("srtt_us");
                    /// Jiffies, 0 for the namespace's.
                    keepalive_time: u32 = Required("keepalive_time");
                    /// Jiffies, 0 for the namespace's.
                    keepalive_intvl: u32 = Required("keepalive_intvl");
                    /// 0 for the namespace's.
                    keepalive_probes: u8 = Required("keepalive_probes");
                    is_mptcp: u8 = Optional("is_mptcp");
                    /// Milliseconds; in SYN_SENT, when the first SYN was sent.
                    retrans_stamp: u32 = Required("retrans_stamp");
                }
                inet_timewait_sock {
                    tw_substate: u8 = Optional("tw_substate");
                    tw_timer: Embedded = Optional("tw_timer");
                    /// Pointer to inet_bind_bucket.
                    tw_bucket: u64 = Optional("tw_tb");
                }
                inet_bind_bucket {
                    /// Below 0 for a port that connect() chose (`__inet_hash_connect`).
                    bucket_fastreuse: i8 = Optional("fastreuse");
                }
                request_sock {
                    num_retrans: u8 = Optional("num_retrans");
                    rsk_timer: Embedded = Optional("rsk_timer");
                    /// Pointer to the listener.
                    rsk_listener: u64 = Optional("__req_common.skc_listener");
                }
                tcp_request_sock {
                    /// Microseconds of CLOCK_MONOTONIC.
                    snt_synack: u64 = Optional("snt_synack");
                }
                timer_list {
                    timer_function: u64 = Required("function");
                    timer_expires: u64 = Required("expires");
                    /// Not 0 while it is pending.
                    timer_pprev: u64 = Required("entry.pprev");
                }
                sk_buff {
                    skb_head: u64 = Required("head");
                    skb_transport: u16 = Required("transport_header");
                    skb_network: u16 = Required("network_header");
                    /// Pointer to net_device.
                    skb_dev: u64 = Required("dev");
                    skb_refdst: u64 = Required("_skb_refdst");
                    /// In an error queue, a sock_exterr_skb.
                    skb_cb: Embedded = Required("cb");
                    /// Pointer to sock: the sender's, or found early (tcp_early_demux); null in between.
                    skb_sock: u64 = Optional("sk");
                    /// The index of the interface that it came in by, 0 if it was made here.
                    skb_iif: u32 = Optional("skb_iif");
                }
                sock_exterr_skb {
                    /// An errno.
                    queued_errno: u32 = Optional("ee.ee_errno");
                    queued_origin: u8 = Optional("ee.ee_origin");
                }
                dst_entry {
                    /// Pointer to net_device.
                    dst_dev: u64 = Optional("dev");
                }
                net_device {
                    /// Pointer to net.
                    dev_net: u64 = Required("nd_net.net");
                }
                rtable {
                    /// 8 or 16 bits; the first byte serves.
                    rt_type: u8 = Required("rt_type");
                }
                rt6_info {
                    rt6_flags: u32 = Optional("rt6i_flags");
                }
                net {
                    net_inum: u32 = Required("ns.inum");
                    net_cookie: u64 = Optional("net_cookie");
                    /// The list of all network namespaces.
                    net_list: Embedded = Optional("list");
                    net_ops: u64 = Optional("ns.ops");
                    /// Pointer to inet_hashinfo; since 6.1.
                    net_hashinfo: u64 = Optional("ipv4.tcp_death_row.hashinfo");
                    /// Jiffies.
                    sysctl_keepalive_time: u32 = Optional("ipv4.sysctl_tcp_keepalive_time");
                    /// Jiffies.
                    sysctl_keepalive_intvl: u32 = Optional("ipv4.sysctl_tcp_keepalive_intvl");
                    sysctl_keepalive_probes: u8 = Optional("ipv4.sysctl_tcp_keepalive_probes");
                    sysctl_retries2: u8 = Optional("ipv4.sysctl_tcp_retries2");
                    sysctl_orphan_retries: u8 = Optional("ipv4.sysctl_tcp_orphan_retries");
                    sysctl_syn_retries: u8 = Optional("ipv4.sysctl_tcp_syn_retries");
                    /// Since 6.5.
                    sysctl_syn_linear_timeouts: u8 = Optional("ipv4.sysctl_tcp_syn_linear_timeouts");
                    sysctl_synack_retries: u8 = Optional("ipv4.sysctl_tcp_synack_retries");
                    /// Jiffies.
                    sysctl_fin_timeout: u32 = Optional("ipv4.sysctl_tcp_fin_timeout");
                    /// Two ints; since 6.8 one u32, the last port in its upper half.
                    sysctl_port_range: u32 = Optional("ipv4.ip_local_ports.range");
                }
                inet_hashinfo {
                    ehash: u64 = Optional("ehash");
                    ehash_mask: u32 = Optional("ehash_mask");
                    lhash2: u64 = Optional("lhash2");
                    lhash2_mask: u32 = Optional("lhash2_mask");
                }
                inet_listen_hashbucket {
                    /// Absent where listeners are not chained there.
                    listen_head: u64 = Optional("nulls_head");
                }
                css_set {
                    /// Pointer to cgroup, that of v2.
                    css_set_cgroup: u64 = Optional("dfl_cgrp");
                }
                cgroup {
                    /// Pointer to kernfs_node.
                    cgroup_kn: u64 = Optional("kn");
                }
                kernfs_node {
                    kn_id: u64 = Optional("id");
                }
                task_struct {
                    /// Pointer to nsproxy.
                    task_nsproxy: u64 = Optional("nsproxy");
                    /// Pointer to task_struct.
                    task_leader: u64 = Optional("group_leader");
                    task_comm: [u8; 16] = Optional("comm");
                    /// Pointer to css_set.
                    task_cgroups: u64 = Optional("cgroups");
                    /// Pointer to pid.
                    task_pid: u64 = Optional("thread_pid");
                }
                nsproxy {
                    /// Pointer to net.
                    nsproxy_net: u64 = Optional("net_ns");
                }
                socket {
                    /// Pointer to sock.
                    socket_sk: u64 = Optional("sk");
                }
                pid {
                    pid_level: u32 = Optional("level");
                    /// A upid for each level.
                    pid_numbers: Embedded = Optional("numbers");
                }
                upid {
                    upid_number: u32 = Optional("nr");
                }
                mptcp_sock {
                    /// The list of its subflows.
                    mptcp_subflows: Embedded = Optional("conn_list");
                }
                mptcp_subflow_context {
                    /// Its place in that list.
                    subflow_node: Embedded = Optional("node");
                    /// Pointer to sock.
                    subflow_sock: u64 = Optional("tcp_sock");
                }
            }
            sizes {
                tcp_sock_size = "tcp_sock";
                tcp6_sock_size = "tcp6_sock";
                timewait_size = "tcp_timewait_sock";
                request_size = "tcp_request_sock";
                listen_bucket_size = "inet_listen_hashbucket";
                upid_size = "upid";
            }
            values {
                mib_keepalive = Required("LINUX_MIB_TCPKEEPALIVE");
                mib_winprobe = Required("LINUX_MIB_TCPWINPROBE");
                reason_state = Optional("SK_RST_REASON_TCP_STATE");
                reason_invalid_syn = Optional("SK_RST_REASON_INVALID_SYN");
                synack_cookie = Required("TCP_SYNACK_COOKIE");
                flag_dead = Required("SOCK_DEAD");
                flag_keepopen = Required("SOCK_KEEPOPEN");
            }
        }
    };
}
