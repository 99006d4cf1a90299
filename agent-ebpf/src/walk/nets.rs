//! Lists the network namespaces from the kernel's own ring of them, those included that no process
//! is in and no mount keeps.
//! It must never take the ring's head, which is no namespace, for one.

use aya_ebpf::helpers::{bpf_get_current_task, generated::bpf_loop};
use halfopen_common::{ABSENT, Net, NetKey};
use zerocopy::FromZeros as _;

use super::{GO_ON, STOP, hand_out};
use crate::{
    maps::kernel,
    read::{Reader, word},
};

/// More than any host has.
const MOST_NETS: u32 = 1 << 16;

#[repr(C)]
struct Ring {
    /// Where it began: the agent's own namespace.
    first: u64,
    /// `list` of the namespace at hand.
    entry: u64,
    /// `ns.ops` of a real namespace.
    ops: u64,
}

by_hand! {
    /// Returns 0 when every namespace was handed out.
    fn nets(_ctx) -> u32 {
        u32::from(try_nets().is_none())
    }
}

#[inline(always)]
fn try_nets() -> Option<()> {
    if kernel!(task_nsproxy) == ABSENT
        || kernel!(nsproxy_net) == ABSENT
        || kernel!(net_ops) == ABSENT
    {
        return None;
    }
    // SAFETY: takes no argument.
    let task = unsafe { bpf_get_current_task() };
    let proxy = word(task + u64::from(kernel!(task_nsproxy)))?;
    let own = word(proxy + u64::from(kernel!(nsproxy_net)))?;
    let ops = word(own + u64::from(kernel!(net_ops)))?;
    let entry = own + u64::from(kernel!(net_list));
    let mut ring = Ring {
        first: entry,
        entry,
        ops,
    };
    // SAFETY: `step` has the signature that bpf_loop() asks for, and `ring` outlives the call.
    let steps = unsafe {
        bpf_loop(
            MOST_NETS,
            step as *mut core::ffi::c_void,
            (&raw mut ring).cast(),
            0,
        )
    };
    (steps > 0 && ring.entry == ring.first).then_some(())
}

extern "C" fn step(_index: u32, ring: *mut Ring) -> i64 {
    // SAFETY: bpf_loop() hands over what try_nets() gave it.
    let ring = unsafe { &mut *ring };
    let net = ring.entry.wrapping_sub(u64::from(kernel!(net_list)));
    let is_real = word(net.wrapping_add(u64::from(kernel!(net_ops)))) == Some(ring.ops);
    if is_real && !tell(net, ring.ops) {
        ring.entry = 0;
        return STOP;
    }
    let Some(next) = word(ring.entry) else {
        ring.entry = 0;
        return STOP;
    };
    ring.entry = next;
    if next == ring.first { STOP } else { GO_ON }
}

/// `false` when it could not be handed out.
#[inline(always)]
fn tell(address: u64, ops: u64) -> bool {
    let mut net = Net::new_zeroed();
    let mut reader = Reader::of(address);
    net.key = NetKey::new_zeroed();
    net.ops = ops;
    reader.field(&raw mut net.key.cookie, kernel!(net_cookie));
    reader.field(&raw mut net.key.inum, kernel!(net_inum));
    reader.field(&raw mut net.keepalive_time, kernel!(sysctl_keepalive_time));
    reader.field(
        &raw mut net.keepalive_interval,
        kernel!(sysctl_keepalive_intvl),
    );
    reader.field(&raw mut net.fin_timeout, kernel!(sysctl_fin_timeout));
    reader.field(
        &raw mut net.keepalive_probes,
        kernel!(sysctl_keepalive_probes),
    );
    reader.field(&raw mut net.retries2, kernel!(sysctl_retries2));
    reader.field(&raw mut net.orphan_retries, kernel!(sysctl_orphan_retries));
    reader.field(&raw mut net.syn_retries, kernel!(sysctl_syn_retries));
    reader.field(&raw mut net.synack_retries, kernel!(sysctl_synack_retries));
    if kernel!(net_hashinfo) != ABSENT
        && let Some(hashinfo) = word(address + u64::from(kernel!(net_hashinfo)))
    {
        let mut reader = Reader::of(hashinfo);
        reader.field(&raw mut net.ehash, kernel!(ehash));
        reader.field(&raw mut net.ehash_mask, kernel!(ehash_mask));
        reader.field(&raw mut net.lhash2, kernel!(lhash2));
        reader.field(&raw mut net.lhash2_mask, kernel!(lhash2_mask));
    }
    hand_out(&net)
}
