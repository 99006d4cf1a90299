//! The running kernel's layout, from its BTF by name: offsets, argument positions, enum values.
//!
//! # Invariants
//! No version number is known, and nothing is guessed: what is not there is absent.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::Path,
};

use btfparse::{Readable, TypeInformation};
use halfopen_common::{
    ABSENT, Kernel,
    kernel::{FIELDS, Presence, SIZES, VALUES},
};
use index::{Index, REQUEST};
use windows::Windows;
use zerocopy::FromZeros as _;

use super::Error;
use crate::options::BTF;

pub(super) mod copy_plan;
mod index;
pub(super) mod kallsyms;
mod windows;

/// The timers, each with its two homes: the first is asked for first, since `sk_timer` stays where the
/// keepalive timer has left it.
const KEEPALIVE_TIMER: [(&str, &str); 2] = [
    ("inet_connection_sock", "icsk_keepalive_timer"),
    ("sock", "sk_timer"),
];
const RETRANSMIT_TIMER: [(&str, &str); 2] = [
    ("sock", "tcp_retransmit_timer"),
    ("inet_connection_sock", "icsk_retransmit_timer"),
];

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
        let mut kernel = Kernel::new_zeroed();
        for field in FIELDS {
            let offset = self.find(field.owner, field.path);
            let missing = || format!("{}.{}", field.owner, field.path);
            *(field.slot)(&mut kernel) = resolved(offset, field.presence, missing)?;
        }
        for size in SIZES {
            *(size.slot)(&mut kernel) = self.size(size.structure).unwrap_or(ABSENT);
        }
        for value in VALUES {
            let found = self.value(value.name);
            *(value.slot)(&mut kernel) = resolved(found, value.presence, || value.name.into())?;
        }
        kernel.keepalive_timer = self.timer(KEEPALIVE_TIMER)?;
        kernel.retransmit_timer = self.timer(RETRANSMIT_TIMER)?;
        kernel.num_timeout = self
            .byte_of_bits("request_sock", "num_timeout")
            .unwrap_or(ABSENT);
        let acked = self.bit(REQUEST, "acked");
        (kernel.acked, kernel.acked_bit) = acked.unwrap_or((ABSENT, 0));
        kernel.active_reset_reason_arg = self
            .reason_argument(self.functions.get("tcp_send_active_reset").copied())
            .unwrap_or(ABSENT);
        kernel.reply_reset_reason_arg = self
            .reason_argument(self.functions.get("tcp_v4_send_reset").copied())
            .unwrap_or(ABSENT);
        kernel.trace_reset_reason_arg = self
            .reason_argument(self.trace_reset)
            .and_then(|position| position.checked_sub(1))
            .unwrap_or(ABSENT);
        kernel.common_size = common_end(&mut kernel);
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

    /// Offset of a timer, in the first of its two homes that the kernel has.
    fn timer(&self, homes: [(&str, &str); 2]) -> Result<u32, String> {
        let [(first, field), (second, other)] = homes;
        self.find(first, field)
            .or_else(|| self.find(second, other))
            .ok_or_else(|| format!("{first}.{field} or {second}.{other}"))
    }
}

/// What was found, [`ABSENT`] where the programs can do without; an error names what they cannot.
fn resolved(
    found: Option<u32>,
    presence: Presence,
    name: impl FnOnce() -> String,
) -> Result<u32, String> {
    match (found, presence) {
        (Some(found), _) => Ok(found),
        (None, Presence::Optional) => Ok(ABSENT),
        (None, Presence::Required) => Err(name()),
    }
}

/// Where the last field ends that the programs read of a `sock_common`.
fn common_end(kernel: &mut Kernel) -> u32 {
    let common = FIELDS
        .iter()
        .filter(|field| field.owner == "sock" && field.path.starts_with("__sk_common."));
    common
        .filter_map(|field| (*(field.slot)(kernel)).checked_add(field.size))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
