//! The `halfopen` binary.
//! It must never hold logic of its own: everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    halfopen::cli::main()
}
