//! The running kernel's layout, from its BTF by name: offsets, argument positions, enum values.
//! It must never know a version number, and never guess: what is not there is absent.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::Path,
};

use btfparse::{Readable, TypeInformation};
use halfopen_common::{ABSENT, Kernel};
use index::Index;
use windows::Windows;

use super::Error;
use crate::options::BTF;

mod index;
mod windows;

/// What the agent needs to know of the running kernel.
#[derive(Debug)]
pub struct Layout {
    /// For the programs.
    pub kernel: Kernel,
    /// Functions BTF describes, of those asked for, with their number of arguments.
    pub functions: HashMap<&'static str, usize>,
    /// Names of `enum sk_rst_reason` by value, in lower case without prefix; empty if there is none.
    pub reset_reasons: HashMap<u32, String>,
}

/// Reads and resolves everything. The parsed BTF is freed on return.
///
/// # Errors
/// When the file cannot be read, is no BTF, is not this kernel's, or lacks something essential.
pub fn read(path: &Path) -> Result<Layout, Error> {
    let unreadable = |source| Error::NoBtf {
        path: path.into(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    if path != Path::new(BTF)
        && let Ok(own) = fs::read(BTF)
        && own != fs::read(path).map_err(unreadable)?
        && TypeInformation::new(&Windows::on(&file)).is_ok()
    {
        return Err(Error::ForeignBtf {
            path: path.into(),
            own: BTF,
        });
    }
    parse(&Windows::on(&file), path)
}

fn parse(btf: &impl Readable, path: &Path) -> Result<Layout, Error> {
    let types = TypeInformation::new(btf).map_err(|error| Error::BadBtf {
        path: path.into(),
        reason: error.message().to_owned(),
    })?;
    Index::new(&types).layout().map_err(|what| Error::BtfLacks {
        path: path.into(),
        what,
    })
}

impl Index<'_> {
    fn layout(self) -> Result<Layout, String> {
        let icsk = "inet_connection_sock";
        let keepalive_timer = self
            .find(icsk, "icsk_keepalive_timer")
            .or_else(|| self.find("sock", "sk_timer"))
            .ok_or("inet_connection_sock.icsk_keepalive_timer or sock.sk_timer")?;
        let retransmit_timer = self
            .find("sock", "tcp_retransmit_timer")
            .or_else(|| self.find(icsk, "icsk_retransmit_timer"))
            .ok_or("sock.tcp_retransmit_timer or inet_connection_sock.icsk_retransmit_timer")?;
        let kernel = Kernel {
            keepalive_timer_fn: 0,
            write_timer_fn: 0,
            request_timer_fn: 0,
            jiffy_ns: 0,
            family: self.need("sock", "__sk_common.skc_family")?,
            state: self.need("sock", "__sk_common.skc_state")?,
            remote_port: self.need("sock", "__sk_common.skc_dport")?,
            local4: self.need("sock", "__sk_common.skc_rcv_saddr")?,
            remote4: self.need("sock", "__sk_common.skc_daddr")?,
            local6: self.may("sock", "__sk_common.skc_v6_rcv_saddr"),
            remote6: self.may("sock", "__sk_common.skc_v6_daddr"),
            net: self.need("sock", "__sk_common.skc_net.net")?,
            flags: self.need("sock", "__sk_common.skc_flags")?,
            protocol: self.need("sock", "sk_protocol")?,
            err: self.need("sock", "sk_err")?,
            shutdown: self.need("sock", "sk_shutdown")?,
            uid: self.need("sock", "sk_uid")?,
            max_ack_backlog: self.need("sock", "sk_max_ack_backlog")?,
            cgroup: self.may("sock", "sk_cgrp_data.cgroup"),
            owned: self.need("sock", "sk_lock.owned")?,
            inet_sport: self.need("inet_sock", "inet_sport")?,
            mc_index: self.need("inet_sock", "mc_index")?,
            pinet6: self.may("inet_sock", "pinet6"),
            mcast_oif: self.may("ipv6_pinfo", "mcast_oif"),
            pending: self.need(icsk, "icsk_pending")?,
            retransmits: self.need(icsk, "icsk_retransmits")?,
            probes_out: self.need(icsk, "icsk_probes_out")?,
            user_timeout: self.need(icsk, "icsk_user_timeout")?,
            lrcvtime: self.need(icsk, "icsk_ack.lrcvtime")?,
            keepalive_timer,
            retransmit_timer,
            rcv_tstamp: self.need("tcp_sock", "rcv_tstamp")?,
            segs_out: self.need("tcp_sock", "segs_out")?,
            packets_out: self.need("tcp_sock", "packets_out")?,
            write_seq: self.need("tcp_sock", "write_seq")?,
            snd_nxt: self.need("tcp_sock", "snd_nxt")?,
            snd_una: self.need("tcp_sock", "snd_una")?,
            snd_wnd: self.need("tcp_sock", "snd_wnd")?,
            rcv_nxt: self.need("tcp_sock", "rcv_nxt")?,
            copied_seq: self.need("tcp_sock", "copied_seq")?,
            linger2: self.need("tcp_sock", "linger2")?,
            fastopen_rsk: self.need("tcp_sock", "fastopen_rsk")?,
            net_inum: self.need("net", "ns.inum")?,
            net_cookie: self.may("net", "net_cookie"),
            cgroup_kn: self.may("cgroup", "kn"),
            kn_id: self.may("kernfs_node", "id"),
            timer_function: self.need("timer_list", "function")?,
            skb_head: self.need("sk_buff", "head")?,
            skb_transport: self.need("sk_buff", "transport_header")?,
            skb_dev: self.need("sk_buff", "dev")?,
            skb_refdst: self.need("sk_buff", "_skb_refdst")?,
            dev_net: self.need("net_device", "nd_net.net")?,
            rt_type: self.need("rtable", "rt_type")?,
            rt6_flags: self.may("rt6_info", "rt6i_flags"),
            mib_keepalive: self.need_value("LINUX_MIB_TCPKEEPALIVE")?,
            mib_winprobe: self.need_value("LINUX_MIB_TCPWINPROBE")?,
            active_reset_reason_arg: self
                .reason_argument(self.functions.get("tcp_send_active_reset").copied())
                .unwrap_or(ABSENT),
            reply_reset_reason_arg: self
                .reason_argument(self.functions.get("tcp_v4_send_reset").copied())
                .unwrap_or(ABSENT),
            trace_reset_reason_arg: self
                .reason_argument(self.trace_reset)
                .and_then(|position| position.checked_sub(1))
                .unwrap_or(ABSENT),
            reason_state: self.value("SK_RST_REASON_TCP_STATE").unwrap_or(ABSENT),
            flag_dead: self.need_value("SOCK_DEAD")?,
            flag_keepopen: self.need_value("SOCK_KEEPOPEN")?,
            node: self.need("sock", "__sk_common.skc_nulls_node")?,
            hash: self.need("sock", "__sk_common.skc_hash")?,
            local_port: self.need("sock", "__sk_common.skc_num")?,
            cookie: self.need("sock", "__sk_common.skc_cookie")?,
            rmem_alloc: self.need("sock", "sk_backlog.rmem_alloc")?,
            wmem_queued: self.need("sock", "sk_wmem_queued")?,
            ack_backlog: self.need("sock", "sk_ack_backlog")?,
            rto: self.need(icsk, "icsk_rto")?,
            backoff: self.need(icsk, "icsk_backoff")?,
            srtt_us: self.need("tcp_sock", "srtt_us")?,
            lsndtime: self.need("tcp_sock", "lsndtime")?,
            keepalive_time: self.need("tcp_sock", "keepalive_time")?,
            keepalive_intvl: self.need("tcp_sock", "keepalive_intvl")?,
            keepalive_probes: self.need("tcp_sock", "keepalive_probes")?,
            is_mptcp: self.may("tcp_sock", "is_mptcp"),
            timer_expires: self.need("timer_list", "expires")?,
            timer_pprev: self.need("timer_list", "entry.pprev")?,
            tw_substate: self.may("inet_timewait_sock", "tw_substate"),
            tw_timer: self.may("inet_timewait_sock", "tw_timer"),
            num_retrans: self.may("request_sock", "num_retrans"),
            rsk_timer: self.may("request_sock", "rsk_timer"),
            rsk_listener: self.may("request_sock", "__req_common.skc_listener"),
            num_timeout: self.byte_of_bits("request_sock", "num_timeout"),
            snt_synack: self.may("tcp_request_sock", "snt_synack"),
            skb_network: self.need("sk_buff", "network_header")?,
            retrans_stamp: self.need("tcp_sock", "retrans_stamp")?,
            tcp_sock_size: self.size("tcp_sock"),
            tcp6_sock_size: self.size("tcp6_sock"),
            timewait_size: self.size("tcp_timewait_sock"),
            request_size: self.size("tcp_request_sock"),
            listen_bucket_size: self.size("inet_listen_hashbucket"),
            listen_head: self.may("inet_listen_hashbucket", "nulls_head"),
            task_nsproxy: self.may("task_struct", "nsproxy"),
            nsproxy_net: self.may("nsproxy", "net_ns"),
            net_list: self.may("net", "list"),
            net_ops: self.may("net", "ns.ops"),
            net_hashinfo: self.may("net", "ipv4.tcp_death_row.hashinfo"),
            ehash: self.may("inet_hashinfo", "ehash"),
            ehash_mask: self.may("inet_hashinfo", "ehash_mask"),
            lhash2: self.may("inet_hashinfo", "lhash2"),
            lhash2_mask: self.may("inet_hashinfo", "lhash2_mask"),
            sysctl_keepalive_time: self.may("net", "ipv4.sysctl_tcp_keepalive_time"),
            sysctl_keepalive_intvl: self.may("net", "ipv4.sysctl_tcp_keepalive_intvl"),
            sysctl_keepalive_probes: self.may("net", "ipv4.sysctl_tcp_keepalive_probes"),
            sysctl_retries2: self.may("net", "ipv4.sysctl_tcp_retries2"),
            sysctl_orphan_retries: self.may("net", "ipv4.sysctl_tcp_orphan_retries"),
            sysctl_syn_retries: self.may("net", "ipv4.sysctl_tcp_syn_retries"),
            sysctl_synack_retries: self.may("net", "ipv4.sysctl_tcp_synack_retries"),
            sysctl_fin_timeout: self.may("net", "ipv4.sysctl_tcp_fin_timeout"),
            common_size: self.common_end()?,
            sock_type: self.may("sock", "sk_type"),
            socket_sk: self.may("socket", "sk"),
            task_leader: self.may("task_struct", "group_leader"),
            task_comm: self.may("task_struct", "comm"),
            task_pid: self.may("task_struct", "thread_pid"),
            pid_level: self.may("pid", "level"),
            pid_numbers: self.may("pid", "numbers"),
            upid_size: self.size("upid"),
            upid_number: self.may("upid", "nr"),
            mptcp_subflows: self.may("mptcp_sock", "conn_list"),
            subflow_node: self.may("mptcp_subflow_context", "node"),
            subflow_sock: self.may("mptcp_subflow_context", "tcp_sock"),
        };
        let functions = self
            .functions
            .iter()
            .map(|(name, prototype)| (*name, self.parameters(*prototype).map_or(0, |p| p.len())))
            .collect();
        Ok(Layout {
            kernel,
            functions,
            reset_reasons: self.reset_reasons,
        })
    }

    /// Where the last field ends that a walk needs of a `sock_common`.
    fn common_end(&self) -> Result<u32, String> {
        let fields = [
            ("skc_family", 2),
            ("skc_state", 1),
            ("skc_dport", 2),
            ("skc_num", 2),
            ("skc_rcv_saddr", 4),
            ("skc_daddr", 4),
            ("skc_v6_rcv_saddr", 16),
            ("skc_v6_daddr", 16),
            ("skc_net.net", 8),
            ("skc_flags", 8),
            ("skc_hash", 4),
            ("skc_cookie", 8),
            ("skc_nulls_node", 8),
        ];
        let end = |(field, length): (&str, u32)| {
            let offset = self.find("sock", &format!("__sk_common.{field}"))?;
            Some(offset + length)
        };
        fields
            .into_iter()
            .filter_map(end)
            .max()
            .ok_or_else(|| "sock.__sk_common".to_owned())
    }
}

#[cfg(test)]
mod tests;
