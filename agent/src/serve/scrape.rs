//! Scrapes: what a scraper may ask for, and in which form.
//! It must never count one as waiting that has gone.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use hyper::{
    Method, Request, StatusCode,
    header::{CONTENT_ENCODING, HeaderValue, VARY},
};

use super::{
    api::Refusal,
    negotiate::{self, Encoding},
    reading::Reading,
    routes::{Answer, refuse, respond},
    sampler::Snapshots,
};
use crate::metrics::{CODES, Scrapes, Section, Sections};

/// Answers scrapes; cheap to clone.
#[derive(Clone)]
pub struct Scraper {
    snapshots: Snapshots,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    in_flight: AtomicU64,
    answered: [AtomicU64; CODES.len()],
    plain_bytes: AtomicU64,
    gzip_bytes: AtomicU64,
}

/// A place among those that wait; given back also when a client goes away before its answer.
struct Place<'a>(&'a Counts);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Scraper {
    /// Answers from `snapshots`.
    pub fn new(snapshots: Snapshots) -> Self {
        Self {
            snapshots,
            counts: Arc::default(),
        }
    }

    /// Answers one scrape; for HEAD hyper leaves the body out.
    pub async fn answer<B>(&self, request: &Request<B>) -> Answer {
        let encoding = negotiate::encoding(request.headers());
        let answer = self.written(request, encoding).await;
        let (mut answer, bytes) = match answer {
            Ok((answer, bytes)) => (answer, bytes as u64),
            Err(refusal) => (refuse(refusal), 0),
        };
        let vary = HeaderValue::from_static("Accept, Accept-Encoding");
        answer.headers_mut().insert(VARY, vary);
        let code = answer.status().as_u16();
        for (counted, count) in CODES.iter().zip(&self.counts.answered) {
            count.fetch_add(u64::from(*counted == code), Relaxed);
        }
        if request.method() != Method::HEAD {
            let sent = match encoding {
                Encoding::Identity => &self.counts.plain_bytes,
                Encoding::Gzip => &self.counts.gzip_bytes,
            };
            sent.fetch_add(bytes, Relaxed);
        }
        answer
    }

    /// The metrics as they were asked for, and their size as sent.
    async fn written<B>(
        &self,
        request: &Request<B>,
        encoding: Encoding,
    ) -> Result<(Answer, usize), Refusal> {
        let _place = self.enter();
        let sections = sections(request.uri().query().unwrap_or_default())
            .map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
        let format = negotiate::format(request.headers());
        let reading = self.reading().await?;
        let body = reading
            .written(sections, format, encoding, || self.counts.read())
            .map_err(|reason| {
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("the metrics cannot be written: {reason}"),
                )
            })?;
        let bytes = body.len();
        let mut answer = respond(StatusCode::OK, format.content_type(), body);
        if encoding == Encoding::Gzip {
            let gzip = HeaderValue::from_static("gzip");
            answer.headers_mut().insert(CONTENT_ENCODING, gzip);
        }
        Ok((answer, bytes))
    }

    fn enter(&self) -> Place<'_> {
        self.counts.in_flight.fetch_add(1, Relaxed);
        Place(&self.counts)
    }

    async fn reading(&self) -> Result<Arc<Reading>, Refusal> {
        let taken = self.snapshots.take().await;
        taken.map_err(|refused| unavailable(refused.to_string()))
    }
}

fn unavailable(reason: String) -> Refusal {
    (StatusCode::SERVICE_UNAVAILABLE, reason)
}

impl Counts {
    fn read(&self) -> Scrapes {
        Scrapes {
            answered: self.answered.each_ref().map(|count| count.load(Relaxed)),
            plain_bytes: self.plain_bytes.load(Relaxed),
            gzip_bytes: self.gzip_bytes.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            snapshot_duration: None,
        }
    }
}

/// The sections that a query asks for by `collect[]`, or leaves out by `exclude[]`, as node_exporter
/// has it; other parameters mean nothing here.
fn sections(query: &str) -> Result<Sections, String> {
    let (mut collect, mut exclude) = (Vec::new(), Vec::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let list = match name.as_ref() {
            "collect[]" => &mut collect,
            "exclude[]" => &mut exclude,
            _ => continue,
        };
        let section: Section = value.parse().map_err(|error| format!("{name}: {error}"))?;
        list.push(section);
    }
    match (collect.is_empty(), exclude.is_empty()) {
        (true, _) => Ok(Sections::without(&exclude)),
        (false, true) => Ok(Sections::only(&collect)),
        (false, false) => Err("collect[] and exclude[] cannot be combined".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_asked_for_or_left_out() {
        let check =
            |query: &str, expected: Result<Sections, &str>| match (sections(query), expected) {
                (Ok(sections), expected) => assert_eq!(Ok(sections), expected, "{query}"),
                (Err(reason), Err(expected)) => {
                    assert!(reason.contains(expected), "{query}: {reason}");
                }
                (Err(reason), Ok(_)) => panic!("{query}: {reason}"),
            };
        let two = [Section::Probes, Section::Build];
        check("", Ok(Sections::ALL));
        check("a=b&collect=probes&collect[=x&c", Ok(Sections::ALL));
        check("collect[]=probes", Ok(Sections::only(&two[..1])));
        check(
            "collect%5B%5D=probes&collect[]=build",
            Ok(Sections::only(&two)),
        );
        check(
            "collect[]=build&x=y&collect[]=probes&collect[]=build",
            Ok(Sections::only(&two)),
        );
        check(
            "exclude[]=probes&exclude%5b%5d=build",
            Ok(Sections::without(&two)),
        );
        check(
            "collect[]=probes&exclude[]=build",
            Err("cannot be combined"),
        );
        check("collect[]=", Err("no section \"\""));
        check("collect[]", Err("no section \"\""));
        check(
            "exclude[]=Probes",
            Err("exclude[]: there is no section \"Probes\""),
        );
        check("collect[]=probes,build", Err("there are probes, deaths,"));
        check("collect[]=%ff%00%22", Err("no section"));
    }
}
