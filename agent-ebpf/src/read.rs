//! Reads of memory that may be anything: the kernel's helper refuses what it cannot read.

use core::marker::PhantomData;

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};
use halfopen_common::ABSENT;

/// Where a field of this type stands in its object.
pub struct Offset<T> {
    bytes: u32,
    field: PhantomData<T>,
}

impl<T> Offset<T> {
    /// That many bytes from the object's beginning; [`ABSENT`] where this kernel has no such field.
    #[inline(always)]
    pub fn new(bytes: u32) -> Self {
        Self {
            bytes,
            field: PhantomData,
        }
    }

    /// Whether this kernel has no such field.
    #[inline(always)]
    pub fn is_absent(&self) -> bool {
        self.bytes == ABSENT
    }

    /// Bytes from the object's beginning.
    #[inline(always)]
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Address of the field in this object.
    #[inline(always)]
    pub fn of(&self, object: u64) -> u64 {
        object.wrapping_add(u64::from(self.bytes))
    }

    /// The object whose field stands at this address.
    #[inline(always)]
    pub fn owner(&self, field: u64) -> u64 {
        field.wrapping_sub(u64::from(self.bytes))
    }
}

/// Reads a kernel object's field; `None` if the field is absent or the memory unreadable.
#[inline(always)]
pub fn read<T>(object: u64, offset: Offset<T>) -> Option<T> {
    if offset.is_absent() || object == 0 {
        return None;
    }
    let address = offset.of(object) as *const T;
    // SAFETY: the helper checks the access itself and fails on bad memory.
    unsafe { bpf_probe_read_kernel(address) }.ok()
}

/// The eight bytes there.
#[inline(always)]
pub fn word(address: u64) -> Option<u64> {
    // SAFETY: the helper checks the access itself and fails on bad memory.
    unsafe { bpf_probe_read_kernel(address as *const u64) }.ok()
}

/// Reads fields of one kernel object straight into their places; one check at the end shows whether
/// all could be read.
pub struct FieldReader {
    object: u64,
    failed: i64,
}

impl FieldReader {
    #[inline(always)]
    pub fn of(object: u64) -> Self {
        Self { object, failed: 0 }
    }

    /// A field; one that this kernel does not have leaves its place as it is.
    #[inline(always)]
    pub fn field<T>(&mut self, place: *mut T, offset: Offset<T>) {
        if !offset.is_absent() {
            self.bytes(place.cast(), offset.bytes(), size_of::<T>() as u32);
        }
    }

    /// Bytes without a type.
    #[inline(always)]
    pub fn bytes(&mut self, place: *mut u8, offset: u32, size: u32) {
        let from = self.object.wrapping_add(u64::from(offset));
        // SAFETY: `place` has room for `size` bytes; the helper checks the source.
        self.failed |=
            unsafe { generated::bpf_probe_read_kernel(place.cast(), size, from as *const _) };
    }

    /// Whether everything could be read.
    #[inline(always)]
    pub fn ok(&self) -> bool {
        self.failed == 0
    }
}
