//! What a list shows without `--all`.

use super::{
    super::{Filter, Subject},
    sample, verdict,
};
use crate::model::{assessed::Assessed, connection::State, liveness::Liveness};

/// One that nobody worries about, in this state.
fn calm(state: State, liveness: Liveness) -> Assessed {
    let mut assessed = sample();
    assessed.connection.state = state;
    assessed.verdict = verdict(liveness, None);
    assert!(!assessed.is_noteworthy());
    assessed
}

fn parsed(filter: &str) -> Filter {
    Filter::parse_for(Subject::Connection, filter).unwrap()
}

#[test]
fn what_is_named_is_shown() {
    let healthy = || calm(State::Established, Liveness::Healthy);
    for (filter, assessed) in [
        (
            "state close-wait",
            calm(State::CloseWait, Liveness::HalfClosed),
        ),
        (
            "state close-wait and owner nginx*",
            calm(State::CloseWait, Liveness::HalfClosed),
        ),
        (
            "owner nginx* and ( state close-wait )",
            calm(State::CloseWait, Liveness::HalfClosed),
        ),
        ("state time-wait", calm(State::TimeWait, Liveness::Closing)),
        ("state syn-sent", calm(State::SynSent, Liveness::Embryonic)),
        ("embryonic", calm(State::SynRecv, Liveness::Embryonic)),
        ("state all exclude listening", healthy()),
        ("idle > 1h", healthy()),
        ("silent < 1m", healthy()),
        ("detect never", healthy()),
        ("memory > 1k", healthy()),
        ("bytes-received = 0", healthy()),
        ("sport 443 and not suspect and idle > 1h", healthy()),
        ("sport 1 or idle > 1h", healthy()),
    ] {
        let parsed = parsed(filter);
        assert!(parsed.matches(&assessed), "{filter}");
        assert!(parsed.shows(&assessed), "{filter}");
    }
}

#[test]
fn what_is_only_narrowed_or_denied_is_not() {
    for filter in [
        "",
        "sport 443",
        "src 10.0.0.1 and uid 1000",
        "owner nginx* or dport 1",
        "netns != 1",
        "exclude close-wait",
        "exclude listening owner nginx*",
        "not state close-wait",
        "not suspect",
        "not idle < 1h",
        // The other alternative names what this is not.
        "sport 443 or suspect",
        "owner nginx* or ( state close-wait )",
        "( dport 1 and idle > 1h ) or sport 443",
    ] {
        let parsed = parsed(filter);
        let calm = calm(State::Established, Liveness::Healthy);
        assert!(parsed.matches(&calm), "{filter}");
        assert!(!parsed.shows(&calm), "{filter}");
        assert!(!parsed.names_all(), "{filter}");
        // One that is unguarded is worth worrying about, whatever the filter.
        assert!(parsed.shows(&sample()), "{filter}");
    }
}

#[test]
fn whether_anything_is_left_out() {
    for (filter, names_all) in [
        ("state close-wait", true),
        ("suspect or ( state close-wait )", true),
        ("owner nginx* and ( suspect or idle > 1h )", true),
        ("owner nginx* or suspect", false),
        ("not ( suspect or idle > 1h )", false),
    ] {
        assert_eq!(parsed(filter).names_all(), names_all, "{filter}");
    }
}
