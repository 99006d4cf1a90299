//! docs/metrics.md is what the declarations of metrics make; BLESS=1 regenerates it.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use halfopen_core::metrics::{Declared, Kind, LABELS, Section, Values, declared};

/// What must be known of all of them.
const INTRO: &str = r#"# Metrics

<!-- Generated from the metric declarations: `BLESS=1 cargo test -p halfopen the_page_is_current`. -->

`GET /metrics` returns Prometheus' text format 0.0.4, or OpenMetrics 1.0.0 if `Accept` prefers it, with gzip
if `Accept-Encoding` allows it. Series names are the same in both. In OpenMetrics a counter's family has no
`_total`, and bucket bounds have a decimal point (`le="1.0"` instead of `le="1"`); Prometheus 3 treats both
bounds as equal.

To select sections: `/metrics?collect[]=deaths&collect[]=walk`. To leave sections out:
`/metrics?exclude[]=process`. Not both at once.

Scrapes finish within Prometheus' timeout. At most 40 scrapes run at the same time (`--web.max-requests`).

## Before you write a query

- **Groups.** Metrics with `owner`, `direction` and `port` are counted by *group*: owner of the connections,
  who opened them, port of the service. `--group-by` selects among these labels.
- **`other`.** A limited number of groups is shown by name (`--max-groups`, `--max-series`): the largest, and
  those with the most problems. The others are summed as owner `other`. Sums over owners stay exact.
  [More](owners.md).
- **Absent means unknown.** Values that the agent cannot see on this kernel are left out, never shown as 0.
  `halfopen doctor` says why; `halfopen_hook_attached == 0` finds the hooks.
- **New series do not start at 0**, so `rate()` and `increase()` miss their first increment: the first death of
  a group creates its series with the value 1. A group that loses its name moves its counts to `other`,
  where they look like an increase. To avoid both, sum over owners first, then take the rate: in a
  recording rule, or in a subquery:

      increase(sum by (instance) (halfopen_deaths_total)[5m:15s])

  For brevity, the queries below take the sum of rates.
- **Counters restart at 0 with the agent**, unless `--pin` keeps them in the kernel.
"#;

fn page() -> String {
    let mut page = INTRO.to_owned();
    let metrics = declared();
    page += "\n## Sections\n\n| section | metrics | about |\n|---|---|---|\n";
    for section in Section::ALL {
        let count = of(&metrics, section).count();
        let (name, about) = (section.as_str(), section.about());
        let first = about.split_once(": ").map_or(about, |(first, _)| first);
        let first = first.split_once(". ").map_or(first, |(first, _)| first);
        let first = first.trim_end_matches('.');
        writeln!(page, "| [`{name}`](#{name}) | {count} | {first} |").unwrap();
    }
    for section in Section::ALL {
        write!(page, "\n## {}\n\n{}\n", section.as_str(), section.about()).unwrap();
        for metric in of(&metrics, section) {
            describe(&mut page, metric);
        }
    }
    page += "\n## Labels\n\n| label | meaning | values |\n|---|---|---|\n";
    for label in LABELS {
        let values = match &label.values {
            Values::OneOf(values) => {
                let values = values().into_iter().map(|value| format!("`{value}`"));
                values.collect::<Vec<_>>().join(", ")
            }
            Values::Such(words, _) => (*words).to_owned(),
        };
        writeln!(page, "| `{}` | {} | {values} |", label.name, label.meaning).unwrap();
    }
    page
}

fn of(metrics: &[Declared], section: Section) -> impl Iterator<Item = &Declared> {
    metrics
        .iter()
        .filter(move |metric| metric.section == section)
}

fn describe(page: &mut String, metric: &Declared) {
    let (name, kind, unit) = (metric.name, metric.kind.as_str(), metric.unit);
    let labels = metric.labels.iter().map(|label| format!("`{label}`"));
    let labels = labels.collect::<Vec<_>>().join(", ");
    let by = if labels.is_empty() {
        String::new()
    } else {
        format!(" · by {labels}")
    };
    let (help, question, query) = (metric.help, metric.question, metric.query());
    write!(
        page,
        "\n### `{name}`\n\n{kind} · {unit}{by}\n\n{help}\n\n{question}\n\n```promql\n{query}\n```\n",
    )
    .unwrap();
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let truth = page();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &truth).unwrap();
    }
    let page = fs::read_to_string(path).unwrap();
    assert_eq!(
        page, truth,
        "docs/metrics.md is old; BLESS=1 writes it anew"
    );
}

/// Words that are names of metrics, with what stands around each.
fn names(text: &str) -> Vec<(&str, &str, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(start) = text[from..].find(is_word).map(|at| from + at) {
        let end = text[start..]
            .find(|c| !is_word(c))
            .map_or(text.len(), |at| start + at);
        let word = &text[start..end];
        if word.starts_with("halfopen_") || word.starts_with("process_") {
            found.push((&text[..start], word, &text[end..]));
        }
        from = end;
    }
    found
}

/// Whether a selector behind its labels has a range.
fn has_range(behind: &str) -> bool {
    let behind = match behind.strip_prefix('{') {
        Some(labels) => labels.split_once('}').map_or("", |(_, behind)| behind),
        None => behind,
    };
    behind.starts_with("[5m]")
}

#[test]
fn queries_ask_for_what_there_is_as_its_type_wants_it() {
    let metrics = declared();
    let mut questions = BTreeSet::new();
    for metric in &metrics {
        let query = metric.query();
        assert!(metric.question.ends_with('?'), "{}", metric.name);
        assert!(
            questions.insert((metric.question, metric.section)),
            "{}",
            metric.question
        );
        let named = names(&query);
        let own = metric.series();
        assert!(
            named
                .iter()
                .any(|(_, name, _)| own.iter().any(|own| own == name)),
            "{query}"
        );
        for (before, name, behind) in named {
            let asked = metrics
                .iter()
                .find(|asked| asked.series().iter().any(|series| series == name));
            let asked = asked.unwrap_or_else(|| panic!("{name} in {query} is not declared"));
            let is_rate = ["rate(", "increase("]
                .iter()
                .any(|function| before.ends_with(function));
            match asked.kind {
                Kind::Counter | Kind::Histogram(_) => {
                    assert!(is_rate && has_range(behind), "{query}");
                }
                Kind::Gauge => assert!(!is_rate, "{query}"),
            }
            // Labels that it is asked by are its own, or those that Prometheus adds.
            let selected = behind
                .strip_prefix('{')
                .and_then(|rest| rest.split_once('}'));
            let labels = selected.map_or("", |(labels, _)| labels);
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let label = label.split(['=', '!']).next().unwrap();
                let known = asked.labels.contains(&label) || label == "job";
                assert!(known, "{name} has no {label}: {query}");
            }
        }
        for by in query.split("by (").skip(1) {
            for label in by.split_once(')').unwrap().0.split(", ") {
                let known = metric.labels.contains(&label)
                    || label == "instance"
                    || label == "le" && matches!(metric.kind, Kind::Histogram(_));
                assert!(known, "{} has no {label}: {query}", metric.name);
            }
        }
    }
}

#[test]
fn every_metric_that_texts_of_the_declarations_name_is_declared() {
    let metrics = declared();
    let series: BTreeSet<_> = metrics.iter().flat_map(Declared::series).collect();
    let helps = metrics.iter().map(|metric| metric.help);
    let abouts = Section::ALL.iter().map(|section| section.about());
    for text in helps.chain(abouts).chain([INTRO]) {
        for (_, name, _) in names(text) {
            assert!(series.contains(name), "{name} in {text}");
        }
    }
}
