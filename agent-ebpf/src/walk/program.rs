//! Programs that are never attached: the agent runs them.

/// The entry point of a program that the agent runs (BPF_PROG_TEST_RUN), whose return value it gets;
/// that of
/// [`aya_ebpf::macros::raw_tracepoint`] returns 0 whatever the function does.
macro_rules! test_run_program {
    ($(#[$doc:meta])* fn $name:ident($ctx:ident) -> u32 $body:block) => {
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "raw_tp/tcp_destroy_sock")]
        fn $name(context: *mut core::ffi::c_void) -> u32 {
            let $ctx = aya_ebpf::programs::RawTracePointContext::new(context);
            $body
        }
    };
}
pub(super) use test_run_program;
