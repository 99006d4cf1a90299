//! Scrapes: query parameters, the scraper's timeout, and the limit on concurrent scrapes.
//!
//! # Invariants
//! A scrape is answered before its scraper times out, and a scraper that is gone holds no slot.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{
    HeaderMap, Method, Request,
    header::{CONTENT_ENCODING, HeaderValue, VARY},
};

use super::{
    negotiate::{self, Encoding},
    rendered_snapshot::RenderedSnapshot,
    response::{self, HttpError, HttpResponse, bad_request, internal_error, unavailable},
    sampler::Snapshots,
};
use halfopen_core::metrics::{CODES, Scrapes, Section, Sections};

/// The default limit on concurrent scrapes: that of node_exporter.
pub const MAX_REQUESTS: u64 = 40;

/// How long Prometheus waits (scrape_timeout).
const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

/// The part of it kept for the transfer, as in blackbox_exporter; at most half.
const TRANSFER_RESERVE: Duration = Duration::from_millis(500);

/// Answers scrapes; cheap to clone.
#[derive(Clone)]
pub struct Scraper {
    snapshots: Snapshots,
    /// 0 is no limit.
    max_requests: u64,
    counts: Arc<ScrapeCounts>,
}

#[derive(Default)]
struct ScrapeCounts {
    in_flight: AtomicU64,
    answered: [AtomicU64; CODES.len()],
    plain_bytes: AtomicU64,
    gzip_bytes: AtomicU64,
}

/// One of the concurrent scrapes; freed when the scrape ends or is cancelled.
struct ScrapeSlot<'a>(&'a ScrapeCounts);

impl Drop for ScrapeSlot<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Scraper {
    /// Serves `snapshots` to at most `max_requests` concurrent scrapes; 0 is no limit.
    pub fn new(snapshots: Snapshots, max_requests: u64) -> Self {
        Self {
            snapshots,
            max_requests,
            counts: Arc::default(),
        }
    }

    /// Answers one scrape; for HEAD hyper leaves the body out.
    pub async fn answer<B>(&self, request: &Request<B>) -> HttpResponse {
        let encoding = negotiate::encoding(request.headers());
        let result = self.metrics(request, encoding).await;
        let (mut response, bytes) = match result {
            Ok((response, bytes)) => (response, bytes as u64),
            Err(error) => (response::error(error), 0),
        };
        let vary = HeaderValue::from_static("Accept, Accept-Encoding");
        response.headers_mut().insert(VARY, vary);
        let code = response.status().as_u16();
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
        response
    }

    /// The metrics in the requested form, and their size as sent.
    async fn metrics<B>(
        &self,
        request: &Request<B>,
        encoding: Encoding,
    ) -> Result<(HttpResponse, usize), HttpError> {
        let _slot = self.enter()?;
        let query = request.uri().query().unwrap_or_default();
        let sections = sections(query).map_err(bad_request)?;
        let timeout = scrape_timeout(request.headers()).map_err(bad_request)?;
        let format = negotiate::format(request.headers());
        let snapshot = self.snapshot(timeout).await?;
        let body = snapshot
            .render(sections, format, encoding, || self.counts.read())
            .map_err(|reason| internal_error(format!("the metrics cannot be written: {reason}")))?;
        let bytes = body.len();
        let mut response = response::ok(format.content_type(), body);
        if encoding == Encoding::Gzip {
            let gzip = HeaderValue::from_static("gzip");
            response.headers_mut().insert(CONTENT_ENCODING, gzip);
        }
        Ok((response, bytes))
    }

    fn enter(&self) -> Result<ScrapeSlot<'_>, HttpError> {
        let before = self.counts.in_flight.fetch_add(1, Relaxed);
        let slot = ScrapeSlot(&self.counts);
        if self.max_requests == 0 || before < self.max_requests {
            return Ok(slot);
        }
        Err(unavailable(format!(
            "{} scrapes are waiting for their answers, and no more may (--web.max-requests); scrape less often",
            self.max_requests
        )))
    }

    async fn snapshot(
        &self,
        timeout: Option<ScrapeTimeout>,
    ) -> Result<Arc<RenderedSnapshot>, HttpError> {
        let snapshot = self.snapshots.take();
        let taken = match timeout {
            None => snapshot.await,
            Some(timeout) => tokio::time::timeout(timeout.for_snapshot(), snapshot)
                .await
                .map_err(|_| unavailable(timeout.exceeded()))?,
        };
        taken.map_err(|error| unavailable(error.to_string()))
    }
}

impl ScrapeCounts {
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
struct ScrapeTimeout(Duration);

impl ScrapeTimeout {
    /// The part of it that may pass before the response.
    fn for_snapshot(self) -> Duration {
        self.0 - TRANSFER_RESERVE.min(self.0 / 2)
    }

    fn exceeded(self) -> String {
        format!(
            "no snapshot within {:?}; the scraper waits {:?} (its scrape_timeout), of which {:?} are reserved for the transfer",
            self.for_snapshot(),
            self.0,
            self.0 - self.for_snapshot(),
        )
    }
}

/// How long the scraper waits, from its header. As in blackbox_exporter, text that is no number is an
/// error (there a 500, though the mistake is the scraper's), and a useless number is ignored: 0,
/// negative, or infinite.
fn scrape_timeout(headers: &HeaderMap) -> Result<Option<ScrapeTimeout>, String> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else {
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
    let timeout = Duration::try_from_secs_f64(seconds).ok();
    Ok(timeout.filter(|time| !time.is_zero()).map(ScrapeTimeout))
}

/// The sections that a query selects by `collect[]` or leaves out by `exclude[]`, as in node_exporter;
/// other parameters are ignored.
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
    fn sections_are_selected_or_left_out() {
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
    fn scrapers_send_their_timeout() {
        let check = |value: &[u8], expected: Result<Option<u64>, ()>| {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT_HEADER, HeaderValue::from_bytes(value).unwrap());
            let found =
                scrape_timeout(&headers).map_err(|reason| assert!(reason.contains("such as 10")));
            let found = found.map(|timeout| timeout.map(|timeout| timeout.for_snapshot()));
            assert_eq!(
                found,
                expected.map(|ms| ms.map(Duration::from_millis)),
                "{value:?}"
            );
        };
        check(b"10", Ok(Some(9_500)));
        check(b"1.25", Ok(Some(750)));
        check(b"1", Ok(Some(500)));
        // The reserve would be all of it.
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
        assert_eq!(scrape_timeout(&HeaderMap::new()), Ok(None));
    }
}
