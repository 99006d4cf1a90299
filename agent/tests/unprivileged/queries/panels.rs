//! Rules for dashboards: a list of what is wrong with one.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use super::promql::{Query, Vocabulary, query};

/// Panels that people know how to read, and that are drawn in the tests.
const TYPES: [&str; 5] = ["timeseries", "stat", "bargauge", "table", "row"];

// Times that no query spells, so that it can be told which variable stood there.
const RATE_INTERVAL: Duration = Duration::from_secs(61);
const INTERVAL: Duration = Duration::from_secs(13);
const RANGE: Duration = Duration::from_secs(7207);

/// Functions under which alone a counter means something.
const OF_COUNTERS: [&str; 4] = ["rate", "increase", "irate", "resets"];

/// What is wrong with a dashboard, a line each; `uids` are those of all dashboards.
pub fn lint(dashboard: &Value, uids: &[&str], vocabulary: &Vocabulary) -> Vec<String> {
    let mut lint = Lint {
        vocabulary,
        by_owner: variables(dashboard).any(|variable| variable["name"] == "owner"),
        problems: Vec::new(),
    };
    lint.head(dashboard, uids);
    lint.variables(dashboard);
    lint.annotations(dashboard);
    let panels = array(&dashboard["panels"]);
    for panel in panels {
        lint.panel(panel, uids);
    }
    lint.places(panels);
    lint.problems
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn variables(dashboard: &Value) -> impl Iterator<Item = &Value> {
    array(&dashboard["templating"]["list"]).iter()
}

/// Every query of a dashboard, the variables of Grafana filled with times of their own.
pub fn filled(expression: &str) -> String {
    let spelt = |time: Duration| format!("{}s", time.as_secs());
    expression
        .replace("$__rate_interval", &spelt(RATE_INTERVAL))
        .replace("$__interval", &spelt(INTERVAL))
        .replace("$__range", &spelt(RANGE))
}

struct Lint<'a> {
    vocabulary: &'a Vocabulary,
    by_owner: bool,
    problems: Vec<String>,
}

impl Lint<'_> {
    fn demand(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    fn head(&mut self, dashboard: &Value, uids: &[&str]) {
        let uid = text(&dashboard["uid"]);
        self.demand(uid.starts_with("halfopen-"), || format!("uid {uid:?}"));
        let tags = array(&dashboard["tags"]);
        self.demand(tags == [Value::from("halfopen")], || format!("{tags:?}"));
        for key in ["title", "description"] {
            let empty = text(&dashboard[key]).is_empty();
            self.demand(!empty, || format!("the dashboard has no {key}"));
        }
        for key in ["__inputs", "__requires", "id"] {
            let absent = dashboard.get(key).is_none();
            self.demand(absent, || format!("{key} does not belong into a file"));
        }
        let mut linked = BTreeSet::from([uid]);
        for link in array(&dashboard["links"]) {
            let kept = link["keepTime"] == true && link["includeVars"] == true;
            self.demand(kept, || {
                format!("{}: time or variables lost", link["title"])
            });
            linked.extend(text(&link["url"]).strip_prefix("/d/"));
        }
        let wanted: BTreeSet<_> = uids.iter().copied().collect();
        self.demand(linked == wanted, || format!("links lead to {linked:?}"));
        let panels = array(&dashboard["panels"]).iter();
        let shown = panels.filter(|panel| panel["type"] != "row").count();
        self.demand((8..=15).contains(&shown), || format!("{shown} panels"));
    }

    fn variables(&mut self, dashboard: &Value) {
        let names: Vec<_> = variables(dashboard)
            .map(|variable| text(&variable["name"]).to_owned())
            .collect();
        let wanted = ["datasource", "job", "instance"];
        self.demand(names.starts_with(&wanted.map(str::to_owned)), || {
            format!("variables {names:?}")
        });
        for variable in variables(dashboard) {
            let name = text(&variable["name"]);
            if name == "datasource" {
                let right = variable["type"] == "datasource"
                    && variable["query"] == "prometheus"
                    && variable["label"] == "Data source";
                self.demand(right, || "variable datasource".into());
                continue;
            }
            self.datasource(variable, &format!("variable {name}"));
            let all = variable["multi"] == true && variable["includeAll"] == true;
            self.demand(all, || format!("variable {name} is not for many"));
            // What has no owner has an empty one.
            let right = if name == "owner" { ".*" } else { ".+" };
            self.demand(variable["allValue"] == right, || {
                format!("variable {name}: all is {}", variable["allValue"])
            });
            let definition = text(&variable["query"]["query"]);
            let inner = definition.strip_prefix("label_values(");
            let inner = inner.and_then(|inner| inner.strip_suffix(')')?.rsplit_once(", "));
            let (asked, label) = inner.unwrap_or_default();
            self.demand(label == name, || format!("variable {name}: {definition}"));
            // Of any of several metrics: each is held against the names.
            let (pattern, rest) = asked
                .strip_prefix("{__name__=~\"")
                .and_then(|rest| rest.split_once("\", "))
                .unwrap_or((asked, ""));
            for metric in pattern.split('|') {
                let one = match rest {
                    "" => metric.to_owned(),
                    rest => format!("{metric}{{{rest}"),
                };
                let query = query(&one, self.vocabulary);
                let has = query.labels.is_some_and(|labels| labels.contains(name));
                let sound = query.problems.is_empty() && has;
                self.demand(sound, || format!("variable {name}: {one}"));
            }
        }
    }

    fn annotations(&mut self, dashboard: &Value) {
        let list = array(&dashboard["annotations"]["list"]).iter();
        let own: Vec<_> = list.filter(|one| one["builtIn"] != 1).collect();
        let enough = own.len() >= 2;
        self.demand(enough, || "bursts or restarts are not annotated".into());
        for annotation in own {
            let place = format!("annotation {}", annotation["name"]);
            self.datasource(annotation, &place);
            self.query(text(&annotation["expr"]), &place, true);
        }
    }

    fn datasource(&mut self, of: &Value, place: &str) {
        let datasource = &of["datasource"];
        let right = datasource["type"] == "prometheus" && datasource["uid"] == "${datasource}";
        self.demand(right, || format!("{place}: datasource {datasource}"));
    }

    fn panel(&mut self, panel: &Value, uids: &[&str]) {
        let (title, kind) = (text(&panel["title"]), text(&panel["type"]));
        self.demand(!title.is_empty(), || {
            format!("panel {} has no title", panel["id"])
        });
        self.demand(TYPES.contains(&kind), || format!("{title}: type {kind}"));
        if kind == "row" {
            return;
        }
        let described = text(&panel["description"]).len() > 40;
        self.demand(described, || format!("{title}: no description"));
        let defaults = &panel["fieldConfig"]["defaults"];
        for key in ["unit", "noValue"] {
            let there = !text(&defaults[key]).is_empty();
            self.demand(there, || format!("{title}: no {key}"));
        }
        // Unknown must not read as none at all.
        let nothing = text(&defaults["noValue"]);
        self.demand(nothing != "0" && nothing != "-", || {
            format!("{title}: nothing reads as {nothing}")
        });
        let steps = array(&defaults["thresholds"]["steps"]);
        let rising = steps.windows(2).all(|pair| {
            let value = |step: &Value| step["value"].as_f64().unwrap_or(f64::NEG_INFINITY);
            value(&pair[0]) < value(&pair[1])
        });
        let right = !steps.is_empty() && steps[0]["value"].is_null() && rising;
        self.demand(right, || format!("{title}: thresholds"));
        self.datasource(panel, title);
        let targets = array(&panel["targets"]);
        self.demand(!targets.is_empty(), || format!("{title}: no query"));
        for target in targets {
            self.datasource(target, title);
            let at_once = kind != "timeseries";
            let asks = if at_once { "instant" } else { "range" };
            self.demand(target[asks] == true, || format!("{title}: not {asks}"));
            let query = self.query(text(&target["expr"]), title, at_once);
            let labels = query.labels.unwrap_or_default();
            let legend = text(&target["legendFormat"]);
            for label in legend.split("{{").skip(1) {
                let label = label.split("}}").next().unwrap_or_default().trim();
                self.demand(labels.contains(label), || {
                    format!("{title}: the legend names {label}, of {labels:?}")
                });
            }
            self.columns(panel, title, &labels);
        }
        for uid in links(panel) {
            let leads = uids.contains(&uid);
            self.demand(leads, || format!("{title}: a link leads to {uid}"));
        }
    }

    /// Columns of a table are labels of its query.
    fn columns(&mut self, panel: &Value, title: &str, labels: &BTreeSet<String>) {
        for transformation in array(&panel["transformations"]) {
            let order = &transformation["options"]["indexByName"];
            for column in order.as_object().into_iter().flat_map(|map| map.keys()) {
                let there = column == "Value" || labels.contains(column);
                self.demand(there, || format!("{title}: there is no column {column}"));
            }
        }
    }

    fn query(&mut self, expression: &str, place: &str, at_once: bool) -> Query {
        let query = query(&filled(expression), self.vocabulary);
        for problem in &query.problems {
            self.problems.push(format!("{place}: {problem}"));
        }
        let nothing = query.uses.is_empty() && query.problems.is_empty();
        self.demand(!nothing, || format!("{place}: asks for nothing"));
        for usage in &query.uses {
            let name = &usage.name;
            let Some(known) = self.vocabulary.get(name) else {
                continue;
            };
            for label in ["job", "instance", "owner"] {
                // Some metrics have none, and some dashboards are of whole hosts.
                if label == "owner" && !(self.by_owner && known.labels.contains(label)) {
                    continue;
                }
                let wanted = (label.to_owned(), "=~".to_owned(), format!("${label}"));
                self.demand(usage.matchers.contains(&wanted), || {
                    format!("{place}: {name} is not matched by ${label}")
                });
            }
            let over = usage.over.iter();
            let rated = over
                .clone()
                .any(|(function, _)| OF_COUNTERS.contains(&&**function));
            if !usage.gate {
                self.demand(rated || !known.counter, || {
                    format!("{place}: {name} is a counter, and no rate is taken")
                });
                self.demand(!rated || known.counter, || {
                    format!("{place}: {name} is no counter, and a rate is taken")
                });
            }
            for (function, range) in over {
                let right = *range == RATE_INTERVAL || at_once && *range == RANGE;
                self.demand(right, || {
                    format!(
                        "{place}: {function} of {name} over a time that is not $__rate_interval"
                    )
                });
            }
        }
        query
    }

    /// No two panels have one id or one place, and none stands beside the grid.
    fn places(&mut self, panels: &[Value]) {
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels {
            let title = text(&panel["title"]);
            let new = ids.insert(panel["id"].as_u64());
            self.demand(new, || format!("{title}: its id is taken"));
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap_or(u64::MAX);
            let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
            let inside = x < 24 && w > 0 && w <= 24 - x && h > 0 && h < 100 && y < 1000;
            self.demand(inside, || format!("{title}: beside the grid"));
            if inside {
                let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
                let mut free = true;
                cells.for_each(|cell| free &= taken.insert(cell));
                self.demand(free, || format!("{title}: lies over another"));
            }
        }
    }
}

/// Dashboards to which links inside a panel lead.
fn links(panel: &Value) -> Vec<&str> {
    let overrides = array(&panel["fieldConfig"]["overrides"]).iter();
    let properties = overrides.flat_map(|one| array(&one["properties"]));
    let inner = properties
        .filter(|property| property["id"] == "links")
        .flat_map(|property| array(&property["value"]));
    let all = array(&panel["links"]).iter().chain(inner);
    all.map(|link| {
        let url = text(&link["url"]);
        let path = url.strip_prefix("/d/").unwrap_or(url);
        path.split('?').next().unwrap_or_default()
    })
    .collect()
}
