//! The versions that decide the object's bytes, as recorded beside it.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const NAMES: [&str; 3] = ["rustc", "bpf-linker", "llvm-strip"];

/// One line per tool, in the order of [`NAMES`]; empty where unknown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Versions([String; 3]);

impl Versions {
    /// From what each tool says of itself.
    pub fn new(rustc: String, linker: String, strip: String) -> Self {
        Self([rustc, linker, strip])
    }

    /// The versions recorded in a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "reading {}; make it with `cargo xtask ebpf`",
                path.display()
            )
        })?;
        Ok(Self(NAMES.map(|name| {
            let mut lines = text.lines();
            let prefix = format!("{name}: ");
            lines
                .find_map(|line| line.strip_prefix(&prefix))
                .unwrap_or_default()
                .to_owned()
        })))
    }

    /// The version of the compiler.
    pub fn rustc(&self) -> &str {
        &self.0[0]
    }

    /// Where `other` differs, one line each, or nothing.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let lines: Vec<String> = (0..NAMES.len())
            .filter(|&at| self.0[at] != other.0[at])
            .map(|at| {
                format!(
                    "  {}: committed {}, here {}",
                    NAMES[at], self.0[at], other.0[at]
                )
            })
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "halfopen.bpf.o was built by `cargo xtask ebpf` with")?;
        NAMES
            .iter()
            .zip(&self.0)
            .try_for_each(|(name, version)| writeln!(f, "{name}: {version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Versions;

    #[test]
    fn only_a_real_difference_is_reported() {
        let ours = Versions::new("1.96".into(), "0.13".into(), "22.1".into());
        let theirs = Versions::new("1.97".into(), "0.13".into(), "22.1".into());
        assert_eq!(ours.difference(&ours.clone()), None);
        let difference = ours.difference(&theirs).unwrap();
        assert_eq!(difference, "  rustc: committed 1.96, here 1.97");
    }
}
