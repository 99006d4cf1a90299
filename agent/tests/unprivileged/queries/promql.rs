//! What a query asks for: which metrics, by which labels, and whether they have them. Metrics are known from
//! the declarations and from recording rules alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use halfopen_core::metrics::{self, Kind, Values, declared};
use promql_parser::{
    label::METRIC_NAME,
    parser::{self, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality, VectorSelector},
};

/// Names of labels.
pub type LabelNames = BTreeSet<String>;

/// What Prometheus adds to each series that it scrapes.
pub const TARGET: [&str; 2] = ["job", "instance"];

/// What a name in a query stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownMetric {
    /// Whether it only grows.
    pub counter: bool,
    /// Its labels, those of the target included.
    pub labels: LabelNames,
}

/// Every name that a query may use.
#[derive(Debug, Clone)]
pub struct Vocabulary(BTreeMap<String, KnownMetric>);

impl Vocabulary {
    /// The declared metrics, by the names of their series, and `up`, which Prometheus makes.
    pub fn declared() -> Self {
        let mut all = Self(BTreeMap::new());
        for metric in declared() {
            for name in metric.series() {
                let of_bucket = name.ends_with("_bucket").then_some("le");
                let labels = metric.labels.iter().copied().chain(TARGET).chain(of_bucket);
                let known = KnownMetric {
                    counter: metric.kind != Kind::Gauge,
                    labels: labels.map(str::to_owned).collect(),
                };
                all.0.insert(name, known);
            }
        }
        all.record("up", TARGET.map(str::to_owned).into());
        all
    }

    /// Adds what a rule records; of a sum of counters, too, no rate need be taken.
    pub fn record(&mut self, name: &str, labels: LabelNames) {
        let counter = false;
        self.0
            .insert(name.to_owned(), KnownMetric { counter, labels });
    }

    /// What the name stands for.
    pub fn get(&self, name: &str) -> Option<&KnownMetric> {
        self.0.get(name)
    }
}

/// How a metric is asked for.
#[derive(Debug, Clone)]
pub struct Use {
    /// Its name.
    pub name: String,
    /// What is demanded of labels: name, operator, value.
    pub matchers: Vec<(String, String, String)>,
    /// The function that takes it over a time (`rate` …) and that time; nearest first.
    pub over: Vec<(String, Duration)>,
    /// It only says for which targets the rest holds: the one side of a match by `group_left`.
    pub gate: bool,
}

/// A query that was understood.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Everything it asks for.
    pub uses: Vec<Use>,
    /// LabelNames that the result has; `None` of a number.
    pub labels: Option<LabelNames>,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// Reads a query as PromQL, and holds every name in it against the vocabulary.
pub fn query(text: &str, vocabulary: &Vocabulary) -> Query {
    let mut query = Query::default();
    match parser::parse(text) {
        Ok(expression) => {
            let mut reader = QueryReader {
                vocabulary,
                query: &mut query,
                over: Vec::new(),
                ranges: Vec::new(),
                gate: false,
            };
            let labels = reader.read(&expression);
            query.labels = labels;
        }
        Err(error) => query.problems.push(format!("not PromQL: {error}")),
    }
    query
}

struct QueryReader<'a> {
    vocabulary: &'a Vocabulary,
    query: &'a mut Query,
    /// Functions around, outermost first, with the times that they were given.
    over: Vec<(String, Duration)>,
    /// Functions whose argument is being read and that have met no time yet.
    ranges: Vec<String>,
    gate: bool,
}

impl QueryReader<'_> {
    fn problem(&mut self, problem: String) {
        self.query.problems.push(problem);
    }

    /// Reads an expression; returns the labels of its result.
    fn read(&mut self, expression: &Expr) -> Option<LabelNames> {
        match expression {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => None,
            Expr::Unary(unary) => self.read(&unary.expr),
            Expr::Paren(paren) => self.read(&paren.expr),
            Expr::VectorSelector(selector) => Some(self.select(selector)),
            Expr::MatrixSelector(selector) => {
                self.within(selector.range, |reader| Some(reader.select(&selector.vs)))
            }
            Expr::Subquery(subquery) => {
                self.within(subquery.range, |reader| reader.read(&subquery.expr))
            }
            Expr::Call(call) => self.call(call),
            Expr::Aggregate(aggregate) => {
                let labels = self.read(&aggregate.expr).unwrap_or_default();
                let keeps = matches!(aggregate.op.to_string().as_str(), "topk" | "bottomk");
                match &aggregate.modifier {
                    Some(LabelModifier::Include(by)) => {
                        self.demand("by", &by.labels, &labels);
                        Some(if keeps {
                            labels
                        } else {
                            by.labels.iter().cloned().collect()
                        })
                    }
                    Some(LabelModifier::Exclude(without)) => {
                        self.demand("without", &without.labels, &labels);
                        let gone = |label: &String| without.labels.contains(label);
                        Some(labels.into_iter().filter(|label| !gone(label)).collect())
                    }
                    None => Some(if keeps { labels } else { LabelNames::new() }),
                }
            }
            Expr::Binary(binary) => self.binary(binary),
        }
    }

    /// Reads what a function takes over a time.
    fn within(
        &mut self,
        range: Duration,
        read: impl FnOnce(&mut Self) -> Option<LabelNames>,
    ) -> Option<LabelNames> {
        let function = self.ranges.pop();
        self.over
            .push((function.clone().unwrap_or_default(), range));
        let labels = read(self);
        self.over.pop();
        self.ranges.extend(function);
        labels
    }

    fn call(&mut self, call: &Call) -> Option<LabelNames> {
        let name = call.func.name;
        self.ranges.push(name.to_owned());
        let mut labels: Option<LabelNames> = None;
        for argument in &call.args.args {
            labels = self.read(argument).or(labels);
        }
        self.ranges.pop();
        match (name, labels) {
            ("histogram_quantile", Some(mut labels)) => {
                if !labels.remove("le") {
                    self.problem("histogram_quantile of what has no le".into());
                }
                Some(labels)
            }
            ("label_replace", Some(mut labels)) => {
                if let Some(Expr::StringLiteral(new)) = call.args.args.get(1).map(|arg| &**arg) {
                    labels.insert(new.val.clone());
                }
                Some(labels)
            }
            (_, labels) => labels,
        }
    }

    fn binary(&mut self, binary: &BinaryExpr) -> Option<LabelNames> {
        let modifier = binary.modifier.as_ref();
        let gates = modifier
            .is_some_and(|modifier| matches!(modifier.card, VectorMatchCardinality::ManyToOne(_)));
        let left = self.read(&binary.lhs);
        let outside = self.gate;
        self.gate |= gates;
        let right = self.read(&binary.rhs);
        self.gate = outside;
        let (Some(left), Some(right)) = (&left, &right) else {
            return left.or(right);
        };
        let matching = modifier.and_then(|modifier| modifier.matching.as_ref());
        let on = match matching {
            Some(LabelModifier::Include(on)) => Some(&on.labels),
            Some(LabelModifier::Exclude(_)) | None => None,
        };
        if let Some(on) = on {
            self.demand("on", on, left);
            self.demand("on", on, right);
        }
        Some(match (binary.op.to_string().as_str(), on) {
            // What is not on both sides is empty in part of the result.
            ("or", _) => left & right,
            ("and" | "unless", Some(_)) => left.clone(),
            _ if gates => left.clone(),
            (_, Some(on)) => on.iter().cloned().collect(),
            (_, None) => {
                if left != right {
                    self.problem(format!("{left:?} never match {right:?}"));
                }
                left.clone()
            }
        })
    }

    fn demand(&mut self, word: &str, wanted: &[String], labels: &LabelNames) {
        for label in wanted.iter().filter(|label| !labels.contains(*label)) {
            self.problem(format!("`{word}` asks for {label}, of {labels:?}"));
        }
    }

    fn select(&mut self, selector: &VectorSelector) -> LabelNames {
        let matchers = &selector.matchers.matchers;
        let named = matchers.iter().find(|matcher| matcher.name == METRIC_NAME);
        let name = selector.name.clone();
        let Some(name) = name.or_else(|| named.map(|matcher| matcher.value.clone())) else {
            self.problem("a selector without a name".into());
            return LabelNames::new();
        };
        let Some(known) = self.vocabulary.get(&name) else {
            self.problem(format!("there is no {name}"));
            return LabelNames::new();
        };
        let labels = known.labels.clone();
        for matcher in matchers
            .iter()
            .filter(|matcher| matcher.name != METRIC_NAME)
        {
            if !labels.contains(&matcher.name) {
                self.problem(format!("{name} has no label {}", matcher.name));
            }
            for value in never(&labels, &matcher.name, &matcher.value) {
                self.problem(format!("{} is never {value}", matcher.name));
            }
        }
        let matchers = matchers.iter().map(|matcher| {
            let (name, value) = (matcher.name.clone(), matcher.value.clone());
            (name, matcher.op.to_string(), value)
        });
        let usage = Use {
            matchers: matchers.collect(),
            over: self.over.iter().rev().cloned().collect(),
            gate: self.gate,
            name,
        };
        self.query.uses.push(usage);
        labels
    }
}

/// Which of the values that are asked for the metric's label never has; variables of Grafana may be any.
fn never<'a>(labels: &LabelNames, label: &str, asked: &'a str) -> Vec<&'a str> {
    let Some(Values::OneOf(values)) = metrics::values(label, |beside| labels.contains(beside))
    else {
        return Vec::new();
    };
    let values = values();
    let asked = asked.split('|').filter(|value| !value.starts_with('$'));
    asked
        .filter(|value| !values.iter().any(|known| known == value))
        .collect()
}
