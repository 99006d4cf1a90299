//! Events from a running agent, over HTTP.
//! It must never attach anything, nor need root.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request as HttpRequest, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, HOST},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};

use super::{
    WatchArgs,
    output::{Output, Reader},
};
use crate::render::events::{DROPPED, Form};

/// For how long an agent may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// For how long it may be silent: three of its heartbeats.
const SILENT_FOR: Duration = Duration::from_secs(45);
/// The longest refusal that is shown.
const REFUSAL: usize = 500;

/// What is asked of which agent.
pub struct Request {
    host: String,
    port: u16,
    path: String,
}

impl Request {
    /// As typed.
    pub fn new(from: &str, args: &WatchArgs) -> anyhow::Result<Self> {
        let wrong = || {
            anyhow!(
                "--from {from}: not the address of an agent; write http://HOST:PORT, such as http://127.0.0.1:9841"
            )
        };
        let uri: Uri = from.parse().map_err(|_| wrong())?;
        let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
        let host = uri.host().filter(|_| plain).ok_or_else(wrong)?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("deaths", if args.deaths { "true" } else { "false" });
        if args.since_start {
            query.append_pair("since", "0");
        }
        if !args.filter.typed.is_empty() {
            query.append_pair("filter", &args.filter.typed);
        }
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(80),
            path: format!("/api/v1/events?{}", query.finish()),
        })
    }

    fn agent(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }
}

/// Passes on what the agent tells, until it ends or nobody reads any more.
pub fn run(request: &Request, output: Output) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(follow(request, output))
}

async fn follow(request: &Request, mut output: Output) -> anyhow::Result<()> {
    let agent = request.agent();
    let mut body = timeout(ANSWERS_WITHIN, ask(request))
        .await
        .map_err(|_| anyhow!("no answer from {agent} within {ANSWERS_WITHIN:?}"))??;
    let mut parser = Parser::default();
    loop {
        let frame = timeout(SILENT_FOR, body.frame()).await.map_err(|_| {
            anyhow!(
                "the agent at {agent} has not been heard for {SILENT_FOR:?}; check that it runs"
            )
        })?;
        let Some(frame) = frame else {
            bail!("the agent at {agent} has ended");
        };
        let frame = frame.with_context(|| format!("the connection to {agent} broke"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        for line in parser.take(&data) {
            write(&line, &mut output).with_context(|| format!("cannot read what {agent} tells"))?;
        }
        if output.flush()? == Reader::Gone {
            return Ok(());
        }
    }
}

async fn ask(request: &Request) -> anyhow::Result<Incoming> {
    let agent = request.agent();
    // Brackets are for URLs alone.
    let host = request.host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, request.port))
        .await
        .with_context(|| format!("cannot reach an agent at {agent}; check that it runs there"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body.
    tokio::spawn(connection);
    let question = HttpRequest::get(&request.path)
        .header(HOST, format!("{}:{}", request.host, request.port))
        .header(ACCEPT, "text/event-stream")
        .body(Empty::<Bytes>::new())?;
    let answer = sender
        .send_request(question)
        .await
        .with_context(|| format!("no answer from {agent}"))?;
    if answer.status() == 200 {
        return Ok(answer.into_body());
    }
    let status = answer.status();
    let said = answer.into_body().collect().await?.to_bytes();
    let said = String::from_utf8_lossy(&said[..said.len().min(REFUSAL)]).into_owned();
    bail!("{agent} refused ({status}): {}", said.trim())
}

/// Server-sent events, as far as their data goes.
#[derive(Default)]
struct Parser {
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
}

impl Parser {
    /// The data of the events that are complete; each is one line.
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let text = String::from_utf8_lossy(&whole);
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(str::to_owned).collect()
    }
}

#[derive(Deserialize)]
struct Dropped {
    what: String,
    events: u64,
}

fn write(json: &str, output: &mut Output) -> anyhow::Result<()> {
    match Form::parse(json) {
        Ok(form) => output.event(&form),
        Err(reason) => match serde_json::from_str(json) {
            Ok(Dropped { what, events }) if what == DROPPED => {
                output.dropped(events);
                Ok(())
            }
            _ => bail!("{reason}; is it of another version?"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_may_come_in_pieces() {
        let mut parser = Parser::default();
        assert_eq!(parser.take(b": alive\n\nevent: death\nid: 1\nda"), [""; 0]);
        assert_eq!(parser.take(b"ta: {\"a\":\"\xc3"), [""; 0]);
        assert_eq!(
            parser.take(b"\xa9\"}\n\ndata: 2\ndata: 3"),
            ["{\"a\":\"é\"}", "2"]
        );
        assert_eq!(parser.take(b"\n"), ["3"]);
    }
}
