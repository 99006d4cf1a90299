//! Compares the sockets that the agent reports with the kernel's own list, in each of the lab's
//! namespaces, when nothing happens there any more: the kernel's list is the same before and after.

use std::collections::BTreeMap;

use crate::{
    Error,
    classify::assessment::Assessment,
    net::host::Host,
    observe::{agent_client::AgentClient, sockets},
    wait::{self, Awaited, LIMIT},
};

/// How often a difference must be seen: the agent may lose its place in a list that others change.
const LOOKS: u32 = 3;

/// How many sockets there are in each state.
type StateCounts = BTreeMap<String, u64>;

/// Compares what the agent reports of each host's namespace; a failure to report is an assessment too.
///
/// # Errors
/// When interrupted.
pub(crate) fn classify<'a>(
    hosts: impl Iterator<Item = &'a Host>,
    agent_client: &AgentClient,
) -> Result<Assessment, Error> {
    let mut assessment = Assessment::default();
    let (mut there, mut reported) = (StateCounts::new(), StateCounts::new());
    for host in hosts {
        match read_both(host, agent_client) {
            Ok((here, here_reported)) => {
                let name = host.name();
                let wrong = compare(&here, &here_reported);
                let wrong = wrong.map(|why| format!("namespace {name}: {why}"));
                assessment.wrong.extend(wrong);
                add(&mut there, here);
                add(&mut reported, here_reported);
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                assessment.wrong.push(error.to_string());
                break;
            }
        }
    }
    let values = |census: StateCounts| census.into_iter().map(|(state, n)| (state, n.into()));
    assessment.expected = values(there.clone()).collect();
    assessment.kernel = values(there).collect();
    assessment.counted = values(reported).collect();
    Ok(assessment)
}

/// What the kernel has and what the agent reports, of one namespace at one moment.
fn read_both(host: &Host, agent_client: &AgentClient) -> Result<(StateCounts, StateCounts), Error> {
    let inum = host.inum()?;
    let kernel = || -> Result<StateCounts, Error> {
        let sockets = host.run(sockets::here)??;
        Ok(census(sockets.iter().map(|socket| socket.state)))
    };
    let mut looks = 0;
    let awaited = format!("a quiet moment in namespace {}", host.name());
    wait::until(&awaited, LIMIT, || {
        let before = kernel()?;
        let Some(reported) = agent_client.connections(inum)? else {
            return Ok(Awaited::NotYet("the agent is busy".to_owned()));
        };
        let after = kernel()?;
        if before != after {
            return Ok(Awaited::NotYet(format!("{before:?}, then {after:?}")));
        }
        let reported = census(reported.iter().map(|connection| connection.state.as_str()));
        looks += 1;
        Ok(if reported == after || looks >= LOOKS {
            Awaited::Done((after, reported))
        } else {
            Awaited::NotYet(format!("{after:?}, but the agent reports {reported:?}"))
        })
    })
}

fn census<'a>(states: impl Iterator<Item = &'a str>) -> StateCounts {
    let mut census = StateCounts::new();
    for state in states {
        *census.entry(state.to_owned()).or_default() += 1;
    }
    census
}

fn add(sum: &mut StateCounts, part: StateCounts) {
    for (state, count) in part {
        *sum.entry(state).or_default() += count;
    }
}

/// The states in which the agent reports more sockets or of fewer than there are.
fn compare(there: &StateCounts, reported: &StateCounts) -> Option<String> {
    let states = there
        .keys()
        .chain(reported.keys().filter(|state| !there.contains_key(*state)));
    let of = |census: &StateCounts, state: &str| census.get(state).copied().unwrap_or(0);
    let differences: Vec<String> = states
        .filter(|state| of(there, state) != of(reported, state))
        .map(|state| {
            let (there, reported) = (of(there, state), of(reported, state));
            format!("{reported} {state} reported, {there} there")
        })
        .collect();
    (!differences.is_empty()).then(|| differences.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(there: &[&str], reported: &[&str], expected: Option<&str>) {
        let [there, reported] = [there, reported].map(|states| census(states.iter().copied()));
        assert_eq!(
            compare(&there, &reported).as_deref(),
            expected,
            "{there:?} {reported:?}"
        );
    }

    #[test]
    fn every_state_counts() {
        check(&[], &[], None);
        check(&["listen", "time_wait"], &["time_wait", "listen"], None);
        check(
            &["listen", "established"],
            &["established"],
            Some("0 listen reported, 1 there"),
        );
        check(
            &["fin_wait2"],
            &["time_wait", "time_wait"],
            Some("0 fin_wait2 reported, 1 there, 2 time_wait reported, 0 there"),
        );
    }

    #[test]
    fn namespaces_add_up() {
        let mut sum = census(["listen"].into_iter());
        add(&mut sum, census(["listen", "closing"].into_iter()));
        assert_eq!(sum, census(["closing", "listen", "listen"].into_iter()));
    }
}
