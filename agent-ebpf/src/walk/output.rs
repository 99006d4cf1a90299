//! The ring buffer through which programs that the agent runs hand out what they find.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP},
    macros::map,
    maps::RingBuf,
};

/// Room for some 1,300 sockets: a run's, with the last bucket's chain.
const WALKED_BYTES: u32 = 1 << 18;

#[map]
static WALKED: RingBuf = RingBuf::with_byte_size(WALKED_BYTES, 0);

/// What a callback of bpf_loop() or bpf_for_each_map_elem() returns to be called again.
pub const GO_ON: i64 = 0;
/// What it returns to end the loop.
pub const STOP: i64 = 1;

/// Hands a record to the agent, which reads after each run; `false` when there is no room.
#[inline(always)]
pub fn hand_out<T: 'static>(record: &T) -> bool {
    WALKED
        .output::<T>(record, u64::from(BPF_RB_NO_WAKEUP))
        .is_ok()
}

/// Whether there is room for that many bytes.
#[inline(always)]
pub fn has_room(bytes: u32) -> bool {
    WALKED.query(u64::from(BPF_RB_AVAIL_DATA)) <= u64::from(WALKED_BYTES - bytes)
}
