//! The responses of every route: bodies, headers, and errors with their status.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http_body_util::{Either, Full};
use hyper::{
    Response, StatusCode,
    body::{Body, Bytes, Frame},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use tokio::sync::mpsc;

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";
const HTML: &str = "text/html; charset=utf-8";

/// A response whose body is whole, or a stream.
pub type HttpResponse = Response<Either<Full<Bytes>, EventStream>>;

/// An error response: its status, and one line that says what is wrong.
pub type HttpError = (StatusCode, String);

/// A body without an end of its own.
pub struct EventStream(mpsc::Receiver<Bytes>);

impl EventStream {
    /// A body made of what is sent to this channel.
    pub const fn new(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self(chunks)
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Whether a response goes on until one side ends it.
pub fn is_stream(response: &HttpResponse) -> bool {
    matches!(response.body(), Either::Right(_))
}

/// 200 with a body of this type.
pub fn ok(content_type: &'static str, body: Bytes) -> HttpResponse {
    respond(StatusCode::OK, content_type, Either::Left(Full::new(body)))
}

/// 200 with JSON.
pub fn json(text: String) -> HttpResponse {
    ok(JSON, text.into())
}

/// 200 with an HTML page.
pub fn html(text: String) -> HttpResponse {
    ok(HTML, text.into())
}

/// 200 with a stream of server-sent events.
pub fn event_stream(stream: EventStream) -> HttpResponse {
    respond(StatusCode::OK, EVENT_STREAM, Either::Right(stream))
}

/// One line of plain text.
pub fn plain(status: StatusCode, text: &str) -> HttpResponse {
    let body = Bytes::from(format!("{text}\n"));
    respond(status, PLAIN, Either::Left(Full::new(body)))
}

/// The response of an error; a 503 says when to try again.
pub fn error((status, reason): HttpError) -> HttpResponse {
    let mut response = plain(status, &reason);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let retry = HeaderValue::from_static("1");
        response.headers_mut().insert(RETRY_AFTER, retry);
    }
    response
}

/// The error of a resource that cannot be had now.
pub fn unavailable(reason: impl Into<String>) -> HttpError {
    (StatusCode::SERVICE_UNAVAILABLE, reason.into())
}

/// The error of a wrong parameter or header.
pub fn bad_request(reason: String) -> HttpError {
    (StatusCode::BAD_REQUEST, reason)
}

/// The error of a fault of the agent's own.
pub fn internal_error(reason: impl Into<String>) -> HttpError {
    (StatusCode::INTERNAL_SERVER_ERROR, reason.into())
}

/// 405: every route is read only.
pub fn method_not_allowed() -> HttpResponse {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// 401: user or password are missing or wrong.
pub fn unauthorized() -> HttpResponse {
    let mut response = plain(StatusCode::UNAUTHORIZED, "Unauthorized");
    let basic = HeaderValue::from_static("Basic");
    response.headers_mut().insert(WWW_AUTHENTICATE, basic);
    response
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: Either<Full<Bytes>, EventStream>,
) -> HttpResponse {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}
