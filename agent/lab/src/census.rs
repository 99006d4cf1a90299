//! Compares the sockets that the agent tells of with the kernel's own list, in each of the lab's
//! namespaces, when nothing happens there any more.
//! It must never compare across a change: the kernel's list is the same before and after.

use std::collections::BTreeMap;

use crate::{
    Error, Host,
    judge::Verdict,
    perform::Performance,
    sockets,
    wait::{self, LIMIT, Look},
    witness::Witness,
};

/// How often a difference must be seen: the agent may lose its place in a list that others change.
const LOOKS: u32 = 3;

/// How many sockets there are in each state.
type Census = BTreeMap<String, u64>;

/// Judges what the agent tells of every namespace. That it does not is a verdict too.
///
/// # Errors
/// When interrupted.
pub(crate) fn judge(performances: &[Performance], witness: &Witness) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    let (mut there, mut told) = (Census::new(), Census::new());
    for host in performances.iter().flat_map(Performance::hosts) {
        match both(host, witness) {
            Ok((here, said)) => {
                let name = host.name();
                let wrong = compare(&here, &said);
                let wrong = wrong.map(|why| format!("namespace {name}: {why}"));
                verdict.wrong.extend(wrong);
                add(&mut there, here);
                add(&mut told, said);
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                verdict.wrong.push(error.to_string());
                break;
            }
        }
    }
    let values = |census: Census| census.into_iter().map(|(state, n)| (state, n.into()));
    verdict.expected = values(there.clone()).collect();
    verdict.kernel = values(there).collect();
    verdict.counted = values(told).collect();
    Ok(verdict)
}

/// What the kernel has and what the agent tells, of one namespace at one moment.
fn both(host: &Host, witness: &Witness) -> Result<(Census, Census), Error> {
    let inum = host.inum()?;
    let kernel = || -> Result<Census, Error> {
        let sockets = host.run(sockets::here)??;
        Ok(census(sockets.iter().map(|socket| socket.state)))
    };
    let mut looks = 0;
    let awaited = format!("a quiet moment in namespace {}", host.name());
    wait::until(&awaited, LIMIT, || {
        let before = kernel()?;
        let Some(told) = witness.connections(inum)? else {
            return Ok(Look::Seen("the agent is busy".to_owned()));
        };
        let after = kernel()?;
        if before != after {
            return Ok(Look::Seen(format!("{before:?}, then {after:?}")));
        }
        let told = census(told.iter().map(|connection| connection.state.as_str()));
        looks += 1;
        Ok(if told == after || looks >= LOOKS {
            Look::Done((after, told))
        } else {
            Look::Seen(format!("{after:?}, but the agent tells of {told:?}"))
        })
    })
}

fn census<'a>(states: impl Iterator<Item = &'a str>) -> Census {
    let mut census = Census::new();
    for state in states {
        *census.entry(state.to_owned()).or_default() += 1;
    }
    census
}

fn add(sum: &mut Census, part: Census) {
    for (state, count) in part {
        *sum.entry(state).or_default() += count;
    }
}

/// The states in which the agent tells of more sockets or of fewer than there are.
fn compare(there: &Census, told: &Census) -> Option<String> {
    let states = there
        .keys()
        .chain(told.keys().filter(|state| !there.contains_key(*state)));
    let of = |census: &Census, state: &str| census.get(state).copied().unwrap_or(0);
    let differences: Vec<String> = states
        .filter(|state| of(there, state) != of(told, state))
        .map(|state| {
            let (there, told) = (of(there, state), of(told, state));
            format!("{told} {state} told of, {there} there")
        })
        .collect();
    (!differences.is_empty()).then(|| differences.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(there: &[&str], told: &[&str], expected: Option<&str>) {
        let [there, told] = [there, told].map(|states| census(states.iter().copied()));
        assert_eq!(
            compare(&there, &told).as_deref(),
            expected,
            "{there:?} {told:?}"
        );
    }

    #[test]
    fn every_state_counts() {
        check(&[], &[], None);
        check(&["listen", "time_wait"], &["time_wait", "listen"], None);
        check(
            &["listen", "established"],
            &["established"],
            Some("0 listen told of, 1 there"),
        );
        check(
            &["fin_wait2"],
            &["time_wait", "time_wait"],
            Some("0 fin_wait2 told of, 1 there, 2 time_wait told of, 0 there"),
        );
    }

    #[test]
    fn namespaces_add_up() {
        let mut sum = census(["listen"].into_iter());
        add(&mut sum, census(["listen", "closing"].into_iter()));
        assert_eq!(sum, census(["closing", "listen", "listen"].into_iter()));
    }
}
