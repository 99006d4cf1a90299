//! What makes a suspect of a socket's record, and a recovery of an answer.

use halfopen_common::{Outstanding, Record};
use zerocopy::FromZeros as _;

/// A recovery needs a suspect, by the graces that the model uses.
#[test]
fn what_makes_a_suspect() {
    const MS: u64 = 1_000_000;
    let record = |outstanding, unheard| Record {
        outstanding,
        unheard,
        unheard_since_ns: 7_000 * MS,
        ..Record::new_zeroed()
    };
    for (outstanding, rto_ms, grace_ms) in [
        (Outstanding::KEEPALIVE, 200, 500),
        (Outstanding::KEEPALIVE, 900, 900),
        (Outstanding::WINDOW, 200, 1_200),
        (Outstanding::WINDOW, 900, 1_900),
    ] {
        let at = |ms: u64| record(outstanding, 9).is_suspect((7_000 + ms) * MS, rto_ms * MS);
        assert!(!at(grace_ms - 1), "{outstanding} {rto_ms}");
        assert!(at(grace_ms), "{outstanding} {rto_ms}");
    }
    for outstanding in [Outstanding::RETRANSMISSION, Outstanding::CLOSED_WINDOW] {
        let after = |unheard| record(outstanding, unheard).is_suspect(99_000 * MS, 200 * MS);
        assert!(!after(2) && after(3), "{outstanding}");
    }
    assert!(!record(Outstanding::NONE, 9).is_suspect(99_000 * MS, 0));
    let answered = |outstanding, suspected| {
        let record = Record {
            suspected,
            ..record(outstanding, 9)
        };
        record.recovers()
    };
    assert!(answered(Outstanding::WINDOW, 1));
    assert!(!answered(Outstanding::WINDOW, 0));
    assert!(!answered(Outstanding::NONE, 1));
}
