//! The table of the kernel's fields says each thing once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeSet, fmt::Debug, ptr};

use halfopen_common::{
    FastPathLayout, Kernel,
    kernel::{FIELDS, SIZES, Slot, VALUES},
};
use zerocopy::FromZeros as _;

fn check_distinct<T: Ord + Debug>(rows: impl Iterator<Item = T>) {
    let mut seen = BTreeSet::new();
    for row in rows {
        let text = format!("{row:?}");
        assert!(seen.insert(row), "{text} stands twice");
    }
    assert!(!seen.is_empty());
}

#[test]
fn nothing_stands_twice() {
    check_distinct(FIELDS.iter().map(|field| (field.owner, field.path)));
    check_distinct(SIZES.iter().map(|size| size.structure));
    check_distinct(VALUES.iter().map(|value| value.name));
}

#[test]
fn every_row_has_a_slot_of_its_own() {
    let mut kernel = Kernel::new_zeroed();
    let start = ptr::from_ref(&kernel).addr();
    let fields = FIELDS.iter().map(|field| field.slot);
    let sizes = SIZES.iter().map(|size| size.slot);
    let slots: Vec<Slot> = fields
        .chain(sizes)
        .chain(VALUES.iter().map(|value| value.slot))
        .collect();
    check_distinct(slots.iter().map(|slot| {
        let place = ptr::from_mut(slot(&mut kernel)).addr() - start;
        assert!(place + 4 <= size_of::<Kernel>());
        place
    }));
}

#[test]
fn the_fast_path_copies_whole_fields() {
    let mut kernel = Kernel::new_zeroed();
    for (number, field) in (1_u32..).zip(FIELDS) {
        *(field.slot)(&mut kernel) = number;
    }
    let copied = FastPathLayout::ALWAYS_FIELDS
        .iter()
        .chain(FastPathLayout::KEEPALIVE_FIELDS);
    for field in copied {
        let number = (field.offset)(&kernel);
        let row = &FIELDS[usize::try_from(number).unwrap() - 1];
        assert_eq!(field.size, row.size, "{}.{}", row.owner, row.path);
        assert!(field.size > 0 && field.size <= FastPathLayout::PLACE);
    }
}
