//! dashboards/*.json, checked against the declared metrics and the rules for dashboards; a table of faults
//! shows that each check can fail.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{panels::lint, promql::Vocabulary};

const UIDS: [&str; 4] = [
    "halfopen-overview",
    "halfopen-incident",
    "halfopen-capacity",
    "halfopen-agent-health",
];

fn dashboards() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = fs::read_to_string(&path).unwrap();
            let read = serde_json::from_str(&text).unwrap();
            found.push((path.file_name().unwrap().to_str().unwrap().to_owned(), read));
        }
    }
    found
}

#[test]
fn every_dashboard_holds_to_the_rules() {
    let all = dashboards();
    let mut uids: Vec<_> = all.iter().map(|(_, read)| read["uid"].clone()).collect();
    let mut wanted = UIDS.map(Value::from).to_vec();
    uids.sort_by_key(ToString::to_string);
    wanted.sort_by_key(ToString::to_string);
    assert_eq!(uids, wanted);
    let vocabulary = Vocabulary::declared();
    for (name, dashboard) in all {
        let problems = lint(&dashboard, &UIDS, &vocabulary);
        assert!(problems.is_empty(), "{name}: {problems:#?}");
    }
}

/// A dashboard without fault.
fn sound() -> Value {
    let datasource = json!({"type": "prometheus", "uid": "${datasource}"});
    let variable = |name: &str, query: &str, all: &str| {
        json!({"name": name, "type": "query", "datasource": datasource, "multi": true,
            "includeAll": true, "allValue": all, "query": {"query": query}})
    };
    let panel = |id: u64| {
        let (x, y) = (id % 2 * 12, id / 2 * 8);
        json!({"id": id, "type": "timeseries", "title": format!("Panel {id}"),
            "description": "What it shows, and what to do about it when it is not as it should be.",
            "gridPos": {"x": x, "y": y, "w": 12, "h": 8}, "datasource": datasource,
            "targets": [{"refId": "A", "datasource": datasource, "range": true,
                "legendFormat": "{{cause}}",
                "expr": r#"sum by (cause) (rate(halfopen_deaths_total{job=~"$job", instance=~"$instance", owner=~"$owner"}[$__rate_interval]))"#}],
            "fieldConfig": {"defaults": {"unit": "short", "noValue": "unknown",
                "thresholds": {"steps": [{"color": "green", "value": null}, {"color": "red", "value": 1}]}}}})
    };
    let annotation = || {
        json!({"name": "one", "datasource": datasource,
            "expr": r#"changes(process_start_time_seconds{job=~"$job", instance=~"$instance"}[$__rate_interval]) > 0"#})
    };
    let link = |uid: &str| json!({"title": uid, "url": format!("/d/{uid}"), "keepTime": true, "includeVars": true});
    json!({
        "uid": UIDS[0], "title": "t", "description": "d", "tags": ["halfopen"],
        "links": UIDS[1..].iter().copied().map(link).collect::<Vec<_>>(),
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
            variable("job", "label_values(halfopen_build_info, job)", ".+"),
            variable("instance", r#"label_values(halfopen_build_info{job=~"$job"}, instance)"#, ".+"),
            variable("owner", r#"label_values({__name__=~"halfopen_connections|halfopen_deaths_total", job=~"$job"}, owner)"#, ".*"),
        ]},
        "annotations": {"list": [annotation(), annotation()]},
        "panels": (0..8).map(panel).collect::<Vec<_>>(),
    })
}

#[test]
fn each_fault_is_noticed() {
    let vocabulary = Vocabulary::declared();
    let problems = lint(&sound(), &UIDS, &vocabulary);
    assert!(problems.is_empty(), "{problems:#?}");
    let expression = "/panels/3/targets/0/expr";
    let defaults = "/panels/3/fieldConfig/defaults";
    let matched = r#"job=~"$job", instance=~"$instance""#;
    let owned = format!(r#"{matched}, owner=~"$owner""#);
    let asking =
        |query: &str| Value::from(query.replace("OWNED", &owned).replace("MATCHED", matched));
    let at = |place: &str| format!("{defaults}/{place}");
    #[rustfmt::skip]
    let faults = [
        (expression.to_owned(), asking("sum by (cause) (rate(halfopen_death_total{OWNED}[$__rate_interval]))"), "no halfopen_death_total"),
        (expression.into(), asking("sum by (cause) (halfopen_deaths_total{OWNED})"), "no rate is taken"),
        (expression.into(), asking("sum by (cause) (avg_over_time(halfopen_deaths_total{OWNED}[$__rate_interval]))"), "no rate is taken"),
        (expression.into(), asking("sum by (state) (rate(halfopen_connections{OWNED}[$__rate_interval]))"), "a rate is taken"),
        (expression.into(), asking("sum by (cause) (rate(halfopen_deaths_total{MATCHED}[$__rate_interval]))"), "not matched by $owner"),
        (expression.into(), asking(r#"sum by (cause) (rate(halfopen_deaths_total{job=~"$job", owner=~"$owner"}[$__rate_interval]))"#), "not matched by $instance"),
        (expression.into(), asking(r#"sum by (cause) (rate(halfopen_deaths_total{job="$job", instance=~"$instance", owner=~"$owner"}[$__rate_interval]))"#), "not matched by $job"),
        (expression.into(), asking("sum by (cause) (rate(halfopen_deaths_total{OWNED}[5m]))"), "not $__rate_interval"),
        (expression.into(), asking("sum by (cause) (increase(halfopen_deaths_total{OWNED}[$__range]))"), "not $__rate_interval"),
        (expression.into(), asking("sum by (evidence) (rate(halfopen_deaths_total{OWNED}[$__rate_interval]))"), "`by` asks for evidence"),
        (expression.into(), asking(r#"sum by (cause) (rate(halfopen_deaths_total{OWNED, reason="x"}[$__rate_interval]))"#), "no label reason"),
        (expression.into(), asking(r#"sum by (cause) (rate(halfopen_deaths_total{OWNED, cause=~"keepalive|keepalife"}[$__rate_interval]))"#), "cause is never keepalife"),
        (expression.into(), asking("sum by (owner) (rate(halfopen_deaths_total{OWNED}[$__rate_interval]))"), "the legend names cause"),
        (expression.into(), asking("sum by (cause) (rate(halfopen_deaths_total{OWNED}[$__rate_interval])"), "not PromQL"),
        (expression.into(), asking("sum by (cause) (rate(halfopen_deaths_total{OWNED}[$__rate_interval])) / sum by (evidence) (halfopen_suspect_connections{OWNED})"), "never match"),
        (expression.into(), asking("histogram_quantile (0.5, sum by (cause) (rate(halfopen_silence_before_death_seconds_bucket{MATCHED}[$__rate_interval])))"), "no le"),
        (expression.into(), asking("sum by (cause) (rate(halfopen_silence_before_death_seconds{MATCHED}[$__rate_interval]))"), "no halfopen_silence_before_death_seconds"),
        (expression.into(), asking("1"), "asks for nothing"),
        ("/panels/3/targets/0/datasource/uid".into(), "abc".into(), "datasource"),
        ("/panels/3/targets/0/range".into(), false.into(), "not range"),
        ("/panels/3/datasource".into(), Value::Null, "datasource"),
        ("/panels/3/title".into(), "".into(), "no title"),
        ("/panels/3/description".into(), "Deaths.".into(), "no description"),
        ("/panels/3/type".into(), "heatmap".into(), "type heatmap"),
        ("/panels/3/id".into(), 2.into(), "its id is taken"),
        ("/panels/3/gridPos/x".into(), 11.into(), "lies over another"),
        ("/panels/3/gridPos/w".into(), 13.into(), "beside the grid"),
        ("/panels/3/links".into(), json!([{"url": "/d/halfopen-nowhere?x=1"}]), "leads to halfopen-nowhere"),
        ("/panels/3/transformations".into(), json!([{"options": {"indexByName": {"reason": 0}}}]), "no column reason"),
        (at("unit"), "".into(), "no unit"),
        (at("noValue"), Value::Null, "no noValue"),
        (at("noValue"), "0".into(), "nothing reads as 0"),
        (at("thresholds"), Value::Null, "thresholds"),
        (at("thresholds/steps/1/value"), Value::Null, "thresholds"),
        ("/templating/list/0/type".into(), "query".into(), "variable datasource"),
        ("/templating/list/0/name".into(), "source".into(), "variables"),
        ("/templating/list/1/query/query".into(), "label_values(halfopen_info, job)".into(), "variable job"),
        ("/templating/list/2/multi".into(), false.into(), "not for many"),
        ("/templating/list/3/allValue".into(), ".+".into(), "variable owner: all is"),
        ("/templating/list/3/name".into(), "whose".into(), "variable whose"),
        ("/links/1/url".into(), "/d/halfopen-gone".into(), "links lead to"),
        ("/links/1/keepTime".into(), false.into(), "time or variables lost"),
        ("/annotations/list/1/expr".into(), "up > 0".into(), "not matched by $job"),
        ("/annotations/list".into(), json!([]), "not annotated"),
        ("/tags".into(), json!([]), "[]"),
        ("/uid".into(), "overview".into(), "uid"),
        ("/__inputs".into(), json!([]), "__inputs"),
        ("/panels".into(), json!([]), "0 panels"),
    ];
    for (place, value, expected) in faults {
        let mut dashboard = sound();
        let (parent, key) = place.rsplit_once('/').unwrap();
        let parent = dashboard.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
            parent => parent[key] = value.clone(),
        }
        let problems = lint(&dashboard, &UIDS, &vocabulary);
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{place} = {value}: {problems:#?}"
        );
    }
}
