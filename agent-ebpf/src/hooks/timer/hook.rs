//! The four programs that frame a timer's function: at entry with its argument, at exit without one,
//! by trampoline and by kprobe.

/// Makes them; `enter` takes the function's first argument.
macro_rules! timer_hook {
    (
        $function:tt, $enter:path, $exit:expr,
        $fentry:ident, $fexit:ident, $kprobe:ident, $kretprobe:ident $(,)?
    ) => {
        #[aya_ebpf::macros::fentry(function = $function)]
        fn $fentry(ctx: aya_ebpf::programs::FEntryContext) -> i32 {
            $enter(ctx.arg(0));
            0
        }

        #[aya_ebpf::macros::fexit(function = $function)]
        fn $fexit(_ctx: aya_ebpf::programs::FExitContext) -> i32 {
            $exit;
            0
        }

        #[aya_ebpf::macros::kprobe(function = $function)]
        fn $kprobe(ctx: aya_ebpf::programs::ProbeContext) -> u32 {
            if let Some(argument) = ctx.arg(0) {
                $enter(argument);
            }
            0
        }

        #[aya_ebpf::macros::kretprobe(function = $function)]
        fn $kretprobe(_ctx: aya_ebpf::programs::RetProbeContext) -> u32 {
            $exit;
            0
        }
    };
}
pub(super) use timer_hook;
