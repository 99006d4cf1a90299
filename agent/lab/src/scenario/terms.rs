//! What a self-test expects of its agent, beside the table.

use crate::{
    classify::{assessment::Exactness, counts::Falsified},
    observe::agent_client::AgentThresholds,
    scenario::{definition::Scenario, table},
};

/// What is expected of an agent.
#[derive(Debug, Clone)]
pub struct SelftestTerms {
    /// How exact its counts must be; `None` for what follows from the mechanisms that it reports.
    pub exactness: Option<Exactness>,
    /// From when on it calls silence idle.
    pub thresholds: AgentThresholds,
    /// Expectations put in place of the table's, by scenario, side and key.
    pub falsified: Vec<(String, String, u64)>,
}

impl SelftestTerms {
    pub(super) fn falsified(&self, scenario: &Scenario) -> Falsified {
        let label = scenario.label();
        let mine = self.falsified.iter().filter(|(of, ..)| *of == label);
        mine.map(|(_, key, figure)| (key.clone(), *figure))
            .collect()
    }
}

/// Reads an expectation to be put in place of the table's: `SCENARIO SIDE KEY=NUMBER`, such as
/// `7 outbound keepalive_probes=4`.
///
/// # Errors
/// When it is none, or there is no such scenario.
pub fn falsified(typed: &str) -> Result<(String, String, u64), String> {
    let form = "write SCENARIO SIDE KEY=NUMBER, such as '7 outbound keepalive_probes=4'";
    let (scenario, rest) = typed.split_once(' ').ok_or(form)?;
    let (key, figure) = rest.rsplit_once('=').ok_or(form)?;
    let known = table::all().any(|known| known.label() == scenario);
    let side = ["inbound ", "outbound "]
        .iter()
        .any(|side| key.starts_with(side));
    match figure.parse() {
        Ok(figure) if known && side => Ok((scenario.to_owned(), key.to_owned(), figure)),
        _ => Err(form.to_owned()),
    }
}
