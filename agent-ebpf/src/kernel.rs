//! The constants of the running kernel, handed over at load.

use halfopen_common::Kernel;

/// Filled by the agent from the running kernel's BTF before the programs are loaded.
#[unsafe(no_mangle)]
static KERNEL: Kernel = zerocopy::transmute!([0_u8; size_of::<Kernel>()]);

/// One constant of the running kernel.
macro_rules! kernel {
    ($field:ident) => {{
        // SAFETY: KERNEL is a live static; volatile because the agent rewrites it before load.
        unsafe { core::ptr::read_volatile($crate::kernel::address(|k| &raw const (*k).$field)) }
    }};
}
pub(crate) use kernel;

/// Address of one field of [`KERNEL`], for `kernel!`.
#[inline(always)]
pub fn address<T>(field: impl FnOnce(*const Kernel) -> *const T) -> *const T {
    field(&raw const KERNEL)
}
