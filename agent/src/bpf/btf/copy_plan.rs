//! Plans the copies by which a walk reads most sockets: fields that lie close together go in one.

use halfopen_common::{ABSENT, CopiedField, CopyRange, FastPathLayout, Kernel};
use zerocopy::FromZeros as _;

/// Fields this close together are cheaper to copy with what lies between them.
const GAP: u32 = 96;

/// The plan for this kernel's layout.
#[must_use]
pub fn plan(kernel: &Kernel) -> FastPathLayout {
    let mut plan = FastPathLayout::new_zeroed();
    plan.head = kernel.common_size;
    if kernel.rmem_alloc < FastPathLayout::HEAD - 4 {
        plan.head = plan.head.max(kernel.rmem_alloc + 4);
    }
    let (mut always, mut keepalive) = (plan.always, plan.keepalive);
    let number = FastPathLayout::ALWAYS;
    let all = lay_out(
        kernel,
        &mut plan,
        &mut always,
        0,
        FastPathLayout::ALWAYS_FIELDS,
    ) && lay_out(
        kernel,
        &mut plan,
        &mut keepalive,
        number,
        FastPathLayout::KEEPALIVE_FIELDS,
    );
    (plan.always, plan.keepalive) = (always, keepalive);
    plan.usable = all.into();
    plan
}

/// Fills the ranges, the first of which goes to the place of this number; `false` when there are too
/// few.
fn lay_out(
    kernel: &Kernel,
    plan: &mut FastPathLayout,
    ranges: &mut [CopyRange],
    first: usize,
    fields: &[CopiedField],
) -> bool {
    let mut fields: Vec<&CopiedField> = fields.iter().collect();
    fields.sort_by_key(|field| (field.offset)(kernel));
    let mut used = 0;
    for field in fields {
        let (offset, length) = ((field.offset)(kernel), field.size);
        if offset == ABSENT {
            *(field.position)(plan) = ABSENT;
            continue;
        }
        if offset + length <= plan.head {
            *(field.position)(plan) = offset;
            continue;
        }
        let fits = |range: &&mut CopyRange| {
            offset <= range.offset + range.length + GAP
                && offset + length <= range.offset + FastPathLayout::PLACE
        };
        let number = if used > 0 && ranges.get_mut(used - 1).as_ref().is_some_and(fits) {
            used - 1
        } else {
            let Some(new) = ranges.get_mut(used) else {
                return false;
            };
            new.offset = offset;
            used += 1;
            used - 1
        };
        let Some(range) = ranges.get_mut(number) else {
            return false;
        };
        range.length = range.length.max(offset + length - range.offset);
        let Ok(place) = u32::try_from(first + number) else {
            return false;
        };
        *(field.position)(plan) =
            FastPathLayout::HEAD + place * FastPathLayout::PLACE + (offset - range.offset);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_its_stretch_is_copied_to() {
        let mut kernel = Kernel::new_zeroed();
        // As on 6.18: near neighbours, far ones, and one that is absent.
        kernel.common_size = 112;
        kernel.rmem_alloc = 192;
        kernel.max_ack_backlog = 604;
        kernel.cgroup = ABSENT;
        kernel.rto = 1204;
        kernel.rto_max = 1212;
        kernel.retransmits = 1249;
        kernel.probes_out = 1253;
        kernel.lrcvtime = 1264;
        kernel.user_timeout = 1292;
        kernel.write_seq = 1576;
        kernel.lsndtime = 1584;
        kernel.snd_nxt = 1668;
        kernel.packets_out = 1684;
        kernel.keepalive_probes = 1917;
        kernel.keepalive_time = 2220;
        kernel.keepalive_intvl = 2224;
        let quick = plan(&kernel);
        assert_eq!(quick.usable, 1);
        let used = |ranges: &[CopyRange]| ranges.iter().filter(|s| s.length != 0).count();
        assert_eq!((used(&quick.always), used(&quick.keepalive)), (3, 2));
        assert_eq!(
            (quick.cgroup, quick.head, quick.rmem_alloc),
            (ABSENT, 196, 192)
        );
        let ranges: Vec<CopyRange> = quick.always.into_iter().chain(quick.keepalive).collect();
        for (position, offset) in [
            (quick.max_ack_backlog, 604),
            (quick.packets_out, 1684),
            (quick.rto, 1204),
            (quick.rto_max, 1212),
            (quick.user_timeout, 1292),
            (quick.keepalive_probes, 1917),
            (quick.keepalive_intvl, 2224),
        ] {
            let position = position - FastPathLayout::HEAD;
            let range = ranges[(position / FastPathLayout::PLACE) as usize];
            assert_eq!(range.offset + position % FastPathLayout::PLACE, offset);
        }
        assert!(ranges.iter().all(|s| s.length <= FastPathLayout::PLACE));
    }

    #[test]
    fn a_layout_that_does_not_fit_is_not_used() {
        let mut kernel = Kernel::new_zeroed();
        let fields = [
            &mut kernel.packets_out,
            &mut kernel.write_seq,
            &mut kernel.snd_nxt,
            &mut kernel.retransmits,
            &mut kernel.probes_out,
            &mut kernel.cgroup,
            &mut kernel.lrcvtime,
            &mut kernel.lsndtime,
            &mut kernel.max_ack_backlog,
            &mut kernel.rto,
            &mut kernel.user_timeout,
        ];
        for (place, field) in (0_u32..).zip(fields) {
            *field = 1000 + place * 1000;
        }
        assert_eq!(plan(&kernel).usable, 0);
    }
}
