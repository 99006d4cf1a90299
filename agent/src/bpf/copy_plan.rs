//! Plans the copies by which a walk reads most sockets: fields that lie close together go in one.
//! It must never make a copy longer than its place, nor leave a field out.

use halfopen_common::{ABSENT, Kernel, Quick, Stretch};
use zerocopy::FromZeros as _;

/// Fields this close together are cheaper to copy with what lies between them.
const GAP: u32 = 96;

/// A field: where it is, how long, and where its position is noted.
type Field<'a> = (u32, u32, &'a mut u32);

/// The plan for this kernel's layout.
#[must_use]
pub fn plan(kernel: &Kernel) -> Quick {
    let mut quick = Quick::new_zeroed();
    quick.head = kernel.common_size;
    if kernel.rmem_alloc < Quick::HEAD - 4 {
        quick.head = quick.head.max(kernel.rmem_alloc + 4);
    }
    let head = quick.head;
    let always = [
        (kernel.packets_out, 4, &mut quick.packets_out),
        (kernel.write_seq, 4, &mut quick.write_seq),
        (kernel.snd_nxt, 4, &mut quick.snd_nxt),
        (kernel.retransmits, 1, &mut quick.retransmits),
        (kernel.probes_out, 1, &mut quick.probes_out),
        (kernel.lrcvtime, 4, &mut quick.lrcvtime),
        (kernel.lsndtime, 4, &mut quick.lsndtime),
        (kernel.rmem_alloc, 4, &mut quick.rmem_alloc),
        (kernel.max_ack_backlog, 4, &mut quick.max_ack_backlog),
        (kernel.cgroup, 8, &mut quick.cgroup),
    ];
    let keepalive = [
        (kernel.user_timeout, 4, &mut quick.user_timeout),
        (kernel.keepalive_time, 4, &mut quick.keepalive_time),
        (kernel.keepalive_intvl, 4, &mut quick.keepalive_intvl),
        (kernel.keepalive_probes, 1, &mut quick.keepalive_probes),
    ];
    let all = lay_out(head, &mut quick.always, 0, always.into())
        && lay_out(head, &mut quick.keepalive, Quick::ALWAYS, keepalive.into());
    quick.usable = all.into();
    quick
}

/// Fills the stretches, the first of which goes to the place of this number; `false` when there are
/// too few.
fn lay_out(head: u32, stretches: &mut [Stretch], first: usize, mut fields: Vec<Field<'_>>) -> bool {
    fields.sort_by_key(|(offset, ..)| *offset);
    let mut used = 0;
    for (offset, length, position) in fields {
        if offset == ABSENT {
            *position = ABSENT;
            continue;
        }
        if offset + length <= head {
            *position = offset;
            continue;
        }
        let fits = |stretch: &&mut Stretch| {
            offset <= stretch.offset + stretch.length + GAP
                && offset + length <= stretch.offset + Quick::PLACE
        };
        let number = if used > 0 && stretches.get_mut(used - 1).as_ref().is_some_and(fits) {
            used - 1
        } else {
            let Some(new) = stretches.get_mut(used) else {
                return false;
            };
            new.offset = offset;
            used += 1;
            used - 1
        };
        let Some(stretch) = stretches.get_mut(number) else {
            return false;
        };
        stretch.length = stretch.length.max(offset + length - stretch.offset);
        let Ok(place) = u32::try_from(first + number) else {
            return false;
        };
        *position = Quick::HEAD + place * Quick::PLACE + (offset - stretch.offset);
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
        let used = |stretches: &[Stretch]| stretches.iter().filter(|s| s.length != 0).count();
        assert_eq!((used(&quick.always), used(&quick.keepalive)), (3, 3));
        assert_eq!(
            (quick.cgroup, quick.head, quick.rmem_alloc),
            (ABSENT, 196, 192)
        );
        let stretches: Vec<Stretch> = quick.always.into_iter().chain(quick.keepalive).collect();
        for (position, offset) in [
            (quick.max_ack_backlog, 604),
            (quick.packets_out, 1684),
            (quick.user_timeout, 1292),
            (quick.keepalive_probes, 1917),
            (quick.keepalive_intvl, 2224),
        ] {
            let position = position - Quick::HEAD;
            let stretch = stretches[(position / Quick::PLACE) as usize];
            assert_eq!(stretch.offset + position % Quick::PLACE, offset);
        }
        assert!(stretches.iter().all(|s| s.length <= Quick::PLACE));
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
        ];
        for (place, field) in (0_u32..).zip(fields) {
            *field = 1000 + place * 1000;
        }
        assert_eq!(plan(&kernel).usable, 0);
    }
}
