//! Attaches each hook the best way that really works, found by trying.
//!
//! # Invariants
//! No event is counted by two hooks: `SWITCHES` says what programs that hooks share count.

use std::{collections::BTreeSet, fs};

use aya::Btf;
use halfopen_common::{ABSENT, switch};
use halfopen_core::model::hook::{HookStatus, Mechanism};

use super::{
    btf::Layout,
    hooks::{Attachment, HOOKS, Hook, Role, Way},
    loaded_object::Object,
    maps::Maps,
    programs::{self, Link},
};
use crate::{bpf::prog_info::ProgramStatistics, options::Options};

/// One hook and how it was attached.
pub struct Attached {
    /// The hook.
    pub hook: &'static Hook,
    /// The way that worked.
    pub way: Option<&'static Way>,
    /// The ways that did not, and why.
    pub refused: Vec<(Mechanism, String)>,
    /// The programs it brought, with their attachments; a program that hooks share is the first's.
    pub(super) links: Links,
}

/// Attaches all hooks; and the switches that they need, which are set meanwhile unless the programs are
/// yet to be told to count.
pub fn all(
    object: &mut Object,
    btf: &Btf,
    layout: &Layout,
    maps: &Maps,
    options: &Options,
) -> (Vec<Attached>, u32) {
    let mut attaching = Attaching {
        object,
        btf,
        layout,
        maps,
        options,
        programs: BTreeSet::new(),
        switches: 0,
    };
    let attached = HOOKS.iter().map(|hook| attaching.hook(hook)).collect();
    (attached, attaching.switches)
}

struct Attaching<'a> {
    object: &'a mut Object,
    btf: &'a Btf,
    layout: &'a Layout,
    maps: &'a Maps,
    options: &'a Options,
    programs: BTreeSet<&'static str>,
    switches: u32,
}

impl Attaching<'_> {
    fn hook(&mut self, hook: &'static Hook) -> Attached {
        let mut refused = Vec::new();
        for way in self.ordered(hook) {
            if !self.is_allowed(hook, way) {
                continue;
            }
            match self.ruled_out(hook, way) {
                Some(why) => refused.push((way.mechanism, why)),
                None => match self.attach(way) {
                    Ok(links) => {
                        return Attached {
                            hook,
                            way: Some(way),
                            refused,
                            links,
                        };
                    }
                    Err(why) => refused.push((way.mechanism, why)),
                },
            }
        }
        Attached {
            hook,
            way: None,
            refused,
            links: Vec::new(),
        }
    }

    /// Whether the mechanism that was asked for, if any, may be this one. A kernel that has kprobes has
    /// what it publishes as tracepoints too: there a kprobe would run for processes, with soft
    /// interrupts on, and while one runs the kernel runs none for what interrupts it.
    fn is_allowed(&self, hook: &Hook, way: &Way) -> bool {
        match self.options.hooks {
            None => true,
            Some(forced) if forced == way.mechanism => true,
            Some(Mechanism::Kprobe) => {
                way.mechanism == Mechanism::Tracepoint && hook.role.is_published()
            }
            Some(_) => false,
        }
    }

    /// Best first. The tracepoint of 6.11+ comes after the functions' early returns, which hooks on
    /// the functions can only imitate: it is the more exact one there.
    fn ordered(&self, hook: &'static Hook) -> Vec<&'static Way> {
        let mut ways: Vec<_> = hook.ways.iter().collect();
        if hook.role == Role::ReplyResets && self.layout.kernel.trace_reset_reason_arg != ABSENT {
            ways.rotate_right(1);
        }
        ways
    }

    /// What is known without trying.
    fn ruled_out(&self, hook: &Hook, way: &Way) -> Option<String> {
        let left_alone =
            |target: &str| self.options.without.iter().any(|without| without == target);
        if let Some((_, target)) = way.programs.iter().find(|(_, target)| left_alone(target)) {
            return Some(format!("{target}: left alone as told with --without-hook"));
        }
        let by_tracepoint = way.mechanism == Mechanism::Tracepoint;
        if hook.role == Role::Requests && self.layout.kernel.num_timeout == ABSENT {
            return Some("the kernel's BTF has no request_sock.num_timeout".into());
        }
        let kernel = &self.layout.kernel;
        let packet = [kernel.skb_sock, kernel.skb_iif, kernel.dst_dev];
        if hook.role == Role::NetfilterResets && packet.contains(&ABSENT) {
            return Some(
                "the kernel's BTF lacks one of sk_buff.sk, sk_buff.skb_iif, dst_entry.dev".into(),
            );
        }
        if way.switches & (TIMERS | switch::TIMER_REQUESTS) != 0 {
            for (bit, address, name) in [
                (
                    switch::TIMER_KEEPALIVE,
                    self.layout.kernel.keepalive_timer_fn,
                    "tcp_keepalive_timer",
                ),
                (
                    switch::TIMER_WRITE,
                    self.layout.kernel.write_timer_fn,
                    "tcp_write_timer",
                ),
                (
                    switch::TIMER_REQUESTS,
                    self.layout.kernel.request_timer_fn,
                    REQUEST_TIMER,
                ),
            ] {
                if way.switches & bit != 0 && address == 0 {
                    return Some(format!(
                        "the address of {name} is not in /proc/kallsyms: grant CAP_SYSLOG, or set kernel.kptr_restrict to 0 or 1"
                    ));
                }
            }
        }
        let frames = matches!(hook.role, Role::KeepaliveTimer | Role::WriteTimer);
        if frames && !by_tracepoint && self.switches & TIMERS != 0 {
            return Some(
                "timer_expire_* frames this timer already, for the hooks that count inside it"
                    .into(),
            );
        }
        if by_tracepoint {
            return None;
        }
        way.programs.iter().find_map(
            |(program, target)| match self.layout.functions.get(target) {
                None => Some(format!("the kernel's BTF has no function {target}")),
                Some(found) => {
                    let expected = arguments(program)?;
                    (*found != expected)
                        .then(|| format!("{target} takes {found} arguments here, not {expected}"))
                }
            },
        )
    }

    /// Pinned programs count nothing yet: what they share is told them with that.
    fn set_switches(&self, switches: u32) {
        if self.options.pin.is_none() {
            self.maps.set_switches(switches);
        }
    }

    fn attach(&mut self, way: &'static Way) -> Result<Links, String> {
        // Before attaching: from its first run a shared program must know what to count.
        self.set_switches(self.switches | way.switches);
        let mut links = Links::new();
        for attachment in way.programs {
            let (program, target) = *attachment;
            if self.programs.contains(program) {
                continue;
            }
            let attached = programs::load(&mut self.object.ebpf, self.btf, program, target)
                .and_then(|()| programs::attach(&mut self.object.ebpf, program, target));
            match attached {
                Ok(link) => links.push((*attachment, Some(link))),
                Err(why) => {
                    for ((program, _), _) in links {
                        programs::unload(&mut self.object.ebpf, program);
                    }
                    programs::unload(&mut self.object.ebpf, program);
                    self.set_switches(self.switches);
                    return Err(format!("{target}: {why}"));
                }
            }
        }
        self.programs
            .extend(links.iter().map(|((program, _), _)| program));
        self.switches |= way.switches;
        Ok(links)
    }
}

pub(super) type Links = Vec<(Attachment, Option<Link>)>;

const TIMERS: u32 = switch::TIMER_KEEPALIVE | switch::TIMER_WRITE;
/// The handler of a request's timer.
const REQUEST_TIMER: &str = "reqsk_timer_handler";

/// Arguments of functions of which a program wants more than the first, or the return value behind them.
fn arguments(program: &str) -> Option<usize> {
    match program {
        "fexit_xmit_probe" | "fentry_xmit_probe" | "kprobe_xmit_probe" => Some(3),
        "fexit_write_wakeup" | "fentry_write_wakeup" | "kprobe_write_wakeup" => Some(2),
        "fentry_synack" | "kprobe_synack" => Some(6),
        "fexit_accept" => Some(2),
        "fexit_accept_flags" => Some(4),
        _ => None,
    }
}

/// Puts the addresses of the timers' handlers into the layout.
pub fn resolve_addresses(layout: &mut Layout) {
    let kallsyms = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let address = |name| super::btf::kallsyms::address(&kallsyms, name).unwrap_or(0);
    layout.kernel.keepalive_timer_fn = address("tcp_keepalive_timer");
    layout.kernel.write_timer_fn = address("tcp_write_timer");
    layout.kernel.request_timer_fn = address(REQUEST_TIMER);
}

impl Attached {
    /// The programs it brought, and what they are attached to.
    pub fn programs(&self) -> impl Iterator<Item = Attachment> {
        self.links.iter().map(|(attachment, _)| *attachment)
    }

    /// Detaches its programs and keeps them loaded.
    pub fn pause(&mut self, object: &mut Object) -> Result<(), String> {
        // Entries first: no exit must be missing for an entry that still runs.
        for ((program, _), link) in self.links.iter_mut().rev() {
            if let Some(link) = link.take() {
                programs::cut(&mut object.ebpf, program, link)?;
            }
        }
        Ok(())
    }

    /// Attaches them again.
    pub fn resume(&mut self, object: &mut Object) -> Result<(), String> {
        for ((program, target), link) in self.links.iter_mut().filter(|(_, link)| link.is_none()) {
            *link = Some(programs::attach(&mut object.ebpf, program, target)?);
        }
        Ok(())
    }

    /// Why it is not attached.
    pub fn missing(&self) -> Option<String> {
        self.way
            .is_none()
            .then(|| format!("{} is not attached", self.hook.name))
    }

    /// For the snapshot.
    pub fn status(&self, object: &Object, timed: bool) -> HookStatus {
        let statistics: Option<Vec<ProgramStatistics>> = self
            .links
            .iter()
            .map(|((program, _), link)| match link {
                Some(Link::Kept(kept)) => kept.statistics(),
                _ => object.statistics(program),
            })
            .collect();
        // What runs for several hooks is told once, by the first of them.
        let statistics = statistics.filter(|statistics| !statistics.is_empty());
        let sum = |pick: fn(&ProgramStatistics) -> Option<u64>| -> Option<u64> {
            statistics.as_ref()?.iter().map(pick).sum()
        };
        HookStatus {
            hook: self.hook.name,
            purpose: self.hook.purpose,
            mechanism: self.way.map(|way| way.mechanism),
            refused: self.refused.clone(),
            runs: sum(|s| s.runs).filter(|_| timed),
            run_time: sum(|s| s.run_time_ns)
                .filter(|_| timed)
                .map(std::time::Duration::from_nanos),
            misses: sum(|s| s.misses),
            verified_instructions: sum(|s| s.verified_instructions),
        }
    }
}
