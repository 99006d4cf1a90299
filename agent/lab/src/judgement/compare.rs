//! Compares the judgements of the scenario table with those that the agent gave.
//! It must never pass a judgement that the table does not have, nor one that is missing.

use super::{Due, End, Seen, Thresholds};

/// What is wrong with what was seen: every judgement due must be there, and no other.
#[must_use]
pub fn compare(table: &[Due], seen: &[Seen], thresholds: Thresholds) -> Vec<String> {
    let mut wrong = Vec::new();
    for due in table {
        let (end, judgement) = (due.end, due.judgement);
        let met: Vec<_> = seen
            .iter()
            .filter(|seen| due.is_met_by(seen, thresholds))
            .collect();
        let looks: u64 = met.iter().map(|seen| seen.looks).sum();
        if looks < due.looks {
            let end = end.as_str();
            wrong.push(format!(
                "{end}: judged {judgement} at {looks} looks, {} are due; seen: {}",
                due.looks,
                told(seen, due.end)
            ));
        }
        for seen in met {
            if due.detect.is_some() && seen.detect.iter().any(|detect| *detect != due.detect) {
                wrong.push(format!(
                    "{}: {}, with times to detect {:?} where the table says {:?}",
                    end.as_str(),
                    seen.word(),
                    seen.detect,
                    due.detect
                ));
            }
        }
    }
    for seen in seen {
        let end = seen.end.as_str();
        if !table.iter().any(|due| due.is_met_by(seen, thresholds)) {
            wrong.push(format!(
                "{end}: judged {} at {} looks ({}), which the table does not have",
                seen.word(),
                seen.looks,
                seen.why
            ));
        }
        if seen.direction != seen.end.direction() {
            wrong.push(format!("{end}: called {}", seen.direction));
        }
    }
    wrong
}

/// What was seen of one end, for people.
fn told(seen: &[Seen], end: End) -> String {
    let words: Vec<String> = seen
        .iter()
        .filter(|seen| seen.end == end)
        .map(|seen| format!("{} ×{} ({})", seen.word(), seen.looks, seen.why))
        .collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{judged, suspect},
        *,
    };
    use crate::{connections::Detect, scenarios};

    fn seen(end: End, word: &str, detect: Option<Detect>) -> Seen {
        let (liveness, evidence) = match word.split_once('/') {
            Some((liveness, evidence)) => (liveness, Some(evidence.to_owned())),
            None => (word, None),
        };
        Seen {
            end,
            liveness: liveness.to_owned(),
            evidence,
            direction: end.direction().to_owned(),
            detect: vec![detect],
            looks: 1,
            why: "it is so".to_owned(),
        }
    }

    fn table(number: u16) -> &'static [Due] {
        let mut all = scenarios::all();
        all.find(|scenario| scenario.number == number)
            .unwrap()
            .judged
    }

    fn check(table: &[Due], seen: &[Seen], thresholds: Thresholds, expected: usize) {
        let wrong = compare(table, seen, thresholds);
        assert_eq!(wrong.len(), expected, "{seen:?} {thresholds:?} {wrong:#?}");
    }

    const IN_14_S: Option<Detect> = Some(Detect::Millis(14_000));

    fn right() -> Vec<Seen> {
        vec![
            seen(End::Client, "idle_guarded", IN_14_S),
            seen(End::Client, "suspect/keepalive", IN_14_S),
        ]
    }

    #[test]
    fn what_the_table_says_passes() {
        check(table(7), &right(), Thresholds::Ours, 0);
        check(table(7), &right()[1..], Thresholds::Ours, 0);
        check(table(17), &[], Thresholds::Ours, 0);
    }

    #[test]
    fn a_judgement_that_is_missing_is_wrong() {
        check(table(7), &[], Thresholds::Ours, 1);
        check(table(7), &right()[..1], Thresholds::Ours, 1);
        let wrong = compare(table(7), &right()[..1], Thresholds::Ours);
        assert!(
            wrong[0].ends_with("seen: idle_guarded ×1 (it is so)"),
            "{wrong:?}"
        );
    }

    #[test]
    fn a_judgement_that_is_not_in_the_table_is_wrong() {
        for other in ["suspect/retransmission", "orphan", "idle_unguarded"] {
            let mut all = right();
            all.push(seen(End::Client, other, IN_14_S));
            check(table(7), &all, Thresholds::Ours, 1);
            check(table(7), &all, Thresholds::Theirs, 1);
        }
        let mut all = right();
        all.push(seen(End::Server, "healthy", None));
        check(table(7), &all, Thresholds::Ours, 1);
        check(
            table(17),
            &[seen(End::Client, "healthy", None)],
            Thresholds::Ours,
            1,
        );
    }

    #[test]
    fn a_falsified_table_fails() {
        const OTHER: &[Due] = &[
            End::Client.is(suspect("window_probe")),
            End::Client.may_be(judged(&["idle_guarded"])),
        ];
        check(OTHER, &right(), Thresholds::Ours, 2);
        const LATER: &[Due] = &[
            End::Client.is(suspect("keepalive")).found_within(15),
            End::Client.may_be(judged(&["idle_guarded"])),
        ];
        check(LATER, &right(), Thresholds::Ours, 1);
        const NEVER: &[Due] = &[
            End::Client.is(suspect("keepalive")).never_found(),
            End::Client.may_be(judged(&["idle_guarded"])),
        ];
        check(NEVER, &right(), Thresholds::Ours, 1);
        const OFTEN: &[Due] = &[
            End::Client.is(suspect("keepalive")).looks(2),
            End::Client.may_be(judged(&["idle_guarded"])),
        ];
        check(OFTEN, &right(), Thresholds::Ours, 1);
    }

    #[test]
    fn an_unknown_threshold_may_not_be_reached() {
        let healthy = [seen(End::Client, "healthy", Some(Detect::Never))];
        check(table(6), &healthy, Thresholds::Ours, 1);
        check(table(6), &healthy, Thresholds::Theirs, 0);
        let half_closed = [seen(End::Client, "half_closed", Some(Detect::Never))];
        check(table(22), &half_closed, Thresholds::Ours, 1);
        check(table(22), &half_closed, Thresholds::Theirs, 0);
    }

    #[test]
    fn the_opener_is_told_from_the_other() {
        let mut all = right();
        all[1].direction = "inbound".to_owned();
        check(table(7), &all, Thresholds::Ours, 1);
    }
}
