//! `basic_auth_users`: who may come in with a password (RFC 7617, bcrypt).
//! It must never tell by its time whether a user exists, nor hash on more than one core at a time.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bcrypt::HashParts;
use hyper::header::HeaderValue;
use ring::{hmac, rand::SystemRandom};
use tokio::sync::Semaphore;

use super::error::Reason;

/// A cost above this takes many seconds of a core for each log-in.
const MOST: u32 = 18;
/// Log-ins that may wait for their turn.
const WAITING: usize = 64;
/// Log-ins that are remembered.
const REMEMBERED: usize = 256;
/// Salt and hash of nothing that anybody knows, for users that there are not.
const NOBODY: &str = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// Names with the hashes of their passwords; never empty.
#[derive(Debug, PartialEq, Eq)]
pub struct Users {
    by_name: BTreeMap<String, String>,
    /// The costs of all users, the same one repeated.
    costs: Vec<u32>,
}

impl Users {
    /// `None` where there are none: then nobody is asked.
    ///
    /// # Errors
    /// When a name can never be given, or a hash is none.
    pub fn new(named: BTreeMap<String, String>) -> Result<Option<Self>, Reason> {
        let mut costs = Vec::new();
        for (name, hash) in &named {
            let wrong =
                |what: String| Reason::setting(format!("basic_auth_users: user {name:?}: {what}"));
            if name.contains(':') {
                return Err(wrong(
                    "a name with a colon can never be given, since a colon ends it".into(),
                ));
            }
            let parts: HashParts = hash.parse().map_err(|_| {
                wrong("the password is no bcrypt hash; write what `htpasswd -nBC 10 NAME` prints after the colon".into())
            })?;
            if !(4..=MOST).contains(&parts.get_cost()) {
                return Err(wrong(format!(
                    "the hash has a cost of {}; choose one from 4 to {MOST}, such as 10",
                    parts.get_cost()
                )));
            }
            costs.push(parts.get_cost());
        }
        Ok((!named.is_empty()).then_some(Self {
            by_name: named,
            costs,
        }))
    }

    /// The hash to compare with, and whether there is such a user. An unknown name gets the cost of one
    /// of the users, always the same one.
    fn hash(&self, name: &str, key: &hmac::Key) -> (String, bool) {
        if let Some(hash) = self.by_name.get(name) {
            return (hash.clone(), true);
        }
        let chance = usize::from(hmac::sign(key, name.as_bytes()).as_ref()[0]);
        let cost = self.costs[chance % self.costs.len()];
        (format!("$2y${cost:02}${NOBODY}"), false)
    }
}

/// What became of a log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogIn {
    /// Name and password are right.
    Right,
    /// They are not, or were not given.
    Wrong,
    /// Too many are being looked at.
    Busy,
}

/// Compares passwords, and remembers those that were right.
#[derive(Debug)]
pub struct Doorman {
    /// Of this process alone, so that what is remembered is of no use elsewhere.
    key: hmac::Key,
    right: Mutex<HashSet<Vec<u8>>>,
    waiting: Semaphore,
    one: Arc<Semaphore>,
    compared: AtomicU64,
}

impl Doorman {
    /// # Errors
    /// When the kernel gives no random numbers.
    pub fn new() -> Result<Self, Reason> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| Reason::setting("the kernel gives no random numbers for a key"))?;
        Ok(Self {
            key,
            right: Mutex::default(),
            waiting: Semaphore::new(WAITING),
            one: Arc::new(Semaphore::new(1)),
            compared: AtomicU64::new(0),
        })
    }

    /// Looks at the header `Authorization`.
    pub async fn look(&self, users: &Users, header: Option<&HeaderValue>) -> LogIn {
        let Some((name, password)) = header.and_then(credentials) else {
            return LogIn::Wrong;
        };
        let (hash, known) = users.hash(&name, &self.key);
        let mark = self.mark(&[name.as_bytes(), hash.as_bytes(), &password]);
        if known && self.remembered(&mark) {
            return LogIn::Right;
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return LogIn::Busy;
        };
        // Never closed.
        let Ok(turn) = Arc::clone(&self.one).acquire_owned().await else {
            return LogIn::Busy;
        };
        self.compared.fetch_add(1, Ordering::Relaxed);
        let compared = tokio::task::spawn_blocking(move || {
            // It takes its time even if the client has gone: the turn is over with it, not before.
            let _turn = turn;
            bcrypt::verify(password, &hash)
        });
        let is_right = matches!(compared.await, Ok(Ok(true)));
        if !(known && is_right) {
            return LogIn::Wrong;
        }
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(mark);
        LogIn::Right
    }

    /// The hash is part of it: another password in the configuration makes another mark.
    fn mark(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().to_vec()
    }

    fn remembered(&self, mark: &[u8]) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.contains(mark)
    }
}

/// Name and password of `Basic BASE64`.
fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((name, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// bcrypt of "right", cost 4, made by crypt(3).
    const RIGHT: &str = "$2y$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC";

    fn users() -> Users {
        let named = [("alice".to_owned(), RIGHT.to_owned())];
        Users::new(named.into()).unwrap().unwrap()
    }

    fn header(name: &str, password: &str) -> HeaderValue {
        let encoded = STANDARD.encode(format!("{name}:{password}"));
        HeaderValue::try_from(format!("Basic {encoded}")).unwrap()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn as_many_comparisons_for_unknown_users_as_for_known_ones() {
        run(async {
            let (users, doorman) = (users(), Doorman::new().unwrap());
            let look = async |name: &str, password: &str| {
                let before = doorman.compared.load(Ordering::Relaxed);
                let found = doorman.look(&users, Some(&header(name, password))).await;
                (found, doorman.compared.load(Ordering::Relaxed) - before)
            };
            assert_eq!(look("alice", "wrong").await, (LogIn::Wrong, 1));
            assert_eq!(look("mallory", "wrong").await, (LogIn::Wrong, 1));
            // What was wrong is looked at again: nothing of it is kept.
            assert_eq!(look("alice", "wrong").await, (LogIn::Wrong, 1));
            assert_eq!(look("mallory", "right").await, (LogIn::Wrong, 1));
            assert_eq!(look("alice", "right").await, (LogIn::Right, 1));
            assert_eq!(look("alice", "right").await, (LogIn::Right, 0));
            assert_eq!(look("alice", "right ").await, (LogIn::Wrong, 1));
            // Parts must not run into each other.
            assert_eq!(look("alic", "eright").await, (LogIn::Wrong, 1));
        });
    }

    #[test]
    fn unknown_users_cost_what_users_cost() {
        let key = Doorman::new().unwrap().key;
        let (hash, known) = users().hash("mallory", &key);
        assert!(!known);
        assert_eq!(hash.parse::<HashParts>().unwrap().get_cost(), 4);
        let costly = RIGHT.replace("$04$", "$12$");
        let both = [("a", RIGHT), ("b", &costly)].map(|(name, hash)| (name.into(), hash.into()));
        let both = Users::new(both.into()).unwrap().unwrap();
        let cost = |name: &str| {
            let (hash, _) = both.hash(name, &key);
            hash.parse::<HashParts>().unwrap().get_cost()
        };
        let costs: Vec<_> = (0..64).map(|number| cost(&number.to_string())).collect();
        assert!(costs.contains(&4) && costs.contains(&12), "{costs:?}");
        assert_eq!(cost("mallory"), cost("mallory"));
    }

    #[test]
    fn another_password_in_the_configuration_makes_the_old_one_wrong() {
        run(async {
            let doorman = Doorman::new().unwrap();
            let old = header("alice", "right");
            assert_eq!(doorman.look(&users(), Some(&old)).await, LogIn::Right);
            let hash = bcrypt::hash("other", 4).unwrap();
            let changed = Users::new([("alice".to_owned(), hash)].into()).unwrap();
            let changed = changed.unwrap();
            assert_eq!(doorman.look(&changed, Some(&old)).await, LogIn::Wrong);
        });
    }

    #[test]
    fn a_crowd_is_sent_away_and_one_is_looked_at_at_a_time() {
        run(async {
            let (users, doorman) = (users(), Doorman::new().unwrap());
            let turn = Arc::clone(&doorman.one).acquire_owned().await.unwrap();
            let wrong = header("alice", "wrong");
            let crowd = async {
                let mut all = Vec::new();
                for _ in 0..WAITING {
                    all.push(Box::pin(doorman.look(&users, Some(&wrong))));
                }
                for one in &mut all {
                    // Each begins to wait.
                    let waiting = tokio::time::timeout(std::time::Duration::ZERO, one);
                    assert!(waiting.await.is_err());
                }
                assert_eq!(doorman.look(&users, Some(&wrong)).await, LogIn::Busy);
                assert_eq!(doorman.compared.load(Ordering::Relaxed), 0);
                drop(turn);
                for one in all {
                    assert_eq!(one.await, LogIn::Wrong);
                }
            };
            crowd.await;
        });
    }

    #[test]
    fn what_is_no_log_in() {
        let check = |value: &[u8], expected: Option<(&str, &str)>| {
            let header = HeaderValue::from_bytes(value).unwrap();
            let found = credentials(&header);
            let expected = expected.map(|(name, word)| (name.to_owned(), word.into()));
            assert_eq!(found, expected, "{header:?}");
        };
        check(b"Basic YTpi", Some(("a", "b")));
        check(b"bAsIc YTpi", Some(("a", "b")));
        check(b"Basic YTpiOmM=", Some(("a", "b:c")));
        check(b"Basic Og==", Some(("", "")));
        for wrong in [
            &b""[..],
            b"Basic",
            b"Basic ",
            b"Basic YWI=",
            b"Basic YTpi=",
            b"Basic  YTpi",
            b"Basic \xff\xfe",
            b"Basic /zpi",
            b"Bearer YTpi",
            b"BasicYTpi",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn users_that_cannot_be() {
        let said = |name: &str, hash: &str| {
            let error = Users::new([(name.to_owned(), hash.to_owned())].into()).unwrap_err();
            let said = error.to_string();
            assert!(said.contains(&format!("{name:?}")), "{said}");
            assert!(hash.is_empty() || !said.contains(hash), "{said}");
            said
        };
        for wrong in ["", "secret", "$1$abc$def", "$2y$10$short"] {
            assert!(said("alice", wrong).contains("no bcrypt hash"), "{wrong}");
        }
        let dear = RIGHT.replace("$04$", "$31$");
        assert!(said("alice", &dear).contains("a cost of 31"));
        let cheap = RIGHT.replace("$04$", "$03$");
        assert!(said("alice", &cheap).contains("a cost of 3;"));
        assert!(said("a:b", RIGHT).contains("colon"));
        assert_eq!(Users::new(BTreeMap::new()).unwrap(), None);
    }
}
