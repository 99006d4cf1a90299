//! The balance with the kernel's own counters where traffic never rests.
//! It must never count on a moment at which nothing happens.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::fixtures::{agent::Agent, player::Player, scrape::Scrape};
use halfopen_lab::{Family, NetnsLifetime, Pair};

/// Nobody listens there: each attempt is answered by a reset.
const NOBODY: u16 = 7_001;

/// Agents that are started one after another; the first readings of each fall amid resets.
const AGENTS: usize = 6;

/// Resets that each has to see.
const RESETS: u64 = 2_000;

#[test]
#[ignore = "needs root"]
fn an_agent_started_amid_traffic_counts_nothing_over() {
    let pair = Pair::new("amid", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    let nobody = SocketAddr::new(Family::Ipv4.server(), NOBODY);
    let mut player = Player::start(&pair.client);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                player.tell(&format!("refused {nobody} 100"));
            }
        });
        let all = scope.spawn(|| (0..AGENTS).for_each(|_| balances()));
        let all = all.join();
        // Whatever came of it, the traffic has to end for the scope to.
        ended.store(true, Ordering::Relaxed);
        all.unwrap();
    });
}

/// One agent, until it has seen what it has to.
fn balances() {
    const COUNTER: [(&str, &str); 1] = [("counter", "OutRsts")];
    let mut agent = Agent::start(&["--compare-interval", "100ms"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    let scrape = loop {
        let scrape = Scrape::of(&agent);
        let over = scrape.0.iter().filter(|((name, _), count)| {
            name == "halfopen_overcounted_events_total" && **count != 0.0
        });
        assert_eq!(
            over.collect::<Vec<_>>(),
            [],
            "counted more than the kernel did"
        );
        if scrape.sum("halfopen_kernel_events_total", &COUNTER) >= RESETS {
            break scrape;
        }
        assert!(Instant::now() < deadline, "the traffic has stopped");
        thread::sleep(Duration::from_millis(100));
    };
    let sum = |name| scrape.sum(name, &COUNTER);
    let kernel = sum("halfopen_kernel_events_total");
    let counted = sum("halfopen_hook_events_total") + sum("halfopen_unaccounted_events_total");
    assert!(counted >= kernel, "{counted} of {kernel} accounted for");
    assert_eq!(agent.end("-TERM").code(), Some(0));
}
