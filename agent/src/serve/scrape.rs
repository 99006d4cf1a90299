//! Scrapes: what a scraper may ask for, how long it waits, and how many may ask at one time.
//! It must never let one wait for longer than it would, nor hold a place for one that has gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{
    HeaderMap, Method, Request, StatusCode,
    header::{CONTENT_ENCODING, HeaderValue, VARY},
};

use super::{
    api::Refusal,
    negotiate::{self, Encoding},
    reading::Reading,
    routes::{Answer, refuse, respond},
    sampler::Snapshots,
};
use halfopen_core::metrics::{CODES, Scrapes, Section, Sections};

/// Scrapes that may wait at one time if nobody says otherwise: node_exporter's number.
pub const MAX_REQUESTS: u64 = 40;

/// How long Prometheus will wait (scrape_timeout).
const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// What is kept of that for the way back, as blackbox_exporter does; at most half of it.
const RESERVE: Duration = Duration::from_millis(500);

/// Answers scrapes; cheap to clone.
#[derive(Clone)]
pub struct Scraper {
    snapshots: Snapshots,
    /// 0 is no limit.
    max_requests: u64,
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
    /// Answers from `snapshots`, at most so many at one time; 0 is no limit.
    pub fn new(snapshots: Snapshots, max_requests: u64) -> Self {
        Self {
            snapshots,
            max_requests,
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
        let _place = self.enter()?;
        let sections = sections(request.uri().query().unwrap_or_default())
            .map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
        let patience =
            patience(request.headers()).map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
        let format = negotiate::format(request.headers());
        let reading = self.reading(patience).await?;
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

    fn enter(&self) -> Result<Place<'_>, Refusal> {
        let before = self.counts.in_flight.fetch_add(1, Relaxed);
        let place = Place(&self.counts);
        if self.max_requests == 0 || before < self.max_requests {
            return Ok(place);
        }
        Err(unavailable(format!(
            "{} scrapes are waiting for their answers, and no more may (--web.max-requests); scrape less often",
            self.max_requests
        )))
    }

    async fn reading(&self, patience: Option<Patience>) -> Result<Arc<Reading>, Refusal> {
        let snapshot = self.snapshots.take();
        let taken = match patience {
            None => snapshot.await,
            Some(patience) => tokio::time::timeout(patience.ours(), snapshot)
                .await
                .map_err(|_| unavailable(patience.exhausted()))?,
        };
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

/// How long a scraper waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patience(Duration);

impl Patience {
    /// What of it may pass before there is an answer.
    fn ours(self) -> Duration {
        self.0 - RESERVE.min(self.0 / 2)
    }

    fn exhausted(self) -> String {
        format!(
            "there was no snapshot within {:?}; the scraper waits {:?} (its scrape_timeout), and {:?} of it are for the way back",
            self.ours(),
            self.0,
            self.0 - self.ours(),
        )
    }
}

/// How long the scraper waits, where it says so. As blackbox_exporter has it: what is no number is
/// refused (there with a 500, though the mistake is the scraper's), and one of no use says nothing: 0,
/// negative, or without end.
fn patience(headers: &HeaderMap) -> Result<Option<Patience>, String> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    if text.is_empty() {
        return Ok(None);
    }
    let seconds: f64 = text.parse().map_err(|_| {
        format!(
            "X-Prometheus-Scrape-Timeout-Seconds is a number of seconds, such as 10; not {text:?}"
        )
    })?;
    let patience = Duration::try_from_secs_f64(seconds).ok();
    Ok(patience.filter(|time| !time.is_zero()).map(Patience))
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

    #[test]
    fn scrapers_say_how_long_they_wait() {
        let check = |value: &[u8], expected: Result<Option<u64>, ()>| {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, HeaderValue::from_bytes(value).unwrap());
            let ours = patience(&headers).map_err(|reason| assert!(reason.contains("such as 10")));
            let ours = ours.map(|patience| patience.map(|patience| patience.ours()));
            assert_eq!(
                ours,
                expected.map(|ms| ms.map(Duration::from_millis)),
                "{value:?}"
            );
        };
        check(b"10", Ok(Some(9_500)));
        check(b"1.25", Ok(Some(750)));
        check(b"1", Ok(Some(500)));
        // Half a second would be all of it.
        check(b"0.5", Ok(Some(250)));
        check(b"0.002", Ok(Some(1)));
        check(b"1e3", Ok(Some(999_500)));
        for useless in ["", "0", "-3", "nan", "inf", "-inf", "1e300", "-0"] {
            check(useless.as_bytes(), Ok(None));
        }
        for wrong in ["10s", "ten", "1,5", " ", "0x"] {
            check(wrong.as_bytes(), Err(()));
        }
        check(b"\xff", Err(()));
        assert_eq!(patience(&HeaderMap::new()), Ok(None));
    }
}
