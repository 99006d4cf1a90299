use super::*;
use crate::model::{connection::State, death::Cause, fixture::Random, liveness::Evidence};

fn group(owner: &str, port: u16) -> Group {
    Group {
        owner: owner.to_owned(),
        direction: Direction::Inbound,
        port: Some(port),
    }
}

fn deaths(n: u64) -> Counts {
    Counts {
        deaths: [(Cause::Keepalive, n)].into(),
        keepalive_probes: 3 * n,
        resets_sent: [("tcp_keepalive_timeout".to_owned(), n)].into(),
        ..Counts::default()
    }
}

fn connections(n: u64) -> Sums {
    Sums {
        states: [(State::Established, n)].into(),
        memory: [("live", 1_000 * n)].into(),
        ..Sums::default()
    }
}

fn limits(max_groups: usize) -> Limits {
    Limits {
        max_groups,
        max_series: 1_000_000,
        ..Limits::default()
    }
}

fn all(counts: impl IntoIterator<Item = (Group, Counts)>) -> Shown {
    Shown {
        counts: counts.into_iter().collect(),
        ..Shown::default()
    }
}

const AT_START: Duration = Duration::ZERO;

fn total(shown: &Shown) -> Counts {
    let mut total = Counts::default();
    shown.counts.values().for_each(|counts| total.add(counts));
    total
}

fn other_deaths(shown: &Shown) -> u64 {
    let other = shown.counts.get(&other(&group("any", 1)));
    other.map_or(0, |counts| counts.deaths[&Cause::Keepalive])
}

#[test]
fn what_fits_is_shown_as_it_is() {
    let mut everything = all([(group("a", 80), deaths(1)), (group("b", 80), deaths(2))]);
    everything.sums.insert(group("a", 80), connections(7));
    let mut budget = Budget::new(limits(2));
    let shown = budget.show(everything.clone(), |_| true, AT_START);
    assert_eq!(shown, everything);
    assert_eq!(budget.folded(), 0);
}

#[test]
fn the_biggest_and_the_worst_keep_their_names() {
    let mut everything = all([
        (group("worst", 80), deaths(9)),
        (group("small", 80), deaths(1)),
        (group("big", 80), deaths(0)),
    ]);
    everything.sums.insert(group("big", 80), connections(50));
    everything.sums.insert(group("small", 80), connections(2));
    let suspects = [(Evidence::Keepalive, 4)];
    everything
        .suspects
        .insert(group("small", 80), suspects.into());
    let mut budget = Budget::new(limits(2));
    let shown = budget.show(everything.clone(), |_| true, AT_START);
    let owners: Vec<&str> = shown.counts.keys().map(|it| it.owner.as_str()).collect();
    assert_eq!(
        owners,
        ["other", "worst"],
        "what has no counts is not shown"
    );
    assert_eq!(shown.sums[&group("big", 80)], connections(50));
    let other = other(&group("small", 80));
    assert_eq!(shown.sums[&other], connections(2));
    assert_eq!(shown.suspects[&other], suspects.into());
    assert_eq!(total(&shown), total(&everything));
    assert_eq!(budget.folded(), 1);
}

#[test]
fn names_change_hands_for_a_great_difference_only_and_counters_never_go_back() {
    let mut budget = Budget::new(limits(1));
    let at = |a: u64, b: u64| all([(group("a", 80), deaths(a)), (group("b", 80), deaths(b))]);
    let mut minutes = 0;
    let mut show = |a, b| {
        // Names come back after a while alone.
        minutes += 6;
        let now = Duration::from_secs(60 * minutes);
        let shown = budget.show(at(a, b), |_| true, now);
        assert_eq!(total(&shown), total(&at(a, b)), "{a} {b}");
        let of = |owner| {
            let counts = shown.counts.get(&group(owner, 80));
            counts.map(|counts| counts.deaths[&Cause::Keepalive])
        };
        (of("a"), of("b"), other_deaths(&shown))
    };
    assert_eq!(show(10, 5), (Some(10), None, 5));
    assert_eq!(
        show(10, 20),
        (Some(10), None, 20),
        "twice as bad is not worse"
    );
    assert_eq!(
        show(10, 21),
        (None, Some(1), 30),
        "what was under other stays"
    );
    assert_eq!(show(11, 25), (None, Some(5), 31));
    assert_eq!(show(60, 26), (Some(49), None, 37));
    assert_eq!(show(60, 27), (Some(49), None, 38));
}

#[test]
fn a_lost_name_is_not_given_again_at_once() {
    let mut budget = Budget::new(limits(1));
    let mut show = |a: u64, b: u64, minute: u64| {
        let all = all([(group("a", 80), deaths(a)), (group("b", 80), deaths(b))]);
        let shown = budget.show(all, |_| true, Duration::from_secs(60 * minute));
        shown
            .counts
            .into_keys()
            .map(|it| it.owner)
            .collect::<Vec<_>>()
    };
    assert_eq!(show(5, 1, 0), ["a", "other"]);
    assert_eq!(show(5, 20, 1), ["b", "other"]);
    assert_eq!(
        show(90, 20, 2),
        ["b", "other"],
        "a had its name a minute ago"
    );
    assert_eq!(show(90, 20, 6), ["a", "other"]);
}

/// Random histories: sums are exact, and no counter goes back while its series is shown.
#[test]
fn every_history_keeps_its_sums() {
    let mut numbers = Random::new(1);
    let mut random = |below| numbers.below(below);
    let mut budget = Budget::new(Limits {
        time_to_live: Duration::from_secs(5),
        ..limits(3)
    });
    let mut counted: BTreeMap<Group, Counts> = BTreeMap::new();
    let mut gone = Counts::default();
    let mut before = Shown::default();
    for second in 0..2_000 {
        let now = Duration::from_secs(second);
        for _ in 0..random(6) {
            let group = group(
                &format!("owner{}", random(12)),
                [80, 443][usize::from(random(2) == 0)],
            );
            counted.entry(group).or_default().add(&deaths(random(40)));
        }
        let all = all(counted.clone());
        let shown = budget.show(all, |owner| owner == "owner0", now);
        let mut expected = gone.clone();
        counted.values().for_each(|counts| expected.add(counts));
        assert_eq!(total(&shown), expected, "{second}");
        let named = shown.counts.keys().filter(|group| group.owner != OTHER);
        assert!(named.count() <= 3);
        for (group, counts) in &before.counts {
            if let Some(now) = shown.counts.get(group) {
                let mut more = now.clone();
                more.subtract(counts);
                more.add(counts);
                assert_eq!(&more, now, "{second}: {group:?} went back");
            } else {
                assert_ne!(group.owner, OTHER);
            }
        }
        before = shown;
        // Their counters are forgotten, as the kernel's table has to forget some.
        let leaving: Vec<Group> = counted
            .keys()
            .filter(|group| budget.is_gone(group, now))
            .cloned()
            .collect();
        for group in leaving {
            let counts = counted.remove(&group).unwrap();
            gone.add(&counts);
            budget.depart(&group, &counts);
        }
    }
    assert!(!gone.is_empty(), "some have left");
}

#[test]
fn a_group_is_gone_when_nothing_happens_and_its_owner_is_gone() {
    let mut budget = Budget::new(limits(10));
    let everything = all([(group("a", 80), deaths(1)), (group("b", 80), deaths(2))]);
    let later = Duration::from_secs(15 * 60 + 1);
    for now in [AT_START, later] {
        let shown = budget.show(everything.clone(), |owner| owner == "b", now);
        assert_eq!(total(&shown), total(&everything));
        let has_name = shown.counts.contains_key(&group("a", 80));
        assert_eq!(has_name, now == AT_START);
        assert!(shown.counts.contains_key(&group("b", 80)));
    }
    assert!(budget.is_gone(&group("a", 80), later));
    assert!(!budget.is_gone(&group("b", 80), later));
}

#[test]
fn patterns_take_names_away() {
    let mut budget = Budget::new(Limits {
        owners: Patterns {
            allow: vec!["nginx*".into(), "ssh*".into()],
            deny: vec!["*.scope".into()],
        },
        ..limits(10)
    });
    let owners = ["nginx.service", "ssh.scope", "cron.service", ""];
    let everything = all(owners.map(|owner| (group(owner, 80), deaths(1))));
    let shown = budget.show(everything, |_| true, AT_START);
    let names: Vec<&str> = shown.counts.keys().map(|it| it.owner.as_str()).collect();
    assert_eq!(names, ["", "nginx.service", "other"]);
    assert_eq!(other_deaths(&shown), 2);
}

#[test]
fn labels_left_out_are_summed() {
    let cases = [
        ((true, false, false), vec![("a", None), ("b", None)]),
        ((false, true, true), vec![("", Some(80)), ("", Some(443))]),
        ((false, false, false), vec![("", None)]),
    ];
    for ((owner, direction, port), expected) in cases {
        let mut budget = Budget::new(Limits {
            group_by: GroupBy {
                owner,
                direction,
                port,
            },
            ..limits(10)
        });
        let mut everything = all([
            (group("a", 80), deaths(1)),
            (group("a", 443), deaths(2)),
            (group("b", 80), deaths(4)),
        ]);
        everything.sums.insert(group("b", 80), connections(3));
        let shown = budget.show(everything.clone(), |_| true, AT_START);
        let found: Vec<(&str, Option<u16>)> = shown
            .counts
            .keys()
            .map(|group| (group.owner.as_str(), group.port))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(total(&shown), total(&everything));
        assert_eq!(
            shown.sums.values().cloned().collect::<Vec<_>>(),
            [connections(3)]
        );
    }
}
