//! What each path answers.
//! It must never read a request's body, nor answer with more than was asked for.

use std::str::FromStr;

use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::{
    api::{self, Api, Refusal, Stream},
    sampler::{Refused, Snapshots},
    scrape::{self, Scraper},
    visitor::Visitor,
};

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream";
const HTML: &str = "text/html; charset=utf-8";

/// The path of the metrics, such as `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryPath(String);

/// Why a path cannot be the path of the metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not a path of plain characters.
    #[error("a path begins with / and holds letters, digits and any of / . _ ~ -")]
    NotAPath,
    /// The path has another meaning.
    #[error("this path is taken; choose another, such as /metrics")]
    Taken,
}

impl FromStr for TelemetryPath {
    type Err = PathError;

    fn from_str(typed: &str) -> Result<Self, PathError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._~-".contains(c);
        if !typed.starts_with('/') || !typed.chars().all(plain) {
            return Err(PathError::NotAPath);
        }
        if typed == "/" || typed.starts_with("/-/") || typed.starts_with("/api/") {
            return Err(PathError::Taken);
        }
        Ok(Self(typed.to_owned()))
    }
}

/// All that the server answers.
#[derive(Clone)]
pub struct Routes {
    snapshots: Snapshots,
    scraper: Scraper,
    telemetry: TelemetryPath,
    api: Api,
}

/// What is answered.
pub type Answer = Response<Either<Full<Bytes>, Stream>>;

/// Whether an answer goes on until somebody ends it.
pub fn is_stream(answer: &Answer) -> bool {
    matches!(answer.body(), Either::Right(_))
}

/// To one whose name or password is wrong or missing.
pub fn unauthorized() -> Answer {
    let mut answer = plain(StatusCode::UNAUTHORIZED, "Unauthorized\n");
    let basic = HeaderValue::from_static("Basic");
    answer.headers_mut().insert(WWW_AUTHENTICATE, basic);
    answer
}

/// While so many passwords are looked at that one more would only wait.
pub fn too_many_log_ins() -> Answer {
    refuse((
        StatusCode::SERVICE_UNAVAILABLE,
        "too many passwords are being checked; try again in a second".into(),
    ))
}

impl Routes {
    /// Answers from `snapshots`, the metrics at `telemetry`, and from `api`.
    #[must_use]
    pub fn new(snapshots: Snapshots, telemetry: TelemetryPath, api: Api) -> Self {
        Self {
            scraper: Scraper::new(snapshots.clone(), scrape::MAX_REQUESTS),
            snapshots,
            telemetry,
            api,
        }
    }

    /// Lets at most so many scrapes wait at one time; 0 is no limit.
    #[must_use]
    pub fn with_max_requests(mut self, max_requests: u64) -> Self {
        self.scraper = Scraper::new(self.snapshots.clone(), max_requests);
        self
    }

    /// Answers one request of `visitor`; hyper leaves the body out for HEAD, that of a stream too.
    pub async fn answer<B>(&self, request: Request<B>, visitor: Visitor) -> Answer {
        let path = request.uri().path();
        let known = path == self.telemetry.0
            || matches!(
                path,
                "/" | "/-/healthy" | "/-/ready" | api::CONNECTIONS | api::DEATHS | api::EVENTS
            );
        if !known {
            return plain(StatusCode::NOT_FOUND, "no such page; see /\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match path {
            "/" => respond(StatusCode::OK, HTML, self.index().into()),
            "/-/healthy" => plain(StatusCode::OK, "healthy\n"),
            "/-/ready" if self.snapshots.ready() => plain(StatusCode::OK, "ready\n"),
            "/-/ready" => unavailable(Refused::Starting),
            api::CONNECTIONS | api::DEATHS | api::EVENTS => {
                if let Err(refusal) = api::admits(visitor, request.headers()) {
                    return refuse(refusal);
                }
                self.api(&request).await
            }
            _ => self.scraper.answer(&request).await,
        }
    }

    async fn api<B>(&self, request: &Request<B>) -> Answer {
        let query = request.uri().query().unwrap_or_default().to_owned();
        match request.uri().path() {
            api::CONNECTIONS => self.blocking(move |api| api.connections(&query)).await,
            api::DEATHS => self.blocking(move |api| api.deaths(&query)).await,
            _ => {
                let last = request.headers().get("last-event-id");
                let last = last.and_then(|id| id.to_str().ok());
                match self.api.events(&query, last) {
                    Ok(stream) => answer(StatusCode::OK, STREAM, Either::Right(stream)),
                    Err(refusal) => refuse(refusal),
                }
            }
        }
    }

    /// Reading takes as long as a walk: not on a thread that answers others.
    async fn blocking(
        &self,
        read: impl FnOnce(&Api) -> Result<String, Refusal> + Send + 'static,
    ) -> Answer {
        let api = self.api.clone();
        let read = tokio::task::spawn_blocking(move || read(&api));
        match read.await {
            Ok(Ok(text)) => respond(StatusCode::OK, JSON, text.into()),
            Ok(Err(refusal)) => refuse(refusal),
            Err(_) => refuse((
                StatusCode::INTERNAL_SERVER_ERROR,
                "reading failed; see the agent's log".into(),
            )),
        }
    }

    fn index(&self) -> String {
        let metrics = &self.telemetry.0;
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>halfopen</title></head>\n\
             <body><h1>halfopen {version}</h1>\n\
             <p>Watches TCP connections die: keepalive probes, timeouts and resets.</p>\n\
             <ul><li><a href=\"{metrics}\">metrics</a></li>\
             <li><a href=\"{connections}\">connections worth worrying about</a> (on this machine)</li>\
             <li><a href=\"{deaths}\">the latest deaths</a> (on this machine)</li>\
             <li><a href=\"{events}\">events as they happen</a> (on this machine)</li>\
             <li><a href=\"/-/healthy\">healthy</a></li>\
             <li><a href=\"/-/ready\">ready</a></li></ul></body></html>\n",
            version = env!("CARGO_PKG_VERSION"),
            connections = api::CONNECTIONS,
            deaths = api::DEATHS,
            events = api::EVENTS,
        )
    }
}

fn unavailable(refused: Refused) -> Answer {
    refuse((StatusCode::SERVICE_UNAVAILABLE, refused.to_string()))
}

pub(super) fn refuse((status, reason): Refusal) -> Answer {
    let mut answer = plain(status, &format!("{reason}\n"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

fn plain(status: StatusCode, text: &str) -> Answer {
    respond(status, PLAIN, text.to_owned().into())
}

pub(super) fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    answer(status, content_type, Either::Left(Full::new(body)))
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: Either<Full<Bytes>, Stream>,
) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_paths() {
        let parse = |typed: &str| typed.parse::<TelemetryPath>().map(|path| path.0);
        assert_eq!(parse("/metrics"), Ok("/metrics".into()));
        assert_eq!(parse("/a/b-c_d.e~f"), Ok("/a/b-c_d.e~f".into()));
        for wrong in ["", "metrics", "/a b", "/\"><script>", "/é", "/a?b"] {
            assert_eq!(parse(wrong), Err(PathError::NotAPath), "{wrong}");
        }
        for taken in ["/", "/-/ready", "/-/healthy", "/api/v1/connections"] {
            assert_eq!(parse(taken), Err(PathError::Taken), "{taken}");
        }
    }
}
