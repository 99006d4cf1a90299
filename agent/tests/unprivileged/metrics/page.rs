//! docs/metrics.md is what the declarations of metrics make; BLESS=1 regenerates it.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use halfopen::metrics::{Declared, Kind, LABELS, Section, Values, declared};

/// What must be known of all of them.
const INTRO: &str = r#"# Metrics

<!-- Written from the declarations in agent/src/metrics by `BLESS=1 cargo test -p halfopen --test metrics_page`. -->

`GET /metrics` answers in Prometheus' text format 0.0.4, or in OpenMetrics 1.0.0 where `Accept` prefers
it, with gzip where `Accept-Encoding` does. In OpenMetrics the family of a counter is named without its
`_total`, as the format wants it; series have the names below in both. It writes the bounds of buckets
with a point (`le="1.0"`), text format 0.0.4 without (`le="1"`); Prometheus 3 takes them for the same.

Some sections can be asked for alone, `/metrics?collect[]=deaths&collect[]=walk`, or left out,
`/metrics?exclude[]=process`; not both at once.

## Before you write a query

- **Owners.** Metrics with `owner`, `direction` and `port` are told by *group*: whose connections, who
  opened them, at which port the service is. `--group-by` chooses among these labels.
- **`other`.** Only so many groups are shown by name (`--max-groups`, `--max-series`): the biggest and the
  worst. All others are summed as owner `other`. Sums over owners are exact whatever is folded.
- **Absent is unknown.** What this kernel does not let the agent see is left out, never shown as 0;
  `halfopen doctor` says why, and `halfopen_hook_attached == 0` where.
- **A counter begins with its group, and not at 0.** The first death of a group makes its series appear
  with the value 1, and `rate()` and `increase()` know nothing of what came before the first sample: they
  miss it. A group that loses its name moves its counts to `other`, where they look like an increase. Both
  are gone if the sum over owners is taken first, and its rate then: by a recording rule, or at once by a
  subquery,

      increase(sum by (instance) (halfopen_deaths_total)[5m:15s])

  The queries below are shorter: they take the sum of rates.
- **Counters begin anew with the agent**, unless `--pin` keeps them in the kernel.
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
            Values::Such(words) => (*words).to_owned(),
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
                Kind::Counter | Kind::Histogram => assert!(is_rate && has_range(behind), "{query}"),
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
                    || label == "le" && metric.kind == Kind::Histogram;
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
