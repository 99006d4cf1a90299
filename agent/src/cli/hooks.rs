//! Flags that choose the hooks to attach.

use clap::{Args, ValueEnum};

use crate::options::{self, Options};
use halfopen_core::model::hook::Mechanism;

/// The hooks to attach.
#[derive(Debug, Clone, Args)]
pub struct HookArgs {
    /// Hook mechanism; auto uses the best one that attaches, for each hook
    #[arg(long, value_enum, env = "HALFOPEN_HOOKS", default_value = "auto")]
    pub hooks: Hooks,
    /// Kernel function or tracepoint not to hook; repeatable
    #[arg(
        long = "without-hook",
        value_name = "NAME",
        env = "HALFOPEN_WITHOUT_HOOK",
        value_delimiter = ','
    )]
    pub without: Vec<String>,
    /// Type information (BTF) of the running kernel
    #[arg(
        long,
        value_name = "FILE",
        env = "HALFOPEN_BTF",
        default_value = options::BTF
    )]
    pub btf: std::path::PathBuf,
}

impl HookArgs {
    /// The kernel options with these hooks.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            hooks: self.hooks.forced(),
            without: self.without.clone(),
            btf: self.btf.clone(),
            ..Options::default()
        }
    }
}

/// Which mechanism to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// The best that attaches, for each hook.
    Auto,
    /// fentry and fexit (BTF trampolines).
    Fentry,
    /// kprobe and kretprobe; tracepoints where the kernel has them.
    Kprobe,
    /// Raw tracepoints only.
    Tracepoint,
}

impl Hooks {
    /// The mechanism forced; `None` where each hook takes its best.
    #[must_use]
    pub const fn forced(self) -> Option<Mechanism> {
        match self {
            Self::Auto => None,
            Self::Fentry => Some(Mechanism::Fentry),
            Self::Kprobe => Some(Mechanism::Kprobe),
            Self::Tracepoint => Some(Mechanism::Tracepoint),
        }
    }
}
