//! `halfopen demo`: one connection dies, and the kernel's account of it stands beside the agent's.

use std::time::Duration;

use crate::{
    Error, interrupt,
    lab_lock::LabLock,
    net::{family::Family, open::keepalive},
    observe::{
        exposition::{self, AgentCounts, Metrics},
        http::Origin,
        snmp::Counters,
    },
    scenario::stage::{ClientPlace, Stage},
    wait::{self, Awaited},
};

/// Beyond those of the scenarios.
const PORT: u16 = 7999;

/// The agent counts at once; it may show it a little later.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// What is compared: in words, the kernel's name, the agent's name, and the figure that keepalive
/// 1/1/3 must give.
const LINES: [(&str, &str, &str, u64); 3] = [
    (
        "keepalive probes sent",
        "TCPKeepAlive",
        "keepalive_probes",
        3,
    ),
    (
        "connections dead of it",
        "TCPAbortOnTimeout",
        "deaths{keepalive}",
        1,
    ),
    (
        "resets sent",
        "OutRsts",
        "resets_sent{tcp_keepalive_timeout}",
        1,
    ),
];

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoReport {
    /// The comparison, in words and numbers.
    pub text: String,
    /// Whether kernel and agent agree with each other and with the settings.
    pub agreed: bool,
}

/// Lets a peer vanish and waits until the agent at `origin` has seen the death.
///
/// # Errors
/// When the lab cannot work, or the agent does not answer.
pub fn run(origin: &Origin) -> Result<DemoReport, Error> {
    interrupt::install()?;
    let _lock = LabLock::take()?;
    let before = scrape(origin)?;
    let stage = Stage::new(PORT, Family::Ipv4, ClientPlace::Plain)?;
    let connection = stage.connect(keepalive(1, 1, 3))?;
    stage.pair.drop_at_server()?;
    connection.enable_keepalive()?;
    stage.keep([connection.client, connection.server]);
    let kernel = stage.client_counts("TCPAbortOnTimeout", 1)?;
    let seen = wait::until("halfopen to see the death", SEEN_WITHIN, || {
        let counted = exposition::since(&before, &scrape(origin)?);
        Ok(if agrees(&kernel, &counted) {
            Awaited::Done(counted)
        } else {
            Awaited::NotYet(format!("{counted:?}"))
        })
    });
    let counted = match seen {
        Ok(counted) => counted,
        // What is there is shown, with the numbers that differ.
        Err(Error::Deadline { .. }) => exposition::since(&before, &scrape(origin)?),
        Err(error) => return Err(error),
    };
    Ok(compare(&kernel, &counted))
}

fn scrape(origin: &Origin) -> Result<AgentCounts, Error> {
    Ok(Metrics::parse(&origin.text("/metrics")?)?.of_port("outbound", PORT))
}

fn agrees(kernel: &Counters, counted: &AgentCounts) -> bool {
    LINES.iter().all(|(_, counter, key, must)| {
        kernel.get(counter) == *must && counted.get(*key) == Some(must)
    })
}

fn compare(kernel: &Counters, counted: &AgentCounts) -> DemoReport {
    let agreed = agrees(kernel, counted);
    let mut text = format!(
        "A client connected to port {PORT} of a server, in two private network namespaces, and fell\n\
         idle with keepalive 1/1/3: a probe after 1 s of silence, then one every second, 3 in all.\n\
         The server had vanished: nothing reached it any more. The client's kernel gave it up.\n\n"
    );
    text.push_str(&format!(
        "{:24}{:>20}{:>8}{:>10}\n",
        "", "kernel's counter", "kernel", "halfopen"
    ));
    for (words, counter, key, _) in LINES {
        let halfopen = counted.get(key).copied().unwrap_or(0);
        let kernel = kernel.get(counter);
        text.push_str(&format!(
            "{words:24}{counter:>20}{kernel:>8}{halfopen:>10}  {key}\n"
        ));
    }
    text.push_str(if agreed {
        "\nBoth agree: halfopen saw every probe, the death, its cause and the reset.\n"
    } else {
        "\nThey do not agree: 3 probes, 1 death and 1 reset are right. `halfopen doctor` shows which \
         hooks are missing here.\n"
    });
    DemoReport { text, agreed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_needs_both_accounts() {
        let kernel = Counters::from([
            ("TCPKeepAlive", 3),
            ("TCPAbortOnTimeout", 1),
            ("OutRsts", 1),
        ]);
        let counted = LINES.map(|(_, _, key, count)| (key.to_owned(), count));
        let right = compare(&kernel, &AgentCounts::from(counted.clone()));
        assert!(right.agreed);
        assert!(
            right
                .text
                .contains("TCPKeepAlive       3         3  keepalive_probes"),
            "{}",
            right.text
        );
        assert!(!compare(&kernel, &AgentCounts::new()).agreed);
        assert!(!compare(&Counters::default(), &AgentCounts::from(counted)).agreed);
    }
}
