//! The running kernel's layout, from its BTF by name: offsets, argument positions, enum values.
//! It must never know a version number, and never guess: what is not there is absent.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::Path,
};

use windows::Windows;

use btfparse::{Integer32Value, Offset, Readable, TypeInformation, TypeVariant};
use halfopen_common::{ABSENT, Kernel};

use super::{BTF, Error};

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

/// Functions the hooks may attach to.
const FUNCTIONS: [&str; 12] = [
    "tcp_keepalive_timer",
    "tcp_write_timer_handler",
    "tcp_retransmit_timer",
    "tcp_xmit_probe_skb",
    "tcp_write_wakeup",
    "tcp_send_active_reset",
    "tcp_v4_send_reset",
    "tcp_v6_send_reset",
    "tcp_reset",
    "tcp_set_state",
    "tcp_v4_destroy_sock",
    "reqsk_timer_handler",
];

const STRUCTS: [&str; 22] = [
    "sock",
    "inet_sock",
    "ipv6_pinfo",
    "inet_connection_sock",
    "tcp_sock",
    "net",
    "cgroup",
    "kernfs_node",
    "timer_list",
    "sk_buff",
    "net_device",
    "rtable",
    "rt6_info",
    "tcp6_sock",
    "inet_timewait_sock",
    "tcp_timewait_sock",
    "request_sock",
    "tcp_request_sock",
    "task_struct",
    "nsproxy",
    "inet_hashinfo",
    "inet_listen_hashbucket",
];

/// Enumerators the hooks and the walk need: of the tens of thousands there are no others are kept.
const VALUES: [&str; 5] = [
    "LINUX_MIB_TCPKEEPALIVE",
    "LINUX_MIB_TCPWINPROBE",
    "SK_RST_REASON_TCP_STATE",
    "SOCK_DEAD",
    "SOCK_KEEPOPEN",
];

/// The type of the argument that says why a reset is sent.
const REASON: &str = "sk_rst_reason";
const REASON_PREFIX: &str = "SK_RST_REASON_";
/// BTF's declaration of the tracepoint; its first argument is not the program's.
const TRACE_RESET: &str = "btf_trace_tcp_send_reset";

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

/// One pass over the types: names alone do not do, since a function or variable may share a
/// structure's name.
struct Index<'a> {
    types: &'a TypeInformation,
    structs: HashMap<&'static str, Vec<u32>>,
    functions: HashMap<&'static str, u32>,
    values: HashMap<&'static str, u32>,
    reset_reasons: HashMap<u32, String>,
    trace_reset: Option<u32>,
}

impl<'a> Index<'a> {
    fn new(types: &'a TypeInformation) -> Self {
        let mut index = Self {
            types,
            structs: HashMap::new(),
            functions: HashMap::new(),
            values: HashMap::new(),
            reset_reasons: HashMap::new(),
            trace_reset: None,
        };
        for (id, kind) in types.get() {
            index.add(*id, kind);
        }
        index
    }

    fn add(&mut self, id: u32, kind: &'a TypeVariant) {
        let known = |names: &[&'static str], name: &Option<String>| {
            names
                .iter()
                .copied()
                .find(|known| Some(*known) == name.as_deref())
        };
        match kind {
            TypeVariant::Struct(found) => {
                if let Some(name) = known(&STRUCTS, found.name()) {
                    self.structs.entry(name).or_default().push(id);
                }
            }
            TypeVariant::Func(found) => {
                if let Some(name) = known(&FUNCTIONS, found.name()) {
                    self.functions.insert(name, *found.prototype_tid());
                }
            }
            TypeVariant::Typedef(found) if found.name().as_deref() == Some(TRACE_RESET) => {
                self.trace_reset = Some(*found.tid());
            }
            TypeVariant::Enum(found) => {
                for named in found.named_value_list() {
                    let value = match named.value {
                        Integer32Value::Unsigned(value) => value,
                        Integer32Value::Signed(value) => value.cast_unsigned(),
                    };
                    if let Some(name) = VALUES.into_iter().find(|known| *known == named.name) {
                        self.values.insert(name, value);
                    }
                    if found.name().as_deref() == Some(REASON)
                        && let Some(name) = named.name.strip_prefix(REASON_PREFIX)
                    {
                        self.reset_reasons.insert(value, name.to_lowercase());
                    }
                }
            }
            _ => {}
        }
    }

    /// Offset of a field in bytes, in the first structure of that name that has it.
    fn find(&self, structure: &str, field: &str) -> Option<u32> {
        self.structs.get(structure)?.iter().find_map(|id| {
            match self.types.offset_of(*id, field).ok()?.1 {
                Offset::ByteOffset(offset) => Some(offset),
                Offset::BitOffsetAndSize(..) => None,
            }
        })
    }

    /// Offset of the byte that holds a field of a few bits.
    fn byte_of_bits(&self, structure: &str, field: &str) -> u32 {
        let offset = |id: &u32| match self.types.offset_of(*id, field).ok()?.1 {
            Offset::ByteOffset(offset) => Some(offset),
            Offset::BitOffsetAndSize(bits, size) if bits % 8 + size <= 8 => Some(bits / 8),
            Offset::BitOffsetAndSize(..) => None,
        };
        let found = self.structs.get(structure);
        found
            .and_then(|ids| ids.iter().find_map(offset))
            .unwrap_or(ABSENT)
    }

    fn need(&self, structure: &str, field: &str) -> Result<u32, String> {
        self.find(structure, field)
            .ok_or_else(|| format!("{structure}.{field}"))
    }

    fn may(&self, structure: &str, field: &str) -> u32 {
        self.find(structure, field).unwrap_or(ABSENT)
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

    /// Size of a structure in bytes.
    fn size(&self, structure: &str) -> u32 {
        let size = |id: &u32| match self.types.get().get(id) {
            Some(TypeVariant::Struct(found)) => u32::try_from(*found.size()).ok(),
            _ => None,
        };
        let found = self.structs.get(structure);
        found
            .and_then(|ids| ids.iter().find_map(size))
            .unwrap_or(ABSENT)
    }

    fn value(&self, name: &str) -> Option<u32> {
        self.values.get(name).copied()
    }

    fn need_value(&self, name: &str) -> Result<u32, String> {
        self.value(name).ok_or_else(|| name.to_owned())
    }

    fn parameters(&self, prototype: u32) -> Option<Vec<u32>> {
        match self.types.get().get(&prototype)? {
            TypeVariant::FuncProto(found) => {
                Some(found.parameter_list().iter().map(|p| p.tid()).collect())
            }
            TypeVariant::Ptr(pointer) => self.parameters(*pointer.tid()),
            _ => None,
        }
    }

    /// Position of the reason among a function's parameters.
    fn reason_argument(&self, prototype: Option<u32>) -> Option<u32> {
        let parameters = self.parameters(prototype?)?;
        let position = parameters.iter().position(|id| self.is_reason(*id))?;
        u32::try_from(position).ok()
    }

    fn is_reason(&self, id: u32) -> bool {
        match self.types.get().get(&id) {
            Some(TypeVariant::Enum(found)) => found.name().as_deref() == Some(REASON),
            Some(TypeVariant::Const(inner)) => self.is_reason(*inner.tid()),
            _ => false,
        }
    }

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
}

mod windows;

#[cfg(test)]
mod tests;
