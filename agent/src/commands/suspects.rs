//! How often sockets are checked for answers.

use std::time::Duration;

/// Time between two checks of suspects while somebody watches.
pub const CHECK_INTERVAL: Duration = Duration::from_millis(500);
