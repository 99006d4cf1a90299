//! What the labels of metrics mean, and the values that they can have.

use super::{handshakes::COOKIE_OUTCOMES, scrapes::CODES};
use crate::model::{
    accounting::KernelCounter,
    connection::{Direction, Setting, State},
    death::{Cause, Path},
    detection::{Bucket, DetectionPath},
    hook::Mechanism,
    liveness::{Evidence, Guard, Liveness},
};

/// A label, whichever metrics carry it.
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub meaning: &'static str,
    /// What its value can be.
    pub values: Values,
}

/// What the value of a label can be.
pub enum Values {
    /// One of these, each of which may be absent.
    OneOf(fn() -> Vec<String>),
    /// Too many to name, or the kernel's to choose: in words, and how many a metric can have at a time.
    Such(&'static str, usize),
}

impl Values {
    /// How many values a metric can have at a time.
    #[must_use]
    pub fn at_most(&self) -> usize {
        match self {
            Self::OneOf(values) => values().len(),
            Self::Such(_, most) => *most,
        }
    }
}

/// Hooks that have room in the budget of series.
pub const MOST_HOOKS: usize = 16;

/// Reasons of resets: 26 in Linux 6.12 (`enum sk_rst_reason`), `unknown`, and some to come.
const MOST_REASONS: usize = 32;

/// Labels that have fewer values where a metric has another one as well.
const FEWER: &[(&str, &str, Values)] = &[(
    "path",
    "within",
    Values::OneOf(|| strings(DetectionPath::ALL, DetectionPath::as_str)),
)];

/// What the value of a label can be in a metric that `has` others; `None` where there is no such label.
#[must_use]
pub fn values(label: &str, has: impl Fn(&str) -> bool) -> Option<&'static Values> {
    let fewer = FEWER
        .iter()
        .find(|(name, beside, _)| *name == label && has(beside));
    let all = || LABELS.iter().find(|known| known.name == label);
    fewer
        .map(|(.., values)| values)
        .or_else(|| all().map(|label| &label.values))
}

/// Labels that have one value for each value of another, where a metric has both.
pub(super) const SET_BY_ANOTHER: &[(&str, &str)] = &[("mechanism", "hook")];

/// In their own order; several may have one name.
fn strings<T, const N: usize>(all: [T; N], name: impl Fn(T) -> &'static str) -> Vec<String> {
    let mut names: Vec<_> = all
        .into_iter()
        .map(|value| name(value).to_owned())
        .collect();
    names.dedup();
    names
}

/// Every label but `le`, which histograms have of themselves.
pub const LABELS: &[Label] = &[
    Label {
        name: "owner",
        meaning: "Owner of the connections.",
        values: Values::Such(
            "a unit (`nginx.service`), a container's id, `pod` and its uid, the path of a cgroup; `NAMESPACE/POD/CONTAINER` with `--kubernetes-names`; `other` for groups not shown by name; empty for sockets without an owner",
            usize::MAX,
        ),
    },
    Label {
        name: "direction",
        meaning: "Who opened the connection: `inbound` the peer, `outbound` this host.",
        values: Values::OneOf(|| strings(Direction::ALL, Direction::as_str)),
    },
    Label {
        name: "port",
        meaning: "The service's port: the local one if inbound, the remote one if outbound.",
        values: Values::Such(
            "a number; `none` without a connection, or if `--group-by` leaves out the port",
            usize::MAX,
        ),
    },
    Label {
        name: "cause",
        meaning: "Why the connection died.",
        values: Values::OneOf(|| strings(Cause::ALL, Cause::as_str)),
    },
    Label {
        name: "path",
        meaning: "The kernel's code path that ended the connection, or would notice that its peer has vanished (`idle`: nobody writes; `data`: data is in flight); `docs/api.md` describes each.",
        values: Values::OneOf(|| strings(Path::ALL, Path::as_str)),
    },
    Label {
        name: "evidence",
        meaning: "What stayed unanswered.",
        values: Values::OneOf(|| strings(Evidence::ALL, Evidence::as_str)),
    },
    Label {
        name: "reason",
        meaning: "Why the kernel sent a reset: `enum sk_rst_reason`, in lower case, or `netfilter`.",
        values: Values::Such(
            "such as `tcp_keepalive_timeout`, `tcp_abort_on_close`, `tcp_abort_on_linger`, `no_socket`; `tcp_listen_overflow` for a full accept queue (net.ipv4.tcp_abort_on_overflow); `netfilter` for a firewall rule of this host (`reject with tcp reset`); `unknown` where the kernel reports none and none can be inferred",
            MOST_REASONS,
        ),
    },
    Label {
        name: "state",
        meaning: "TCP state.",
        values: Values::OneOf(|| strings(State::ALL, State::as_str)),
    },
    Label {
        name: "guard",
        meaning: "What would detect a dead peer of an idle connection; `none`: nothing would.",
        values: Values::OneOf(|| strings(Guard::ALL, Guard::as_str)),
    },
    Label {
        name: "liveness",
        meaning: "Health verdict.",
        values: Values::OneOf(|| strings(Liveness::ALL, Liveness::as_str)),
    },
    Label {
        name: "setting",
        meaning: "Keepalive: off, on with the sysctls of the network namespace, or on with the application's own settings.",
        values: Values::OneOf(|| strings(Setting::ALL, Setting::as_str)),
    },
    Label {
        name: "within",
        meaning: "Upper bound of the time to notice a peer that vanishes now; each bucket excludes the shorter ones. `longer` is finite, `never` is not.",
        values: Values::OneOf(|| strings(Bucket::ALL, Bucket::as_str)),
    },
    Label {
        name: "counter",
        meaning: "The kernel's SNMP counter, as in `/proc/net/netstat` and `/proc/net/snmp`.",
        values: Values::OneOf(|| strings(KernelCounter::ALL, KernelCounter::as_str)),
    },
    Label {
        name: "hook",
        meaning: "The hook.",
        values: Values::Such(
            "name of a kernel function or tracepoint, such as `tcp_keepalive_timer`",
            MOST_HOOKS,
        ),
    },
    Label {
        name: "mechanism",
        meaning: "How the hook is attached.",
        values: Values::OneOf(|| {
            let mut values = strings(Mechanism::ALL, Mechanism::as_str);
            values.push("none".into());
            values
        }),
    },
    Label {
        name: "map",
        meaning: "The BPF map.",
        values: Values::Such(
            "`births`, `groups`, `listeners`, `namespaces` or `sockets`",
            5,
        ),
    },
    Label {
        name: "outcome",
        meaning: "What became of SYN cookies.",
        values: Values::OneOf(|| strings(COOKIE_OUTCOMES, |outcome| outcome)),
    },
    Label {
        name: "seen",
        meaning: "Whether the network namespace could be entered.",
        values: Values::OneOf(|| strings(["yes", "no"], |value| value)),
    },
    Label {
        name: "code",
        meaning: "HTTP status code.",
        values: Values::OneOf(|| CODES.iter().map(ToString::to_string).collect()),
    },
    Label {
        name: "encoding",
        meaning: "Content encoding of the response.",
        values: Values::OneOf(|| strings(["gzip", "identity"], |value| value)),
    },
    Label {
        name: "version",
        meaning: "Version of halfopen.",
        values: Values::Such("such as `0.1.0`", 1),
    },
    Label {
        name: "revision",
        meaning: "Source revision of the build.",
        values: Values::Such("a Git revision, or `unknown`", 1),
    },
    Label {
        name: "kernel",
        meaning: "Kernel release.",
        values: Values::Such("as in `uname -r`", 1),
    },
];
