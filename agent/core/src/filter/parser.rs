//! From tokens to a filter, by descent.
//!
//! # Invariants
//! Recursion ends at [`DEEPEST`]: input may be hostile.

use super::{
    Expression, FilterError, Subject,
    condition::{Condition, End, States},
    host,
    lexer::{self, Kind, Token},
    sentences::{CGROUP, GOES_ON, NETNS, OWNER, UID, unknown_word},
    value::{self, Comparison},
};
use crate::model::{death::Cause, detection::Detection, liveness::Evidence};

/// How deep parentheses and negations may nest.
const DEEPEST: usize = 64;

pub fn parse(subject: Subject, typed: &str) -> Result<Expression, FilterError> {
    let mut parser = Parser {
        subject,
        tokens: lexer::tokens(typed),
        next: 0,
        end: typed.chars().count() + 1,
        depth: 0,
    };
    parser.filter()
}

struct Parser {
    subject: Subject,
    tokens: Vec<Token>,
    next: usize,
    /// Position of what would follow the last character.
    end: usize,
    /// Parentheses and negations around what is being read.
    depth: usize,
}

type Parsed<T> = Result<T, FilterError>;

impl Parser {
    fn filter(&mut self) -> Parsed<Expression> {
        let mut all = Vec::new();
        if let Some(states) = self.states()? {
            all.push(Expression::Is(states));
            match self.kind() {
                Some(Kind::Or) => {
                    return self.refuse(
                        "states at the front hold for the whole filter; for either of two, put \
                         parentheses around them: ( state close-wait ) or suspect",
                    );
                }
                Some(Kind::And) => {
                    self.next += 1;
                    all.push(self.any()?);
                }
                Some(_) => all.push(self.any()?),
                None => {}
            }
        } else if self.kind().is_some() {
            all.push(self.any()?);
        }
        match self.kind() {
            None => Ok(join(all, Expression::All)),
            Some(Kind::Close) => self.refuse("no parenthesis is open here"),
            Some(_) => self.refuse(GOES_ON),
        }
    }

    fn any(&mut self) -> Parsed<Expression> {
        let mut any = vec![self.all()?];
        while self.kind() == Some(Kind::Or) {
            self.next += 1;
            any.push(self.all()?);
        }
        Ok(join(any, Expression::Any))
    }

    fn all(&mut self) -> Parsed<Expression> {
        let mut all = vec![self.not()?];
        loop {
            match self.kind() {
                Some(Kind::And) => self.next += 1,
                Some(Kind::Word | Kind::Open | Kind::Not) => {}
                Some(Kind::Compare(_)) => return self.refuse(GOES_ON),
                Some(Kind::Or | Kind::Close) | None => return Ok(join(all, Expression::All)),
            }
            all.push(self.not()?);
        }
    }

    fn not(&mut self) -> Parsed<Expression> {
        match self.kind() {
            Some(Kind::Not) => {
                self.enter()?;
                let inner = self.not()?;
                self.depth -= 1;
                Ok(Expression::Not(Box::new(inner)))
            }
            Some(Kind::Open) => {
                self.enter()?;
                let inner = self.any()?;
                if self.kind() != Some(Kind::Close) {
                    return self.refuse(
                        "a parenthesis is open: here may stand ), and, or, or another condition",
                    );
                }
                self.next += 1;
                self.depth -= 1;
                Ok(inner)
            }
            _ => self.condition(),
        }
    }

    fn enter(&mut self) -> Parsed<()> {
        if self.depth == DEEPEST {
            return self.refuse(&format!(
                "parentheses and negations nest at most {DEEPEST} deep"
            ));
        }
        self.depth += 1;
        self.next += 1;
        Ok(())
    }

    fn condition(&mut self) -> Parsed<Expression> {
        if let Some(states) = self.states()? {
            return Ok(Expression::Is(states));
        }
        let Some(Kind::Word) = self.kind() else {
            return self.refuse(self.subject.conditions());
        };
        let word = self.text().to_owned();
        if let Some(problem) = self.subject.refuses(&word) {
            return self.refuse(&problem);
        }
        self.next += 1;
        let condition = match word.as_str() {
            "src" => return self.host(End::Local),
            "dst" => return self.host(End::Remote),
            "owner" => return self.identity(OWNER, |owner| Some(Condition::Owner(owner.into()))),
            "cgroup" => return self.identity(CGROUP, cgroup),
            "sport" => self.port(End::Local)?,
            "dport" => self.port(End::Remote)?,
            "suspect" => Condition::Suspect(self.evidence()),
            "zombie" => Condition::Zombie,
            "orphan" => Condition::Orphan,
            "unguarded" => Condition::Unguarded,
            "embryonic" => Condition::Embryonic,
            "unaccepted" => Condition::Unaccepted,
            "zero-window" | "zero_window" => Condition::ZeroWindow,
            "stalled" => Condition::Stalled,
            "idle" => {
                let (comparison, limit) =
                    self.measure("idle > 1h", value::DURATION, value::duration)?;
                Condition::Idle(comparison, limit)
            }
            "silent" => {
                let (comparison, limit) =
                    self.measure("silent > 30s", value::DURATION, value::duration)?;
                Condition::Silent(comparison, limit)
            }
            "memory" => {
                let (comparison, limit) = self.measure("memory > 64k", value::SIZE, value::size)?;
                Condition::Memory(comparison, limit)
            }
            "detect" => self.detect()?,
            "age" => {
                let (comparison, limit) =
                    self.measure("age < 1s", value::DURATION, value::duration)?;
                Condition::Age(comparison, limit)
            }
            "bytes-sent" | "bytes_sent" => {
                let (comparison, limit) =
                    self.measure("bytes-sent = 0", value::SIZE, value::size)?;
                Condition::BytesSent(comparison, limit)
            }
            "bytes-received" | "bytes_received" => {
                let (comparison, limit) =
                    self.measure("bytes-received = 0", value::SIZE, value::size)?;
                Condition::BytesReceived(comparison, limit)
            }
            "cause" => return self.cause(),
            "netns" => {
                let (comparison, number) = self.number(NETNS)?;
                Condition::Netns(comparison, number)
            }
            "uid" => {
                let (comparison, number) = self.number(UID)?;
                Condition::Uid(comparison, number)
            }
            _ => {
                self.next -= 1;
                return self.refuse(&unknown_word(self.subject, &word));
            }
        };
        Ok(Expression::Is(condition))
    }

    /// A run of `state` and `exclude`, which make one set, read from left to right.
    fn states(&mut self) -> Parsed<Option<Condition>> {
        let mut run: Option<States> = None;
        while self.kind() == Some(Kind::Word) {
            let exclude = match self.text() {
                "state" => false,
                "exclude" | "excl" => true,
                _ => break,
            };
            self.next += 1;
            let named = self.value(&format!("here stands a state: {}", States::NAMES), |name| {
                States::named(name)
                    .ok_or_else(|| format!("it is no state; here may stand {}", States::NAMES))
            })?;
            if exclude {
                run.get_or_insert_with(States::all).remove(&named);
            } else {
                run.get_or_insert_with(States::none).add(&named);
            }
        }
        Ok(run.map(Condition::States))
    }

    fn host(&mut self, end: End) -> Parsed<Expression> {
        let equal = self.is_or_is_not("an address is compared with = or != only")?;
        let host = self.value(host::HOST, host::host)?;
        Ok(negated_unless(equal, Condition::Host(end, host)))
    }

    fn port(&mut self, end: End) -> Parsed<Condition> {
        let comparison = self.comparison().unwrap_or(Comparison::Equal);
        let port = self.value(host::PORT, |typed| match host::port(typed)? {
            None if !comparison.is_of_identity() => {
                Err("any port is neither more nor less than another: with *, write = or !=".into())
            }
            port => Ok(port),
        })?;
        Ok(Condition::Port(end, comparison, port))
    }

    /// A value that a connection has or has not, such as an owner.
    fn identity(
        &mut self,
        expected: &str,
        condition: impl Fn(&str) -> Option<Condition>,
    ) -> Parsed<Expression> {
        let equal = self.is_or_is_not("it is compared with = or != only")?;
        let condition = self.value(expected, |typed| {
            condition(typed).ok_or(expected.to_owned())
        })?;
        Ok(negated_unless(equal, condition))
    }

    /// A comparison, which must be there: a length that is exactly something helps nobody.
    fn measure<T>(
        &mut self,
        example: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Parsed<(Comparison, T)> {
        let Some(comparison) = self.comparison() else {
            return self.refuse(&format!("here stands a comparison, as in {example}"));
        };
        let value = self.value(expected, |typed| parse(typed).ok_or(expected.to_owned()))?;
        Ok((comparison, value))
    }

    fn number(&mut self, expected: &str) -> Parsed<(Comparison, u64)> {
        let comparison = self.comparison().unwrap_or(Comparison::Equal);
        let number = self.value(expected, |typed| {
            value::number(typed).ok_or(expected.to_owned())
        })?;
        Ok((comparison, number))
    }

    fn detect(&mut self) -> Parsed<Condition> {
        let comparison = self.comparison();
        let example = "as in detect > 1h or detect never";
        let limit = self.value(
            &format!("here stands a duration or never, {example}"),
            |typed| match (typed, comparison) {
                ("never", _) => Ok(Detection::Never),
                (_, None) => Err(format!("here stands a comparison or never, {example}")),
                _ => value::duration(typed)
                    .map(Detection::Within)
                    .ok_or_else(|| format!("{}; or never", value::DURATION)),
            },
        )?;
        Ok(Condition::Detect(
            comparison.unwrap_or(Comparison::Equal),
            limit,
        ))
    }

    fn cause(&mut self) -> Parsed<Expression> {
        let names = Cause::ALL.map(Cause::as_str).join(", ");
        self.identity(&format!("here stands a cause of death: {names}"), |typed| {
            let name = typed.replace('-', "_");
            let mut causes = Cause::ALL.into_iter();
            causes
                .find(|cause| cause.as_str() == name)
                .map(Condition::Cause)
        })
    }

    /// The evidence behind `suspect`, if it stands there.
    fn evidence(&mut self) -> Option<Evidence> {
        if self.kind() != Some(Kind::Word) {
            return None;
        }
        let word = self.text().replace('-', "_");
        let evidence = Evidence::ALL
            .into_iter()
            .find(|evidence| evidence.as_str() == word)?;
        self.next += 1;
        Some(evidence)
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let Some(Kind::Compare(comparison)) = self.kind() else {
            return None;
        };
        self.next += 1;
        Some(comparison)
    }

    /// `=`, `!=` or nothing, which is `=`.
    fn is_or_is_not(&mut self, problem: &str) -> Parsed<bool> {
        match self.kind() {
            Some(Kind::Compare(comparison)) if !comparison.is_of_identity() => self.refuse(problem),
            _ => Ok(self.comparison() != Some(Comparison::NotEqual)),
        }
    }

    fn value<T>(
        &mut self,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Parsed<T> {
        if self.kind() != Some(Kind::Word) {
            return self.refuse(expected);
        }
        match parse(self.text()) {
            Ok(value) => {
                self.next += 1;
                Ok(value)
            }
            Err(problem) => self.refuse(&problem),
        }
    }

    fn kind(&self) -> Option<Kind> {
        self.tokens.get(self.next).map(|token| token.kind)
    }

    fn text(&self) -> &str {
        self.tokens
            .get(self.next)
            .map_or("", |token| token.text.as_str())
    }

    /// An error at the next token.
    fn refuse<T>(&self, problem: &str) -> Parsed<T> {
        let token = self.tokens.get(self.next);
        Err(FilterError {
            position: token.map_or(self.end, |token| token.position),
            word: token.map(|token| token.text.clone()),
            problem: problem.to_owned(),
        })
    }
}

fn cgroup(typed: &str) -> Option<Condition> {
    Some(Condition::Cgroup {
        path: typed.to_owned(),
        id: value::number(typed),
    })
}

fn join(mut parts: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            several(parts)
        }
        None => several(parts),
    }
}

fn negated_unless(equal: bool, condition: Condition) -> Expression {
    let condition = Expression::Is(condition);
    if equal {
        condition
    } else {
        Expression::Not(Box::new(condition))
    }
}
