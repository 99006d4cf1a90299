mod ignored;

use super::*;
use crate::model::{connection::Unknown, death::Cause};
use zerocopy::FromZeros as _;

fn key(cgroup: u64, port: u16, direction: u8) -> GroupKey {
    GroupKey {
        cgroup,
        port,
        direction,
        padding: [0; 5],
    }
}

fn counters(change: impl FnOnce(&mut GroupCounts)) -> GroupCounts {
    let mut counters = GroupCounts::new_zeroed();
    change(&mut counters);
    counters
}

fn record(change: impl FnOnce(&mut Record)) -> Record {
    let mut record = Record::new_zeroed();
    record.direction = direction::OUTBOUND;
    record.remote_port = 443;
    record.local_port = 50_000;
    change(&mut record);
    record
}

fn reasons() -> Reasons {
    Reasons::new(&HashMap::from([
        (15, "tcp_keepalive_timeout".into()),
        (1, "no_socket".into()),
    ]))
}

fn show(
    ledger: &mut Ledger,
    counters: &BTreeMap<GroupKey, GroupCounts>,
    pending: &PendingAnswers,
) -> BTreeMap<Group, Counts> {
    let owner = |_| Ok("unit.service".into());
    let none = Ignored::new();
    ledger.show(counters, pending, &none, &reasons(), owner, Duration::ZERO)
}

#[test]
fn cookies_and_connects_without_a_port_are_told_apart() {
    let read = BTreeMap::from([
        (
            key(1, 443, direction::INBOUND),
            counters(|c| {
                c.events[Event::CookieSent as usize] = 9;
                c.events[Event::CookieValidated as usize] = 4;
            }),
        ),
        (
            key(1, 443, direction::OUTBOUND),
            counters(|c| c.events[Event::ConnectWithoutPort as usize] = 3),
        ),
    ]);
    let shown = show(&mut Ledger::default(), &read, &PendingAnswers::new());
    let figures: Vec<_> = shown
        .iter()
        .map(|(group, counts)| {
            (
                group.direction,
                [
                    counts.syn_cookies_sent,
                    counts.syn_cookies_validated,
                    counts.connects_without_port,
                ],
            )
        })
        .collect();
    assert_eq!(
        figures,
        [
            (Direction::Inbound, [9, 4, 0]),
            (Direction::Outbound, [0, 0, 3]),
        ]
    );
}

#[test]
fn groups_of_several_cgroups_are_summed_and_empty_ones_left_out() {
    let probes = |n| counters(|c| c.events[Event::KeepaliveProbe as usize] = n);
    let read = BTreeMap::from([
        (key(1, 443, direction::OUTBOUND), probes(2)),
        (key(2, 443, direction::OUTBOUND), probes(3)),
        (key(2, 80, direction::INBOUND), probes(0)),
    ]);
    let shown = show(&mut Ledger::default(), &read, &PendingAnswers::new());
    assert_eq!(shown.len(), 1);
    let group = Group {
        owner: "unit.service".to_owned(),
        direction: Direction::Outbound,
        port: Some(443),
    };
    assert_eq!(shown[&group].keepalive_probes, 5);
}

#[test]
fn told_and_inferred_reasons_have_one_name() {
    let read = BTreeMap::from([(
        key(0, 0, direction::NONE),
        counters(|c| {
            c.resets_sent[15] = 1;
            c.resets_sent[ResetReason::KEEPALIVE_TIMEOUT as usize] = 2;
            c.resets_sent[1] = 4;
            c.resets_sent[ResetReason::UNKNOWN as usize] = 8;
            c.resets_sent[40] = 16;
            c.resets_sent[ResetReason::NETFILTER as usize] = 32;
            c.endings[Ending::Keepalive as usize] = 3;
        }),
    )]);
    let shown = show(&mut Ledger::default(), &read, &PendingAnswers::new());
    let counts = shown.values().next().unwrap();
    let expected = [
        ("netfilter", 32),
        ("no_socket", 4),
        ("tcp_keepalive_timeout", 3),
        ("unknown", 24),
    ];
    assert_eq!(
        counts.resets_sent,
        expected.map(|(name, n)| (name.to_owned(), n)).into()
    );
    assert_eq!(counts.deaths, BTreeMap::from([(Cause::Keepalive, 3)]));
    assert_eq!(shown.keys().next().unwrap().port, None);
}

#[test]
fn a_pending_answer_counts_once_and_stays_when_the_hooks_take_it_over() {
    let key = key(0, 443, direction::OUTBOUND);
    let answered = |n| {
        BTreeMap::from([(
            key,
            counters(|c| {
                c.events[Event::KeepaliveProbe as usize] = 1;
                c.events[Event::KeepaliveAnswered as usize] = n;
            }),
        )])
    };
    let mut pending = PendingAnswers::new();
    let heard = record(|r| {
        r.outstanding = Outstanding::KEEPALIVE;
        r.heard = 1;
    });
    add_pending(&mut pending, &heard);
    add_pending(
        &mut pending,
        &record(|r| r.outstanding = Outstanding::KEEPALIVE),
    );
    assert_eq!(pending[&key][Event::KeepaliveRecovery as usize], 0);
    let mut recovered = PendingAnswers::new();
    for suspected in [0, 1] {
        let heard = record(|r| {
            r.outstanding = Outstanding::WINDOW;
            r.heard = 1;
            r.suspected = suspected;
        });
        add_pending(&mut recovered, &heard);
    }
    let events = recovered[&key];
    assert_eq!(events[Event::WindowAnswered as usize], 2);
    assert_eq!(events[Event::WindowRecovery as usize], 1);
    let mut ledger = Ledger::default();
    let mut shown = |counters, pending: &PendingAnswers| {
        show(&mut ledger, &counters, pending)
            .values()
            .next()
            .unwrap()
            .keepalive_probes_answered
    };
    assert_eq!(shown(answered(0), &pending), 1);
    assert_eq!(
        shown(answered(0), &PendingAnswers::new()),
        1,
        "counted in between"
    );
    assert_eq!(shown(answered(1), &PendingAnswers::new()), 1);
}

#[test]
fn what_the_kernel_forgets_is_kept_until_the_group_departs() {
    let probes = |n| counters(|c| c.events[Event::KeepaliveProbe as usize] = n);
    let [old, new] = [1, 2].map(|cgroup| key(cgroup, 443, direction::OUTBOUND));
    let mut ledger = Ledger::default();
    let owner = |_| Ok("unit.service".into());
    let show = |ledger: &mut Ledger, read: &[(GroupKey, u64)], second| {
        let read = read.iter().map(|(key, n)| (*key, probes(*n))).collect();
        let now = Duration::from_secs(second);
        let (pending, ignored) = (PendingAnswers::new(), Ignored::new());
        let shown = ledger.show(&read, &pending, &ignored, &reasons(), owner, now);
        shown.values().map(|it| it.keepalive_probes).sum::<u64>()
    };
    let age = Duration::from_secs(10);
    assert_eq!(show(&mut ledger, &[(old, 3), (new, 1)], 0), 4);
    assert_eq!(show(&mut ledger, &[(old, 3), (new, 2)], 11), 5);
    let stale: Vec<_> = ledger.stale(age, Duration::from_secs(11)).collect();
    assert_eq!(stale, [old]);
    ledger.retire(&old, &probes(3), &Ignored::new(), &reasons());
    assert_eq!(show(&mut ledger, &[(new, 2)], 12), 5);
    assert_eq!(ledger.depart(|_| true), [], "the kernel still counts in it");
    ledger.retire(&new, &probes(2), &Ignored::new(), &reasons());
    assert_eq!(show(&mut ledger, &[], 13), 5);
    assert_eq!(ledger.depart(|_| false), []);
    let gone = ledger.depart(|_| true);
    assert_eq!((gone.len(), gone[0].1.keepalive_probes), (1, 5));
    assert_eq!(show(&mut ledger, &[], 14), 0);
}

#[test]
fn what_is_counted_up_to_the_last_moment_is_kept() {
    let key = key(1, 443, direction::OUTBOUND);
    let probes = |n| counters(|c| c.events[Event::KeepaliveProbe as usize] = n);
    let mut ledger = Ledger::default();
    show(
        &mut ledger,
        &[(key, probes(3))].into(),
        &PendingAnswers::new(),
    );
    // Two more were sent before the kernel forgot them.
    ledger.retire(&key, &probes(5), &Ignored::new(), &reasons());
    let shown = show(&mut ledger, &BTreeMap::new(), &PendingAnswers::new());
    let shown: Vec<u64> = shown.values().map(|it| it.keepalive_probes).collect();
    assert_eq!(shown, [5]);
}

#[test]
fn a_group_is_not_forgotten_while_an_answer_that_was_shown_is_to_be_counted() {
    let key = key(1, 443, direction::OUTBOUND);
    let answered = |n| {
        let counters = counters(|c| {
            c.events[Event::KeepaliveProbe as usize] = 1;
            c.events[Event::KeepaliveAnswered as usize] = n;
        });
        BTreeMap::from([(key, counters)])
    };
    let mut pending = PendingAnswers::new();
    let heard = record(|r| {
        r.cgroup = 1;
        r.outstanding = Outstanding::KEEPALIVE;
        r.heard = 1;
    });
    add_pending(&mut pending, &heard);
    let mut ledger = Ledger::default();
    let long = Duration::from_secs(7200);
    show(&mut ledger, &answered(0), &pending);
    assert_eq!(ledger.stale(Duration::ZERO, long).count(), 0);
    // Not looked at this time, it is owed all the same.
    show(&mut ledger, &answered(0), &PendingAnswers::new());
    assert_eq!(ledger.stale(Duration::ZERO, long).count(), 0);
    show(&mut ledger, &answered(1), &PendingAnswers::new());
    assert_eq!(ledger.stale(Duration::ZERO, long).count(), 1);
}

/// Of every kind of figure, through pending answers and ignored deaths, up to the kernel's forgetting it.
#[test]
fn an_owner_that_becomes_known_gets_what_is_counted_from_then_on() {
    let key = key(7, 443, direction::OUTBOUND);
    let counted = |n: u64| {
        counters(|c| {
            c.events[Event::KeepaliveProbe as usize] = n;
            c.endings[Ending::Keepalive as usize] = n;
            c.resets_sent[1] = n;
            c.idle_before_close[2] = n;
            c.idle_before_close_ns = n * 1_000_000_000;
        })
    };
    let figures = |counts: &Counts| {
        let deaths: u64 = counts.deaths.values().sum();
        let resets: u64 = counts.resets_sent.values().sum();
        let idle = counts.idle_before_close.sum.as_secs();
        assert_eq!(counts.idle_before_close.counts[2], idle);
        [
            counts.keepalive_probes,
            counts.keepalive_probes_answered,
            deaths,
            resets,
            idle,
        ]
    };
    let mut ledger = Ledger::default();
    let show = |ledger: &mut Ledger, n: u64, pending: u64, owner: Known<Arc<str>>| {
        let mut answers = GroupAnswers::default();
        answers[Event::KeepaliveAnswered as usize] = pending;
        let mut ignored = IgnoredDeaths::new_zeroed();
        ignored.0[Ending::Keepalive as usize] = 1;
        let shown = ledger.show(
            &[(key, counted(n))].into(),
            &[(key, answers)].into(),
            &[(key, ignored)].into(),
            &reasons(),
            |_| owner.clone(),
            Duration::ZERO,
        );
        let shown = shown.iter();
        let shown = shown.map(|(group, counts)| (group.owner.clone(), figures(counts)));
        shown.collect::<Vec<_>>()
    };
    let unknown = || Err(Unknown::NoCgroups);
    let known = || Ok("web.service".into());
    let of_nobody = |figures| (UNKNOWN_OWNER.to_owned(), figures);
    let of_web = |figures| ("web.service".to_owned(), figures);
    assert_eq!(
        show(&mut ledger, 3, 1, unknown()),
        [of_nobody([3, 1, 2, 3, 3])]
    );
    // Its owner could be known by now, but was not looked for again.
    assert_eq!(
        show(&mut ledger, 4, 1, known()),
        [of_nobody([4, 1, 3, 4, 4])]
    );
    ledger.ask_again();
    // What was counted since it was shown last is the owner's.
    let before = of_nobody([4, 1, 3, 4, 4]);
    assert_eq!(
        show(&mut ledger, 5, 2, known()),
        [before.clone(), of_web([1, 1, 1, 1, 1])]
    );
    ledger.ask_again();
    let after = [before, of_web([4, 2, 4, 4, 4])];
    assert_eq!(show(&mut ledger, 8, 3, unknown()), after);
    ledger.retire(&key, &counted(9), &Ignored::new(), &reasons());
    let shown = ledger.show(
        &BTreeMap::new(),
        &PendingAnswers::new(),
        &Ignored::new(),
        &reasons(),
        |_| unknown(),
        Duration::ZERO,
    );
    let owners: Vec<_> = shown.keys().map(|group| group.owner.as_str()).collect();
    assert_eq!(owners, [UNKNOWN_OWNER, "web.service"]);
    let figures: Vec<_> = shown.values().map(figures).collect();
    assert_eq!(figures, [[4, 1, 3, 4, 4], [5, 2, 6, 5, 5]]);
}
