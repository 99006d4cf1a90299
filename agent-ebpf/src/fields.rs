//! The offset of each field of the kernel's that a program reads, with the type that it reads: made
//! from the one table of fields, so that no program can read another width than the table has.

use halfopen_common::{Embedded, kernel_fields};

use crate::{kernel::kernel, read::Offset};

macro_rules! offsets {
    (
        fields {$(
            $owner:ident {$(
                $(#[$doc:meta])* $name:ident: $type:ty = $presence:ident($path:literal);
            )*}
        )*}
        sizes {$($sizes:tt)*}
        values {$($values:tt)*}
    ) => {$($(
        #[inline(always)]
        pub fn $name() -> Offset<$type> {
            Offset::new(kernel!($name))
        }
    )*)*};
}
kernel_fields!(offsets);
