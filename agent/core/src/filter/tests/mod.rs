//! What filters mean, as tables.

mod deaths;
mod malformed;
mod naming;
mod states;

use super::{Filter, Subject};
use crate::model::{
    assessed::Assessed,
    connection::{CarriedBytes, Outstanding, Unknown},
    detection::{Detection, Paths},
    liveness::{
        Evidence, Guard, Liveness, Verdict,
        fixture::{established, seconds},
    },
};

/// 10.0.0.1:443 to 192.0.2.7:51000, established, idle for 2 h, silent for 40 s.
fn sample() -> Assessed {
    Assessed {
        connection: established().with(|it| {
            it.remote = "192.0.2.7:51000".parse().unwrap();
            it.owner = Ok("nginx.service".into());
            it.cgroup = Ok(77);
            it.uid = Ok(1000);
            it.last_ack = Ok(seconds(40));
            it.last_received = Ok(seconds(7200));
            it.last_sent = Ok(seconds(7300));
            it.memory = Ok(65_536);
            it.carried = Ok(CarriedBytes {
                sent: 2048,
                received: 0,
            });
        }),
        verdict: verdict(Liveness::Idle(Guard::None), None),
        detection: Paths {
            idle: Ok(Detection::Never),
            data: Ok(Detection::Within(seconds(924))),
        },
    }
}

fn verdict(liveness: Liveness, unknown: Option<Unknown>) -> Verdict {
    Verdict {
        liveness,
        why: String::new(),
        unknown,
    }
}

fn assessed(liveness: Liveness) -> Assessed {
    Assessed {
        verdict: verdict(liveness, None),
        ..sample()
    }
}

/// All that may be unknown is.
fn unknown() -> Assessed {
    let mut assessed = sample();
    let none = Unknown::NotInSockDiag;
    assessed.verdict = verdict(Liveness::Healthy, Some(none));
    assessed.detection = Paths {
        idle: Err(none),
        data: Err(none),
    };
    let connection = &mut assessed.connection;
    connection.owner = Err(Unknown::CgroupGone);
    connection.cgroup = Err(none);
    connection.uid = Err(none);
    connection.last_ack = Err(none);
    connection.last_received = Err(none);
    connection.last_sent = Err(none);
    connection.outstanding = Err(none);
    connection.memory = Err(none);
    connection.carried = Err(none);
    assessed
}

fn check(filter: &str, assessed: &Assessed, expected: bool) {
    let parsed = Filter::parse(filter).unwrap();
    assert_eq!(parsed.matches(assessed), expected, "{filter}");
    // Quoted as one or typed as many words: the same.
    let words: Vec<String> = filter.split(' ').map(str::to_owned).collect();
    assert_eq!(Filter::of_words(Subject::Event, &words), Ok(parsed));
}

#[test]
fn facts() {
    for (filter, expected) in [
        ("", true),
        ("src 10.0.0.1", true),
        ("src = 10.0.0.0/8", true),
        ("src == 10.0.0.0/8:443", true),
        ("src eq 10.0.0.0/8:80", false),
        ("src != 10.0.0.1", false),
        ("src 192.0.2.7", false),
        ("dst 192.0.2.7", true),
        ("dst [2001:db8::]/32", false),
        ("sport 443", true),
        ("sport = :443", true),
        ("sport=:443", true),
        ("sport ne :443", false),
        ("sport != 80", true),
        ("sport = *", true),
        ("sport != :*", false),
        ("dport > :1024", true),
        ("dport gt 51000", false),
        ("dport ge 51000", true),
        ("dport >= :51001", false),
        ("dport geq 51000", true),
        ("dport < 51000", false),
        ("dport lt 51001", true),
        ("dport le 51000", true),
        ("dport leq 50999", false),
        ("dport<=51000", true),
        ("owner nginx.service", true),
        ("owner = nginx*", true),
        ("owner != nginx*", false),
        ("owner *.socket", false),
        ("owner NGINX.service", false),
        // As a table has it that is too narrow.
        ("owner nginx.se…", true),
        ("owner nginx.sa…", false),
        ("netns 4026531840", true),
        ("netns != 4026531840", false),
        ("uid 1000", true),
        ("uid >= 1000", true),
        ("uid = 0", false),
        ("idle > 1h", true),
        ("idle >= 2h", true),
        ("idle > 2h", false),
        ("idle < 3d", true),
        ("silent > 30s", true),
        ("silent > 41s", false),
        ("memory > 63k", true),
        ("memory >= 64k", true),
        ("memory > 64k", false),
        ("memory = 65536", true),
        ("detect never", true),
        ("detect = never", true),
        ("detect != never", false),
        ("detect > 1h", true),
        ("detect < 1h", false),
        ("bytes-sent = 2k", true),
        ("bytes-received > 0", false),
        ("cgroup 77", true),
        ("cgroup = 78", false),
        ("cgroup != 78", true),
        // Its id has not been found out.
        ("cgroup /system.slice/nginx.service", false),
        ("cgroup != /system.slice/nginx.service", false),
    ] {
        check(filter, &sample(), expected);
    }
}

#[test]
fn joined() {
    for (filter, expected) in [
        ("sport 443 and dport 51000", true),
        ("sport 443 && dport 1", false),
        ("sport 443 & dport 51000", true),
        ("sport 443 dport 51000", true),
        ("sport 443 dport 1", false),
        ("sport 1 or dport 51000", true),
        ("sport 1 || dport 1", false),
        ("sport 1 | dport 51000", true),
        ("not sport 1", true),
        ("! sport 443", false),
        ("not not sport 443", true),
        ("!!sport 443", true),
        ("! ( sport 1 or dport 1 )", true),
        ("(sport 443)", true),
        // `and`, spoken or not, binds closer than `or`, as the manual of ss says.
        ("sport 443 or dport 1 and uid 1", true),
        ("sport 443 or dport 1 uid 1", true),
        ("( sport 443 or dport 1 ) and uid 1", false),
        // `not` binds closest.
        ("not sport 1 and uid 1000", true),
        ("not sport 443 or uid 1000", true),
        ("not sport 443 uid 1000", false),
        ("( dport = :51000 or sport = :51000 )", true),
    ] {
        check(filter, &sample(), expected);
    }
}

#[test]
fn verdicts() {
    let suspect = |evidence| assessed(Liveness::Suspect(evidence));
    for (filter, holds, does_not) in [
        (
            "suspect",
            vec![suspect(Evidence::Keepalive), suspect(Evidence::WindowProbe)],
            vec![assessed(Liveness::Healthy), assessed(Liveness::ZeroWindow)],
        ),
        (
            "suspect keepalive",
            vec![suspect(Evidence::Keepalive)],
            vec![suspect(Evidence::Retransmission)],
        ),
        (
            "suspect window-probe or suspect retransmission",
            vec![
                suspect(Evidence::Retransmission),
                suspect(Evidence::WindowProbe),
            ],
            vec![suspect(Evidence::Keepalive)],
        ),
        (
            "suspect window_probe sport 443",
            vec![suspect(Evidence::WindowProbe)],
            vec![suspect(Evidence::Keepalive)],
        ),
        (
            "zombie",
            vec![
                sample(),
                assessed(Liveness::StaleCloseWait),
                assessed(Liveness::Orphan),
            ],
            vec![
                assessed(Liveness::Healthy),
                assessed(Liveness::Idle(Guard::Keepalive)),
            ],
        ),
        (
            "unguarded",
            vec![sample()],
            vec![
                assessed(Liveness::Idle(Guard::Keepalive)),
                assessed(Liveness::Healthy),
            ],
        ),
        (
            "embryonic",
            vec![assessed(Liveness::Embryonic)],
            vec![assessed(Liveness::Healthy)],
        ),
        (
            "unaccepted",
            vec![assessed(Liveness::Unaccepted)],
            vec![assessed(Liveness::Embryonic), assessed(Liveness::Healthy)],
        ),
        (
            "stalled",
            vec![assessed(Liveness::Stalled)],
            vec![suspect(Evidence::Retransmission)],
        ),
        (
            "zero-window",
            vec![assessed(Liveness::ZeroWindow)],
            vec![suspect(Evidence::WindowProbe)],
        ),
        (
            "not suspect",
            vec![assessed(Liveness::Healthy)],
            vec![suspect(Evidence::Keepalive)],
        ),
    ] {
        for assessed in &holds {
            check(filter, assessed, true);
        }
        for assessed in &does_not {
            check(filter, assessed, false);
        }
    }
    let mut orphan = sample();
    orphan.connection.orphaned = true;
    check("orphan", &orphan, true);
    check("orphan", &sample(), false);
}

#[test]
fn the_path_decides_the_time_to_detect() {
    let mut sending = sample();
    sending.connection.outstanding = Ok(Outstanding {
        packets_out: 1,
        ..Outstanding::default()
    });
    check("detect never", &sending, false);
    check("detect > 15m", &sending, true);
    check("detect > 16m", &sending, false);
}

#[test]
fn what_is_unknown_matches_no_comparison() {
    for condition in [
        "idle > 0s",
        "idle < 1h",
        "idle = 1h",
        "idle != 1h",
        "silent > 0s",
        "memory > 0",
        "memory != 0",
        "detect never",
        "detect > 1h",
        "detect < 1h",
        "owner nginx.service",
        "owner *",
        "uid 1000",
        "uid != 1000",
        "cgroup 77",
        "suspect",
        "zombie",
        "unguarded",
    ] {
        for filter in [
            condition.to_owned(),
            format!("not {condition}"),
            format!("not not {condition}"),
            format!("{condition} and sport 443"),
            format!("{condition} or sport 1"),
            format!("not ( {condition} or sport 1 )"),
            format!("not ( {condition} and sport 443 )"),
        ] {
            check(&filter, &unknown(), false);
        }
        // What holds, or fails, whatever the unknown may be.
        check(&format!("{condition} or sport 443"), &unknown(), true);
        check(
            &format!("not ( {condition} and sport 1 )"),
            &unknown(),
            true,
        );
    }
    check("orphan", &unknown(), false);
    check("not orphan", &unknown(), true);
    // A verdict that stands in spite of what is unknown holds.
    let mut suspect = unknown();
    suspect.verdict.liveness = Liveness::Suspect(Evidence::Keepalive);
    check("suspect", &suspect, true);
    check("not suspect", &suspect, false);
}

#[test]
fn cgroups_are_found_by_who_can() {
    let mut filter = Filter::parse("( cgroup /a or not cgroup 5 ) cgroup = b").unwrap();
    let mut asked = Vec::new();
    filter
        .resolve_cgroups(|path| {
            asked.push(path.to_owned());
            Ok::<_, ()>(77)
        })
        .unwrap();
    assert_eq!(asked, ["/a", "b"]);
    assert!(filter.matches(&sample()));
    let mut filter = Filter::parse("cgroup /nowhere").unwrap();
    assert_eq!(filter.resolve_cgroups(|_| Err("none")), Err("none"));
}
