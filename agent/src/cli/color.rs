//! Whether to colour what is written.

use std::{
    env,
    io::{self, IsTerminal},
};

use clap::ColorChoice;

/// Whether data on standard output is coloured (<https://no-color.org>).
#[must_use]
pub fn is_colored(choice: ColorChoice) -> bool {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => io::stdout().is_terminal() && !no_color,
    }
}
