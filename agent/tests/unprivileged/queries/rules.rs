//! dashboards/rules/*.yml and docs/runbooks.md, checked against the declared metrics, each other, and the
//! commands there are. `cargo xtask test` has promtool evaluate the rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::promql::{Vocabulary, query};
use clap::Parser;
use halfopen::cli::Cli;
use halfopen_core::metrics;
use serde::Deserialize;

const RUNBOOKS: &str = "https://github.com/halfopen/halfopen/blob/main/docs/runbooks.md#";

#[derive(Deserialize)]
struct File {
    groups: Vec<RuleGroup>,
}

#[derive(Deserialize)]
struct RuleGroup {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn rules(text: &str) -> Vec<Rule> {
    let file: File = serde_saphyr::from_str(text).unwrap();
    file.groups
        .into_iter()
        .flat_map(|group| group.rules)
        .collect()
}

fn alerts() -> Vec<Rule> {
    rules(&read("dashboards/rules/alerts.yml"))
}

/// What is wrong with rules, a line each; what they record becomes known as they do.
fn lint(rules: &[Rule], vocabulary: &mut Vocabulary) -> Vec<String> {
    let mut problems = Vec::new();
    for rule in rules {
        let name = rule.record.as_ref().or(rule.alert.as_ref());
        let name = name.map_or("a rule without a name", String::as_str);
        let query = query(&rule.expr, vocabulary);
        problems.extend(
            query
                .problems
                .iter()
                .map(|problem| format!("{name}: {problem}")),
        );
        let labels = query.labels.unwrap_or_default();
        if rule.record.is_some() {
            // level:metric:operations, where the level names the labels, but for the job's.
            let parts: Vec<_> = name.split(':').collect();
            let level: BTreeSet<_> = parts[0].split('_').chain(["job"]).collect();
            if parts.len() != 3 || level != labels.iter().map(String::as_str).collect() {
                problems.push(format!("{name} has the labels {labels:?}"));
            }
            vocabulary.record(name, labels);
            continue;
        }
        let severity = rule.labels.get("severity").map(String::as_str);
        if !["critical", "warning", "info"]
            .map(Some)
            .contains(&severity)
        {
            problems.push(format!("{name}: severity {severity:?}"));
        }
        for key in ["summary", "description"] {
            let text = rule.annotations.get(key).map_or("", String::as_str);
            if text.is_empty() {
                problems.push(format!("{name}: no {key}"));
            }
            for label in text.split("$labels.").skip(1) {
                let end = label.find(|c: char| !c.is_alphanumeric() && c != '_');
                let label = &label[..end.unwrap_or(label.len())];
                if !labels.contains(label) {
                    problems.push(format!("{name}: {key} names {label}, of {labels:?}"));
                }
            }
        }
        let section = format!("{RUNBOOKS}{}", name.to_lowercase());
        if rule.annotations.get("runbook_url") != Some(&section) {
            problems.push(format!("{name}: its runbook is not {section}"));
        }
    }
    problems
}

/// The declared metrics, and what the rules record.
fn vocabulary() -> Vocabulary {
    let mut vocabulary = Vocabulary::declared();
    let recorded = rules(&read("dashboards/rules/recording.yml"));
    let problems = lint(&recorded, &mut vocabulary);
    assert!(problems.is_empty(), "{problems:#?}");
    vocabulary
}

#[test]
fn every_rule_asks_for_what_there_is() {
    let alerts = alerts();
    assert!(alerts.len() >= 8, "{}", alerts.len());
    let problems = lint(&alerts, &mut vocabulary());
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn each_fault_is_noticed() {
    let sound = r#"
groups:
  - name: g
    rules:
      - record: instance_cause:halfopen_deaths:rate5m
        expr: sum by (job, instance, cause) (rate(halfopen_deaths_total[5m]))
      - alert: Dying
        expr: instance_cause:halfopen_deaths:rate5m > 1
        labels: {severity: warning}
        annotations:
          summary: "{{ $labels.instance }} dies of {{ $labels.cause }}"
          description: "{{ $value }}"
          runbook_url: https://github.com/halfopen/halfopen/blob/main/docs/runbooks.md#dying
"#;
    let lint = |text: &str| lint(&rules(text), &mut Vocabulary::declared());
    assert_eq!(lint(sound), Vec::<String>::new());
    for (right, wrong, expected) in [
        (
            "halfopen_deaths_total[",
            "halfopen_death_total[",
            "no halfopen_death_total",
        ),
        (
            "record: instance_cause:",
            "record: instance_owner:",
            "has the labels",
        ),
        (
            "record: instance_cause:halfopen_deaths:",
            "record: ",
            "has the labels",
        ),
        (
            "rate5m > 1",
            "rate1m > 1",
            "no instance_cause:halfopen_deaths:rate1m",
        ),
        (
            "(job, instance, cause)",
            "(job, instance, reason)",
            "`by` asks for reason",
        ),
        ("severity: warning", "severity: page", "severity"),
        ("severity: warning", "urgency: warning", "severity None"),
        ("$labels.cause", "$labels.owner", "summary names owner"),
        ("description:", "text:", "no description"),
        ("#dying", "#death", "its runbook"),
        ("[5m]))", "[5m])", "not PromQL"),
        (
            "halfopen_deaths_total[",
            "halfopen_deaths_total{cause=\"timeout\"}[",
            "cause is never timeout",
        ),
    ] {
        assert!(sound.contains(right), "{right}");
        let problems = lint(&sound.replacen(right, wrong, 1));
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{wrong}: {problems:#?}"
        );
    }
}

/// Alerts with a section, in their order.
fn sections(page: &str) -> Vec<&str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect()
}

#[test]
fn every_alert_has_a_runbook_and_a_test_and_no_other_has() {
    let page = read("docs/runbooks.md");
    let alerts = alerts();
    let names: Vec<_> = alerts
        .iter()
        .map(|alert| alert.alert.as_deref().unwrap())
        .collect();
    assert_eq!(sections(&page), names);
    for section in page.split("\n## ").skip(1) {
        for part in [
            "**Meaning.**",
            "**Impact.**",
            "**Look.**",
            "**Do.**",
            "**Silence**",
        ] {
            assert!(section.contains(part), "{part} is missing: {section}");
        }
    }
    let mut tests = String::new();
    for entry in fs::read_dir(root().join("dashboards/rules/tests")).unwrap() {
        tests += &fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    for name in names {
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name}");
    }
}

/// What stands in the fenced blocks of a language, a line each.
fn fenced<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.split_once('\n'));
    blocks
        .filter(|(fence, _)| *fence == language)
        .flat_map(|(_, block)| block.lines())
        .collect()
}

#[test]
fn queries_of_the_runbooks_ask_for_what_there_is() {
    let page = read("docs/runbooks.md");
    let vocabulary = vocabulary();
    let queries = fenced(&page, "promql");
    assert!(queries.len() > 20, "{queries:?}");
    for text in queries {
        let query = query(text, &vocabulary);
        assert!(query.problems.is_empty(), "{text}: {:#?}", query.problems);
        assert!(!query.uses.is_empty(), "{text}");
    }
    let words = page.split(|c: char| !c.is_alphanumeric() && c != '_');
    for word in words.filter(|word| word.starts_with("halfopen_")) {
        assert!(vocabulary.get(word).is_some(), "there is no {word}");
    }
}

/// The words of a command as a shell takes them; quotes are all that runbooks need of it.
/// Names in a text that look like those of our metrics.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
    words.filter(|word| word.starts_with("halfopen_"))
}

/// Every document of the repository.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            documents(&path, found);
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
}

#[test]
fn every_metric_that_a_document_names_is_declared() {
    let (declared, vocabulary) = (metrics::declared(), vocabulary());
    // The name of a histogram is that of no series.
    let is_known = |name: &str| {
        let mut declared = declared.iter();
        declared.any(|metric| metric.name == name) || vocabulary.get(name).is_some()
    };
    let unknown = |text: &str| -> Vec<String> {
        let unknown = named(text).filter(|name| !is_known(name));
        unknown.map(str::to_owned).collect()
    };
    let mut all = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    documents(&root().join("docs"), &mut all);
    let mut met = 0;
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        met += named(&text).count();
        assert_eq!(unknown(&text), [""; 0], "{}", path.display());
    }
    assert!(met > 100, "{met} names: they are no longer found");
    assert_eq!(
        unknown("a `halfopen_deathz_total` died"),
        ["halfopen_deathz_total"]
    );
}

fn words(command: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// Commands of halfopen in a text: whole lines of blocks, and what stands between backticks.
pub fn commands(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let inline = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
    let all = fenced(text, "sh").into_iter().chain(inline);
    all.filter(|command| command.starts_with("halfopen "))
        .collect()
}

/// Filters are understood with the rest of the command line.
pub fn check(command: &str) -> Result<(), String> {
    let cli = Cli::try_parse_from(words(command));
    cli.map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn commands_of_runbooks_and_dashboards_are_understood() {
    let page = read("docs/runbooks.md");
    let found = commands(&page);
    assert!(found.len() > 15, "{found:?}");
    let mut all: Vec<_> = found.into_iter().map(str::to_owned).collect();
    for name in ["overview", "incident", "capacity", "agent-health"] {
        let text = read(&format!("dashboards/{name}.json"));
        all.extend(
            commands(&text.replace("\\\"", "\""))
                .into_iter()
                .map(str::to_owned),
        );
    }
    for alert in alerts() {
        let texts = alert.annotations.values();
        all.extend(texts.flat_map(|text| commands(text)).map(str::to_owned));
    }
    for command in &all {
        check(command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
    for wrong in [
        "halfopen lost",
        "halfopen list --deaths",
        "halfopen list idle over 5m",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
