//! The `halfopen` binary.
//! Everything is in the library, where tests reach it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    halfopen::cli::main()
}
