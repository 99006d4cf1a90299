//! Which path gets which response.
//!
//! # Invariants
//! No request body is read.

use std::str::FromStr;

use hyper::{Method, Request, StatusCode};

use super::{
    api::{self, Api},
    client::ClientIdentity,
    response::{self, HttpError, HttpResponse},
    sampler::{SnapshotError, Snapshots},
    scrape::{self, Scraper},
};

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

/// Every route, and what answers it; cheap to clone.
#[derive(Clone)]
pub struct Routes {
    snapshots: Snapshots,
    scraper: Scraper,
    telemetry: TelemetryPath,
    api: Api,
}

impl Routes {
    /// Serves `snapshots` as metrics at `telemetry`, and `api`.
    #[must_use]
    pub fn new(snapshots: Snapshots, telemetry: TelemetryPath, api: Api) -> Self {
        Self {
            scraper: Scraper::new(snapshots.clone(), scrape::MAX_REQUESTS),
            snapshots,
            telemetry,
            api,
        }
    }

    /// Limits concurrent scrapes; 0 is no limit.
    #[must_use]
    pub fn with_max_requests(mut self, max_requests: u64) -> Self {
        self.scraper = Scraper::new(self.snapshots.clone(), max_requests);
        self
    }

    /// Answers one request of `client`; hyper leaves the body out for HEAD, that of a stream too.
    pub async fn answer<B>(&self, request: Request<B>, client: ClientIdentity) -> HttpResponse {
        let path = request.uri().path();
        let known = path == self.telemetry.0
            || matches!(
                path,
                "/" | "/-/healthy" | "/-/ready" | api::CONNECTIONS | api::DEATHS | api::EVENTS
            );
        if !known {
            return response::plain(StatusCode::NOT_FOUND, "no such page; see /");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return response::method_not_allowed();
        }
        match path {
            "/" => response::html(self.index()),
            "/-/healthy" => response::plain(StatusCode::OK, "healthy"),
            "/-/ready" if self.snapshots.ready() => response::plain(StatusCode::OK, "ready"),
            "/-/ready" => {
                response::error(response::unavailable(SnapshotError::Starting.to_string()))
            }
            api::CONNECTIONS | api::DEATHS | api::EVENTS => {
                let allowed = api::may_see_peers(client, request.headers());
                match allowed {
                    Ok(()) => self.api(&request).await.unwrap_or_else(response::error),
                    Err(refusal) => response::error(refusal),
                }
            }
            _ => self.scraper.answer(&request).await,
        }
    }

    async fn api<B>(&self, request: &Request<B>) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        match request.uri().path() {
            api::CONNECTIONS => self.blocking(move |api| api.connections(&query)).await,
            api::DEATHS => self.blocking(move |api| api.deaths(&query)).await,
            _ => {
                let last = request.headers().get("last-event-id");
                let last = last.and_then(|id| id.to_str().ok());
                self.api.events(&query, last).map(response::event_stream)
            }
        }
    }

    /// Reading takes as long as a walk: not on a thread that serves other requests.
    async fn blocking(
        &self,
        read: impl FnOnce(&Api) -> Result<String, HttpError> + Send + 'static,
    ) -> Result<HttpResponse, HttpError> {
        let api = self.api.clone();
        let read = tokio::task::spawn_blocking(move || read(&api));
        let result = read.await.unwrap_or_else(|_| {
            let reason = "reading failed; see the agent's log";
            Err(response::internal_error(reason))
        });
        result.map(response::json)
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
