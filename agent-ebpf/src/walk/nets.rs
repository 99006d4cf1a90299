//! Lists the network namespaces from the kernel's own ring of them, those included that no process
//! is in and no mount keeps. The ring's head is no namespace.

use aya_ebpf::helpers::{bpf_get_current_task, generated::bpf_loop};
use halfopen_common::{Net, NetKey};
use zerocopy::FromZeros as _;

use super::{
    output::{GO_ON, STOP, hand_out},
    program::test_run_program,
};
use crate::{
    fields,
    read::{FieldReader, word},
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

test_run_program! {
    /// Returns 0 when every namespace was handed out.
    fn nets(_ctx) -> u32 {
        u32::from(try_nets().is_none())
    }
}

#[inline(always)]
fn try_nets() -> Option<()> {
    if fields::task_nsproxy().is_absent()
        || fields::nsproxy_net().is_absent()
        || fields::net_ops().is_absent()
    {
        return None;
    }
    // SAFETY: takes no argument.
    let task = unsafe { bpf_get_current_task() };
    let proxy = word(fields::task_nsproxy().of(task))?;
    let own = word(fields::nsproxy_net().of(proxy))?;
    let ops = word(fields::net_ops().of(own))?;
    let entry = fields::net_list().of(own);
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
    let net = fields::net_list().owner(ring.entry);
    let is_real = word(fields::net_ops().of(net)) == Some(ring.ops);
    if is_real && !report(net, ring.ops) {
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
fn report(address: u64, ops: u64) -> bool {
    let mut net = Net::new_zeroed();
    let mut reader = FieldReader::of(address);
    net.key = NetKey::new_zeroed();
    net.ops = ops;
    reader.field(&raw mut net.key.cookie, fields::net_cookie());
    reader.field(&raw mut net.key.inum, fields::net_inum());
    reader.field(&raw mut net.keepalive_time, fields::sysctl_keepalive_time());
    reader.field(
        &raw mut net.keepalive_interval,
        fields::sysctl_keepalive_intvl(),
    );
    reader.field(&raw mut net.fin_timeout, fields::sysctl_fin_timeout());
    reader.field(
        &raw mut net.keepalive_probes,
        fields::sysctl_keepalive_probes(),
    );
    reader.field(&raw mut net.retries2, fields::sysctl_retries2());
    reader.field(&raw mut net.orphan_retries, fields::sysctl_orphan_retries());
    reader.field(&raw mut net.syn_retries, fields::sysctl_syn_retries());
    reader.field(&raw mut net.synack_retries, fields::sysctl_synack_retries());
    reader.field(
        &raw mut net.syn_linear_timeouts,
        fields::sysctl_syn_linear_timeouts(),
    );
    let hashinfo = fields::net_hashinfo();
    if !hashinfo.is_absent()
        && let Some(hashinfo) = word(hashinfo.of(address))
    {
        let mut reader = FieldReader::of(hashinfo);
        reader.field(&raw mut net.ehash, fields::ehash());
        reader.field(&raw mut net.ehash_mask, fields::ehash_mask());
        reader.field(&raw mut net.lhash2, fields::lhash2());
        reader.field(&raw mut net.lhash2_mask, fields::lhash2_mask());
    }
    hand_out(&net)
}
