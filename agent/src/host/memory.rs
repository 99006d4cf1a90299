//! The allocator's free memory, given back to the system.

#![allow(unsafe_code, reason = "malloc_trim(3) has no safe wrapper")]

/// Gives back to the system what was freed, such as the tens of MiB that parsing BTF takes.
pub fn trim() {
    // SAFETY: takes no pointer; it may be called at any time (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}
