//! Events from a running agent, over HTTP.
//!
//! # Invariants
//! It attaches nothing and needs no root. A slow reader does not hold up the agent.

use std::{io, sync::Arc, thread, time::Duration};

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request as HttpRequest, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{
    address::{self, Address},
    config::WatchConfig,
    output::{EventSource, Output, Stop, pass_on},
};
use crate::serve::lag_counting_broadcast::{Received, Receiver, Sender};
use halfopen_core::render::events::{Form, Line};

/// How long an agent may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may send nothing: three of its heartbeats.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);
/// How much of a refusal is shown.
const MAX_REFUSAL_BYTES: usize = 500;
/// The longest line that an agent may send.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// Events that wait for a slow reader.
const MAX_QUEUED_EVENTS: usize = 16_384;

/// A request for events.
pub struct Request {
    agent: Address,
    path: String,
}

impl Request {
    /// The events of `config`, from this agent.
    pub fn new(agent: &Address, config: &WatchConfig) -> Self {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("deaths", if config.deaths { "true" } else { "false" });
        if config.since_start {
            query.append_pair("since", "0");
        }
        if !config.filter_text.is_empty() {
            query.append_pair("filter", &config.filter_text);
        }
        Self {
            agent: agent.clone(),
            path: format!("/api/v1/events?{}", query.finish()),
        }
    }
}

/// Writes the agent's events until it ends, nobody reads any more, or `stop`.
pub fn run(request: Request, mut output: Output, mut stop: Stop) -> anyhow::Result<()> {
    let sender = Sender::new(MAX_QUEUED_EVENTS);
    let mut receiver = sender.subscribe();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")
    };
    let reading = runtime()?;
    // A thread of its own keeps reading while output is blocked: the agent cuts off slow clients.
    let reader = thread::Builder::new()
        .name("agent".into())
        .spawn(move || reading.block_on(read(&request, &sender)))
        .context("cannot start a thread")?;
    let ended = runtime()?.block_on(pass_on(&mut receiver, &mut output, &mut stop))?;
    if !ended {
        return Ok(());
    }
    reader.join().unwrap_or_else(|_| {
        Err(anyhow!(
            "reading events from the agent failed; this is a bug in halfopen, please report it"
        ))
    })
}

impl EventSource for Receiver<Arc<Form>> {
    async fn next(&mut self, output: &mut Output) -> anyhow::Result<bool> {
        let got = Self::next(self).await;
        write(output, got)
    }

    fn next_at_hand(&mut self, output: &mut Output) -> anyhow::Result<bool> {
        let got = Self::try_next(self);
        write(output, got)
    }
}

fn write(output: &mut Output, got: Option<Received<Arc<Form>>>) -> anyhow::Result<bool> {
    match got {
        None => return Ok(false),
        Some(Received::Value(form)) => output.event(&form)?,
        Some(Received::Missed(events)) => output.dropped(events)?,
    }
    Ok(true)
}

/// Reads the agent's events. It ends with an error only: an agent has no last event.
async fn read(request: &Request, sender: &Sender<Arc<Form>>) -> anyhow::Result<()> {
    let agent = &request.agent;
    let mut body = timeout(ANSWER_TIMEOUT, ask(request)).await.map_err(|_| {
        anyhow!(
            "no answer from {agent} within {ANSWER_TIMEOUT:?}; check that an agent answers there"
        )
    })??;
    let mut parser = Parser::default();
    loop {
        let frame = timeout(SILENCE_TIMEOUT, body.frame()).await.map_err(|_| {
            anyhow!("no data from the agent at {agent} for {SILENCE_TIMEOUT:?}; check that it runs")
        })?;
        let Some(frame) = frame else {
            bail!("the agent at {agent} has ended");
        };
        let frame = frame.with_context(|| format!("the connection to {agent} broke"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let wrong = |reason| {
            anyhow!(
                "cannot parse events from {agent}: {reason}; is it another version of halfopen?"
            )
        };
        for line in parser.take(&data).map_err(wrong)? {
            match Form::parse(&line).map_err(wrong)? {
                Line::Event(form) => sender.send(Arc::from(form)),
                Line::Dropped(events) => sender.missed(events),
            }
        }
    }
}

/// A connection to an agent, over TCP or a unix socket.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(agent: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match agent {
        Address::Http { host, port } => {
            Box::new(TcpStream::connect((address::name(host), *port)).await?)
        }
        Address::Socket(path) => Box::new(UnixStream::connect(path).await?),
    })
}

async fn ask(request: &Request) -> anyhow::Result<Incoming> {
    let agent = &request.agent;
    let stream = connect(agent)
        .await
        .with_context(|| format!("cannot reach an agent at {agent}; check that it runs there"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body.
    tokio::spawn(connection);
    let question = HttpRequest::get(&request.path)
        .header(HOST, agent.authority())
        .header(ACCEPT, "text/event-stream")
        .body(Empty::<Bytes>::new())?;
    let answer = sender
        .send_request(question)
        .await
        .with_context(|| format!("{agent} does not answer like a halfopen agent"))?;
    let status = answer.status();
    if status != 200 {
        let said = refusal(answer).await;
        bail!("{agent} refused ({status}): {said}");
    }
    let kind = answer.headers().get(CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        bail!("{agent} answers, but not with events; check that it is a halfopen agent");
    }
    Ok(answer.into_body())
}

/// The beginning of a refusal's text, its control characters escaped.
async fn refusal(answer: Response<Incoming>) -> String {
    let mut body = answer.into_body();
    let mut said = Vec::new();
    while said.len() < MAX_REFUSAL_BYTES {
        let Some(Ok(frame)) = body.frame().await else {
            break;
        };
        said.extend(frame.into_data().unwrap_or_default());
    }
    said.truncate(MAX_REFUSAL_BYTES);
    let said = String::from_utf8_lossy(&said);
    let words: Vec<_> = said
        .split_whitespace()
        .map(|word| word.escape_debug().to_string())
        .collect();
    words.join(" ")
}

/// Server-sent events, as far as their data goes.
#[derive(Default)]
struct Parser {
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
}

impl Parser {
    /// The data of the events that are complete; each is one line.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        self.rest.extend_from_slice(bytes);
        let whole = match self.rest.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => self.rest.drain(..=end).collect(),
            None => Vec::new(),
        };
        if self.rest.len() > MAX_LINE_BYTES {
            return Err(format!("a line has more than {MAX_LINE_BYTES} bytes"));
        }
        let text = String::from_utf8_lossy(&whole);
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        Ok(data.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_may_come_in_pieces() {
        let mut parser = Parser::default();
        let mut check = |bytes: &[u8], expected: &[&str]| {
            assert_eq!(parser.take(bytes).unwrap(), expected);
        };
        check(b": alive\n\nevent: death\nid: 1\nda", &[]);
        check(b"ta: {\"a\":\"\xc3", &[]);
        check(b"\xa9\"}\n\ndata: 2\ndata: 3", &["{\"a\":\"é\"}", "2"]);
        check(b"\n", &["3"]);
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        assert!(parser.take(&long).unwrap_err().contains("65536 bytes"));
    }
}
