//! SIGINT and SIGTERM end the lab in good order: every wait looks here, and what was made is undone by its
//! owners.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use crate::Error;

static RAISED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Catches SIGINT and SIGTERM from now on; a second one ends the process at once.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn install() -> Result<(), Error> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag still down.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&RAISED))
            .and_then(|_| flag::register(signal, Arc::clone(&RAISED)))
            .map_err(|source| Error::System {
                tried: format!("catch signal {signal}"),
                source,
                help: "check that no seccomp filter forbids sigaction",
            })?;
    }
    Ok(())
}

/// Fails once a signal has come.
///
/// # Errors
/// Then.
pub fn check() -> Result<(), Error> {
    if RAISED.load(Ordering::Relaxed) {
        Err(Error::Interrupted)
    } else {
        Ok(())
    }
}
