//! The types of a BTF that the agent needs, found by name.
//! It must never decide what has to be there.

use std::collections::HashMap;

use btfparse::{Integer32Value, Offset, TypeInformation, TypeVariant};
use halfopen_common::ABSENT;

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

const STRUCTS: [&str; 27] = [
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
    "socket",
    "pid",
    "upid",
    "mptcp_sock",
    "mptcp_subflow_context",
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

/// One pass over the types: names alone do not do, since a function or variable may share a
/// structure's name.
pub struct Index<'a> {
    types: &'a TypeInformation,
    structs: HashMap<&'static str, Vec<u32>>,
    /// Numbers of prototypes, by function.
    pub functions: HashMap<&'static str, u32>,
    values: HashMap<&'static str, u32>,
    /// Names of [`REASON`]'s values, in lower case without prefix.
    pub reset_reasons: HashMap<u32, String>,
    /// What [`TRACE_RESET`] points to.
    pub trace_reset: Option<u32>,
}

impl<'a> Index<'a> {
    pub fn new(types: &'a TypeInformation) -> Self {
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
    pub fn find(&self, structure: &str, field: &str) -> Option<u32> {
        self.structs.get(structure)?.iter().find_map(|id| {
            match self.types.offset_of(*id, field).ok()?.1 {
                Offset::ByteOffset(offset) => Some(offset),
                Offset::BitOffsetAndSize(..) => None,
            }
        })
    }

    /// Offset of the byte that holds a field of a few bits.
    pub fn byte_of_bits(&self, structure: &str, field: &str) -> u32 {
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

    pub fn need(&self, structure: &str, field: &str) -> Result<u32, String> {
        self.find(structure, field)
            .ok_or_else(|| format!("{structure}.{field}"))
    }

    pub fn may(&self, structure: &str, field: &str) -> u32 {
        self.find(structure, field).unwrap_or(ABSENT)
    }

    /// Size of a structure in bytes.
    pub fn size(&self, structure: &str) -> u32 {
        let size = |id: &u32| match self.types.get().get(id) {
            Some(TypeVariant::Struct(found)) => u32::try_from(*found.size()).ok(),
            _ => None,
        };
        let found = self.structs.get(structure);
        found
            .and_then(|ids| ids.iter().find_map(size))
            .unwrap_or(ABSENT)
    }

    pub fn value(&self, name: &str) -> Option<u32> {
        self.values.get(name).copied()
    }

    pub fn need_value(&self, name: &str) -> Result<u32, String> {
        self.value(name).ok_or_else(|| name.to_owned())
    }

    pub fn parameters(&self, prototype: u32) -> Option<Vec<u32>> {
        match self.types.get().get(&prototype)? {
            TypeVariant::FuncProto(found) => {
                Some(found.parameter_list().iter().map(|p| p.tid()).collect())
            }
            TypeVariant::Ptr(pointer) => self.parameters(*pointer.tid()),
            _ => None,
        }
    }

    /// Position of the reason among a function's parameters.
    pub fn reason_argument(&self, prototype: Option<u32>) -> Option<u32> {
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
}
