//! Who may connect and how: the web configuration, read again when it changes.
//! It must never open a door because a file could not be read: what was last understood stands.

mod clients;
mod error;
mod files;
mod form;
mod names;
mod rules;
mod tls;
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

pub use error::{ConfigError, Reason};
use files::State;
pub use rules::Rules;
pub use tls::Tls;
use users::Doorman;
pub use users::LogIn;

/// How often files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For how long a connection or request waits for a look.
const LOOK_FOR: Duration = Duration::from_secs(1);
/// For how long changed files must stay as they are: a file that is being written is no configuration.
const SETTLED_FOR: Duration = Duration::from_millis(100);

/// Says who may connect and how; cheap to clone.
#[derive(Debug, Clone)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: RwLock<Arc<Rules>>,
    doorman: Doorman,
    /// `None` where there is no configuration.
    watched: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// When the files were last looked at.
    looked: Mutex<Instant>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    state: State,
    /// What was last complained about, so that it is said once.
    complaint: Option<String>,
}

impl Access {
    /// Without a configuration: no TLS, and nobody is asked for a password.
    ///
    /// # Errors
    /// When the kernel gives no random numbers.
    pub fn open() -> Result<Self, Reason> {
        Ok(Self(Arc::new(Inner {
            rules: RwLock::default(),
            doorman: Doorman::new()?,
            watched: None,
        })))
    }

    /// As the file of `--web.config.file` says.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (rules, state) = Rules::load(path)?;
        let doorman = Doorman::new().map_err(|reason| ConfigError {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self(Arc::new(Inner {
            rules: RwLock::new(Arc::new(rules)),
            doorman,
            watched: Some(Watched {
                path: path.to_owned(),
                looked: Mutex::new(Instant::now()),
                seen: Mutex::new(Seen {
                    state,
                    complaint: None,
                }),
            }),
        })))
    }

    /// What holds now. Looks at the files where the last look was a second ago or longer.
    pub async fn rules(&self) -> Arc<Rules> {
        if self.0.is_due() {
            let inner = Arc::clone(&self.0);
            // Files may be far away: not on a thread that answers others, and not for long. Whatever
            // becomes of the look, what was understood last stands.
            let look = tokio::task::spawn_blocking(move || inner.look());
            drop(timeout(LOOK_FOR, look).await);
        }
        self.0.rules()
    }

    /// Whether a request may come in, by its header `Authorization`; without users, nobody is asked.
    pub async fn log_in(&self, rules: &Rules, headers: &HeaderMap) -> LogIn {
        match &rules.users {
            None => LogIn::Right,
            Some(users) => {
                let header = headers.get(hyper::header::AUTHORIZATION);
                self.0.doorman.look(users, header).await
            }
        }
    }
}

impl Inner {
    fn rules(&self) -> Arc<Rules> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&rules)
    }

    /// Whether it is time to look; the next who asks within a second need not.
    fn is_due(&self) -> bool {
        let Some(watched) = &self.watched else {
            return false;
        };
        let looked = &watched.looked;
        let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = looked.elapsed() >= LOOK_EVERY;
        if is_due {
            *looked = Instant::now();
        }
        is_due
    }

    /// Looks at the files, and takes over what has changed and then stayed.
    fn look(&self) {
        self.look_twice(|| thread::sleep(SETTLED_FOR));
    }

    /// `between` is the time between two looks at what has changed.
    fn look_twice(&self, between: impl FnOnce()) {
        let Some(watched) = &self.watched else {
            return;
        };
        // A look that hangs must not gather others behind it.
        let Ok(mut seen) = watched.seen.try_lock() else {
            return;
        };
        let now = seen.state.now();
        if now.as_ref() == Some(&seen.state) {
            seen.complaint = None;
            return;
        }
        between();
        if now != seen.state.now() {
            // Somebody writes just now. What could not be read twice is no change under way.
            return;
        }
        let changed = Rules::load(&watched.path).and_then(|(rules, state)| {
            let refused = |reason| ConfigError {
                path: watched.path.clone(),
                reason,
            };
            self.rules().may_become(&rules).map_err(refused)?;
            Ok((rules, state))
        });
        match changed {
            Ok((rules, state)) => {
                *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
                seen.state = state;
                seen.complaint = None;
                info!(file = %watched.path.display(), "the web configuration was read again");
            }
            Err(error) => {
                let complaint = error.to_string();
                if seen.complaint.as_ref() != Some(&complaint) {
                    warn!("{complaint}; what was read before stands");
                    seen.complaint = Some(complaint);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
