//! `basic_auth_users`: HTTP basic authentication with bcrypt hashes (RFC 7617).
//!
//! # Invariants
//! The time of a check does not reveal whether a user exists. One check runs at a time.

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

/// A higher cost takes many seconds of CPU time per check.
const MAX_COST: u32 = 18;
/// Checks that may run or wait.
const MAX_PENDING: usize = 64;
/// Accepted credentials that are remembered.
const MAX_REMEMBERED: usize = 256;
/// Salt and hash of an unknown password, compared for unknown users.
const UNKNOWN_USER_HASH: &str = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// User names with the hashes of their passwords; never empty.
#[derive(Debug, PartialEq, Eq)]
pub struct Users {
    by_name: BTreeMap<String, String>,
    /// The cost of each user, repeated if equal.
    costs: Vec<u32>,
}

impl Users {
    /// `None` if there are none: then no password is required.
    ///
    /// # Errors
    /// When a name contains a colon, or a hash is not bcrypt or too costly.
    pub fn new(named: BTreeMap<String, String>) -> Result<Option<Self>, Reason> {
        let mut costs = Vec::new();
        for (name, hash) in &named {
            let wrong =
                |what: String| Reason::setting(format!("basic_auth_users: user {name:?}: {what}"));
            if name.contains(':') {
                return Err(wrong(
                    "a name cannot contain a colon, which separates it from the password".into(),
                ));
            }
            let parts: HashParts = hash.parse().map_err(|_| {
                wrong("the password is not a bcrypt hash; write what `htpasswd -nBC 10 NAME` prints after the colon".into())
            })?;
            if !(4..=MAX_COST).contains(&parts.get_cost()) {
                return Err(wrong(format!(
                    "the hash has a cost of {}; choose one from 4 to {MAX_COST}, such as 10",
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

    /// The hash to compare with, and whether the user exists. An unknown name gets the cost of one of the
    /// users, always the same.
    fn hash(&self, name: &str, key: &hmac::Key) -> (String, bool) {
        if let Some(hash) = self.by_name.get(name) {
            return (hash.clone(), true);
        }
        let index = usize::from(hmac::sign(key, name.as_bytes()).as_ref()[0]);
        let cost = self.costs[index % self.costs.len()];
        (format!("$2y${cost:02}${UNKNOWN_USER_HASH}"), false)
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthOutcome {
    /// User and password are correct.
    Accepted,
    /// They are wrong or missing.
    Rejected,
    /// Too many checks are pending.
    Busy,
}

/// Checks passwords, and remembers those that were accepted.
#[derive(Debug)]
pub struct PasswordVerifier {
    /// Random for each process, so that remembered digests are useless elsewhere.
    key: hmac::Key,
    accepted: Mutex<HashSet<Vec<u8>>>,
    pending: Semaphore,
    running: Arc<Semaphore>,
    compared: AtomicU64,
}

impl PasswordVerifier {
    /// # Errors
    /// When the kernel returns no random numbers.
    pub fn new() -> Result<Self, Reason> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| Reason::setting("the kernel returned no random numbers for a key"))?;
        Ok(Self {
            key,
            accepted: Mutex::default(),
            pending: Semaphore::new(MAX_PENDING),
            running: Arc::new(Semaphore::new(1)),
            compared: AtomicU64::new(0),
        })
    }

    /// Checks the header `Authorization`.
    pub async fn verify(&self, users: &Users, header: Option<&HeaderValue>) -> AuthOutcome {
        let Some((name, password)) = header.and_then(credentials) else {
            return AuthOutcome::Rejected;
        };
        let (hash, known) = users.hash(&name, &self.key);
        let digest = self.digest(&[name.as_bytes(), hash.as_bytes(), &password]);
        if known && self.is_remembered(&digest) {
            return AuthOutcome::Accepted;
        }
        let Ok(_permit) = self.pending.try_acquire() else {
            return AuthOutcome::Busy;
        };
        // Never closed.
        let Ok(running) = Arc::clone(&self.running).acquire_owned().await else {
            return AuthOutcome::Busy;
        };
        self.compared.fetch_add(1, Ordering::Relaxed);
        let compared = tokio::task::spawn_blocking(move || {
            // Held until the comparison ends, even if the client has gone.
            let _running = running;
            bcrypt::verify(password, &hash)
        });
        let matches = matches!(compared.await, Ok(Ok(true)));
        if !(known && matches) {
            return AuthOutcome::Rejected;
        }
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.len() >= MAX_REMEMBERED {
            accepted.clear();
        }
        accepted.insert(digest);
        AuthOutcome::Accepted
    }

    /// Includes the hash, so that a changed password in the configuration changes the digest.
    fn digest(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().to_vec()
    }

    fn is_remembered(&self, digest: &[u8]) -> bool {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.contains(digest)
    }
}

/// User and password of `Basic BASE64`.
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
    fn unknown_users_are_compared_like_known_ones() {
        run(async {
            let (users, passwords) = (users(), PasswordVerifier::new().unwrap());
            let verify = async |name: &str, password: &str| {
                let before = passwords.compared.load(Ordering::Relaxed);
                let found = passwords
                    .verify(&users, Some(&header(name, password)))
                    .await;
                (found, passwords.compared.load(Ordering::Relaxed) - before)
            };
            assert_eq!(verify("alice", "wrong").await, (AuthOutcome::Rejected, 1));
            assert_eq!(verify("mallory", "wrong").await, (AuthOutcome::Rejected, 1));
            // Rejected credentials are not remembered.
            assert_eq!(verify("alice", "wrong").await, (AuthOutcome::Rejected, 1));
            assert_eq!(verify("mallory", "right").await, (AuthOutcome::Rejected, 1));
            assert_eq!(verify("alice", "right").await, (AuthOutcome::Accepted, 1));
            assert_eq!(verify("alice", "right").await, (AuthOutcome::Accepted, 0));
            assert_eq!(verify("alice", "right ").await, (AuthOutcome::Rejected, 1));
            // The parts are separated.
            assert_eq!(verify("alic", "eright").await, (AuthOutcome::Rejected, 1));
        });
    }

    #[test]
    fn unknown_users_get_the_cost_of_a_user() {
        let key = PasswordVerifier::new().unwrap().key;
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
    fn a_changed_password_replaces_the_old_one() {
        run(async {
            let passwords = PasswordVerifier::new().unwrap();
            let old = header("alice", "right");
            assert_eq!(
                passwords.verify(&users(), Some(&old)).await,
                AuthOutcome::Accepted
            );
            let hash = bcrypt::hash("other", 4).unwrap();
            let changed = Users::new([("alice".to_owned(), hash)].into()).unwrap();
            let changed = changed.unwrap();
            assert_eq!(
                passwords.verify(&changed, Some(&old)).await,
                AuthOutcome::Rejected
            );
        });
    }

    #[test]
    fn checks_run_one_at_a_time_and_pending_ones_are_limited() {
        run(async {
            let (users, passwords) = (users(), PasswordVerifier::new().unwrap());
            let turn = Arc::clone(&passwords.running)
                .acquire_owned()
                .await
                .unwrap();
            let wrong = header("alice", "wrong");
            let crowd = async {
                let mut all = Vec::new();
                for _ in 0..MAX_PENDING {
                    all.push(Box::pin(passwords.verify(&users, Some(&wrong))));
                }
                for one in &mut all {
                    // Each starts to wait.
                    let waiting = tokio::time::timeout(std::time::Duration::ZERO, one);
                    assert!(waiting.await.is_err());
                }
                assert_eq!(
                    passwords.verify(&users, Some(&wrong)).await,
                    AuthOutcome::Busy
                );
                assert_eq!(passwords.compared.load(Ordering::Relaxed), 0);
                drop(turn);
                for one in all {
                    assert_eq!(one.await, AuthOutcome::Rejected);
                }
            };
            crowd.await;
        });
    }

    #[test]
    fn malformed_credentials() {
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
    fn invalid_users() {
        let said = |name: &str, hash: &str| {
            let error = Users::new([(name.to_owned(), hash.to_owned())].into()).unwrap_err();
            let said = error.to_string();
            assert!(said.contains(&format!("{name:?}")), "{said}");
            assert!(hash.is_empty() || !said.contains(hash), "{said}");
            said
        };
        for wrong in ["", "secret", "$1$abc$def", "$2y$10$short"] {
            assert!(
                said("alice", wrong).contains("not a bcrypt hash"),
                "{wrong}"
            );
        }
        let dear = RIGHT.replace("$04$", "$31$");
        assert!(said("alice", &dear).contains("a cost of 31"));
        let cheap = RIGHT.replace("$04$", "$03$");
        assert!(said("alice", &cheap).contains("a cost of 3;"));
        assert!(said("a:b", RIGHT).contains("colon"));
        assert_eq!(Users::new(BTreeMap::new()).unwrap(), None);
    }
}
