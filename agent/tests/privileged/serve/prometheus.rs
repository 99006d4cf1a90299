//! A real Prometheus scrapes a real agent while connections die: every panel has data, and the right alert
//! fires. Rules and dashboards are the ones that people import, unchanged.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    fixtures::{LIMIT, agent::AgentProcess, cgroup, prometheus::Prometheus, story},
    support::promtool::program,
};
use serde_json::{Value, json};

/// Where what was recorded is kept for the pictures; `cargo xtask test` makes it.
const RECORD: &str = "HALFOPEN_RECORD";

/// The files of dashboards/.
fn committed(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../dashboards")
        .join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let files = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder:?} has no .{extension}");
    files
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// What is rightly empty, and why.
const EMPTY: [(&str, &str); 1] = [(
    "annotation \"Agent restarts\"",
    "the agent is not restarted",
)];

/// The one alert that the story is to make fire: a dozen of the mailer's and two score of the shop's
/// connections die of one silent database.
const FIRES: &str = "HalfopenDeadPeersBurst";

/// A query of a dashboard: where it stands, and what it asks.
struct Asked {
    place: String,
    expression: String,
}

/// All queries of a dashboard, those of annotations included.
fn asked(dashboard: &Value) -> Vec<Asked> {
    let mut all = Vec::new();
    let title = dashboard["title"].as_str().unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    // A folded row holds its panels itself.
    let folded = panels.clone().filter_map(|row| row["panels"].as_array());
    for panel in panels.chain(folded.flatten()) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push(Asked {
                place: format!("{title} / {}", panel["title"].as_str().unwrap()),
                expression: target["expr"].as_str().unwrap().to_owned(),
            });
        }
    }
    let annotations = dashboard["annotations"]["list"].as_array();
    for annotation in annotations.into_iter().flatten() {
        // Grafana's own has no expression.
        if let Some(expression) = annotation["expr"].as_str() {
            all.push(Asked {
                place: format!("{title} / annotation {}", annotation["name"]),
                expression: expression.to_owned(),
            });
        }
    }
    all
}

/// What Grafana puts in for variables: everything is chosen, in a window of the story's length.
fn filled(expression: &str) -> String {
    let mut filled = expression.to_owned();
    for (variable, value) in [
        ("__rate_interval", "20s"),
        ("__interval", "2s"),
        ("__range", "100s"),
        ("job", ".+"),
        ("instance", ".+"),
        ("owner", ".*"),
    ] {
        filled = filled.replace(&format!("${{{variable}}}"), value);
        filled = filled.replace(&format!("${variable}"), value);
    }
    assert!(!filled.contains('$'), "a variable is left in {filled}");
    filled
}

fn configuration(agent: &AgentProcess) -> String {
    let rules: Vec<_> = committed("rules", "yml")
        .into_iter()
        .map(|path| path.canonicalize().unwrap())
        .collect();
    json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
        "rule_files": rules,
        "scrape_configs": [{
            "job_name": "halfopen",
            "static_configs": [{ "targets": [agent.address.to_string()], "labels": { "instance": "app-1" } }],
        }],
    })
    .to_string()
}

/// The alerts that fire, by name.
fn firing(prometheus: &Prometheus) -> BTreeSet<String> {
    let series = prometheus.query("ALERTS{alertstate=\"firing\"}").unwrap();
    let name = |alert: &Value| alert["metric"]["alertname"].as_str().unwrap().to_owned();
    series.iter().map(name).collect()
}

/// The sum of all series of this name and these labels.
fn sum(prometheus: &Prometheus, series: &str) -> u64 {
    let sum = prometheus.query(&format!("sum({series})")).unwrap();
    let value = sum.first().and_then(|one| one["value"][1].as_str());
    value.map_or(0, |value| value.parse().unwrap())
}

/// Queries of the dashboards that had no data between two moments, where they should have had some.
fn without_data(prometheus: &Prometheus, from: u64, to: u64) -> Vec<String> {
    let mut empty = Vec::new();
    for path in committed("", "json") {
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for Asked { place, expression } in asked(&dashboard) {
            let expression = filled(&expression);
            let series = prometheus.range(&expression, from, to);
            let series = series.unwrap_or_else(|error| panic!("{place}: {expression}: {error}"));
            let may_be_empty = EMPTY.iter().any(|(end, _)| place.ends_with(end));
            if series.is_empty() && !may_be_empty {
                empty.push(format!("{place}: {expression}"));
            }
        }
    }
    empty
}

/// Where the record is kept: beyond the test where it was asked for.
fn folder() -> (PathBuf, Option<tempfile::TempDir>) {
    if let Some(folder) = env::var_os(RECORD).map(PathBuf::from) {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        return (folder, None);
    }
    let folder = tempfile::tempdir().unwrap();
    (folder.path().to_owned(), Some(folder))
}

#[test]
#[ignore = "needs root"]
fn dashboards_and_alerts_tell_the_story_of_a_host() {
    let Some(program) = program("prometheus") else {
        return;
    };
    let Some(mount_point) = cgroup::mount_point() else {
        return;
    };
    let agent = AgentProcess::start(&story::FLAGS);
    let (folder, _kept) = folder();
    let prometheus = Prometheus::start(&program, &configuration(&agent), &folder);
    let wait = |what: &str, is_so: &dyn Fn() -> bool| {
        let deadline = Instant::now() + LIMIT;
        while !is_so() {
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            thread::sleep(Duration::from_millis(200));
        }
    };
    wait("the agent is up", &|| {
        !prometheus.query("up == 1").unwrap().is_empty()
    });
    let from = seconds();
    assert_eq!(
        firing(&prometheus),
        BTreeSet::new(),
        "before anything happened"
    );
    let mut fired = BTreeSet::new();
    thread::scope(|scope| {
        let story = scope.spawn(|| story::play(&mount_point));
        while !story.is_finished() {
            fired.extend(firing(&prometheus));
            thread::sleep(Duration::from_secs(1));
        }
    });
    let to = seconds();
    assert_eq!(fired, BTreeSet::from([FIRES.to_owned()]));
    for (owner, cause, truth) in [
        ("checkout.service", "keepalive", story::CHECKOUT),
        ("mailer.service", "retransmission", story::MAILER),
    ] {
        let labels = format!("{{owner=\"{owner}\", cause=\"{cause}\"}}");
        let died = sum(&prometheus, &format!("halfopen_deaths_total{labels}"));
        let missed = sum(
            &prometheus,
            "halfopen_unaccounted_events_total{counter=\"TCPAbortOnTimeout\"}",
        );
        assert!(
            died <= truth && died + missed >= truth,
            "{labels}: {died} of {truth}"
        );
    }
    let empty = without_data(&prometheus, from, to);
    assert!(empty.is_empty(), "without data:\n{}", empty.join("\n"));
    prometheus.end();
    let story = json!({ "from": from, "to": to, "job": "halfopen", "instance": "app-1" });
    fs::write(folder.join("story.json"), story.to_string()).unwrap();
}
