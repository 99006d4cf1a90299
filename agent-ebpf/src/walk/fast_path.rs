//! The plan by which most sockets are read in a few copies.

use halfopen_common::FastPathLayout;

/// Filled by the agent before the programs are loaded.
#[unsafe(no_mangle)]
pub(super) static FAST_PATH: FastPathLayout =
    zerocopy::transmute!([0_u8; size_of::<FastPathLayout>()]);

/// One constant of [`FAST_PATH`].
macro_rules! fast_path {
    ($($field:tt)+) => {{
        // SAFETY: FAST_PATH is a live static; volatile because the agent rewrites it before load.
        unsafe { core::ptr::read_volatile(&raw const $crate::walk::fast_path::FAST_PATH.$($field)+) }
    }};
}
pub(super) use fast_path;

/// Copies ranges of a socket, each to its place.
macro_rules! copy_ranges {
    ($reader:ident, $scratch:ident, $ranges:ident, $first:expr, [$($n:literal),*]) => {$(
        if fast_path!($ranges[$n].length) != 0 {
            let place = FastPathLayout::HEAD as usize + ($first + $n) * FastPathLayout::PLACE as usize;
            $reader.bytes(
                // SAFETY: within the copies, whose room is made for all places.
                unsafe { $scratch.copies.as_mut_ptr().add(place) },
                fast_path!($ranges[$n].offset),
                fast_path!($ranges[$n].length),
            );
        }
    )*};
}
pub(super) use copy_ranges;

/// A field of what was copied, with the type that the table of fields has for it.
macro_rules! copied {
    ($scratch:ident, $field:ident) => {
        $scratch.copied::<halfopen_common::kernel::field_type::$field>(fast_path!($field))
    };
}
pub(super) use copied;
