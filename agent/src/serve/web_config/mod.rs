//! The web configuration: TLS, users and headers, reloaded when its files change.
//!
//! # Invariants
//! A file that cannot be read or is invalid changes nothing: the last valid configuration stays.

mod client_auth;
mod config;
mod error;
mod files;
mod schema;
mod tls;
mod tls_names;
mod users;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use hyper::HeaderMap;
use tokio::time::timeout;
use tracing::{info, warn};

pub use config::WebConfig;
pub use error::{ConfigError, Reason};
use files::FileDigests;
pub use tls::Tls;
pub use users::AuthOutcome;
use users::PasswordVerifier;

/// The shortest time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a connection or request waits for a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long changed files must stay unchanged, so that no half-written file is loaded.
const SETTLE_TIME: Duration = Duration::from_millis(100);

/// The current web configuration; cheap to clone.
#[derive(Debug, Clone)]
pub struct Access(Arc<AccessInner>);

#[derive(Debug)]
struct AccessInner {
    config: RwLock<Arc<WebConfig>>,
    passwords: PasswordVerifier,
    /// `None` without a configuration.
    files: Option<WatchedFiles>,
}

#[derive(Debug)]
struct WatchedFiles {
    path: PathBuf,
    /// When the last check started.
    checked_at: Mutex<Instant>,
    last: Mutex<LastCheck>,
}

#[derive(Debug)]
struct LastCheck {
    digests: FileDigests,
    /// The last error, so that it is logged once.
    error: Option<String>,
}

impl Access {
    /// Without a configuration: no TLS and no passwords.
    ///
    /// # Errors
    /// When the kernel gives no random numbers.
    pub fn open() -> Result<Self, Reason> {
        Ok(Self(Arc::new(AccessInner {
            config: RwLock::default(),
            passwords: PasswordVerifier::new()?,
            files: None,
        })))
    }

    /// The configuration of `--web.config.file`.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (config, digests) = WebConfig::load(path)?;
        let passwords = PasswordVerifier::new().map_err(|reason| ConfigError {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self(Arc::new(AccessInner {
            config: RwLock::new(Arc::new(config)),
            passwords,
            files: Some(WatchedFiles {
                path: path.to_owned(),
                checked_at: Mutex::new(Instant::now()),
                last: Mutex::new(LastCheck {
                    digests,
                    error: None,
                }),
            }),
        })))
    }

    /// The configuration in force. Checks the files if the last check was a second ago or longer.
    pub async fn current(&self) -> Arc<WebConfig> {
        if self.0.is_due() {
            let inner = Arc::clone(&self.0);
            // A file system may be slow: not on a thread that serves other requests, and not for long.
            // Whatever becomes of the check, there is a valid configuration.
            let check = tokio::task::spawn_blocking(move || inner.check());
            drop(timeout(CHECK_TIMEOUT, check).await);
        }
        self.0.current()
    }

    /// Checks the header `Authorization`; without users, every request is accepted.
    pub async fn authenticate(&self, config: &WebConfig, headers: &HeaderMap) -> AuthOutcome {
        match &config.users {
            None => AuthOutcome::Accepted,
            Some(users) => {
                let header = headers.get(hyper::header::AUTHORIZATION);
                self.0.passwords.verify(users, header).await
            }
        }
    }
}

impl AccessInner {
    fn current(&self) -> Arc<WebConfig> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config)
    }

    /// Whether to check the files; true once per [`CHECK_INTERVAL`].
    fn is_due(&self) -> bool {
        let Some(files) = &self.files else {
            return false;
        };
        let checked_at = files.checked_at.lock();
        let mut checked_at = checked_at.unwrap_or_else(PoisonError::into_inner);
        let is_due = checked_at.elapsed() >= CHECK_INTERVAL;
        if is_due {
            *checked_at = Instant::now();
        }
        is_due
    }

    /// Reloads the configuration if its files have changed and then stayed the same.
    fn check(&self) {
        self.check_settled(|| thread::sleep(SETTLE_TIME));
    }

    /// `settle` is called between two readings of changed files.
    fn check_settled(&self, settle: impl FnOnce()) {
        let Some(files) = &self.files else {
            return;
        };
        // Checks do not queue behind one that hangs.
        let Ok(mut last) = files.last.try_lock() else {
            return;
        };
        let now = last.digests.read_again();
        if now.as_ref() == Some(&last.digests) {
            last.error = None;
            return;
        }
        settle();
        if now != last.digests.read_again() {
            // A file is being written. One that was unreadable twice counts as settled.
            return;
        }
        let changed = WebConfig::load(&files.path).and_then(|(config, digests)| {
            let refused = |reason| ConfigError {
                path: files.path.clone(),
                reason,
            };
            self.current().may_become(&config).map_err(refused)?;
            Ok((config, digests))
        });
        match changed {
            Ok((config, digests)) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                last.digests = digests;
                last.error = None;
                info!(file = %files.path.display(), "reloaded the web configuration");
            }
            Err(error) => {
                let error = error.to_string();
                if last.error.as_ref() != Some(&error) {
                    warn!("{error}; the previous configuration stays in force");
                    last.error = Some(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
