//! `/api/v1/deaths`, the kept certificates, and `/api/v1/events`, events as they arrive (server-sent
//! events, WHATWG HTML 9.2).
//! It must never let a client that does not read hold anything but its own place.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    StatusCode,
    body::{Body, Bytes, Frame},
};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Api, Refusal, STREAMS, filter, flag};
use crate::serve::feed::{Heard, Watcher};
use halfopen_core::{
    filter::Filter,
    render::events::{self, Deaths, Form},
};

/// Certificates of one answer, where the question sets no limit.
const DEFAULT_LIMIT: usize = 1_000;
/// Certificates of one answer at most.
const MOST: usize = 100_000;
/// How often a silent stream shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// For how long a client may take nothing of what waits for it: over HTTP/2 it can leave it unread and
/// still show that it lives.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is sent at once at most, where there is much.
const CHUNK: usize = 64 * 1024;
/// Chunks that may wait for a client.
const CHUNKS: usize = 4;
/// Events that are looked at in one go, so that a filter that few pass holds up nobody else.
const BATCH: usize = 1_024;

impl Api {
    /// The kept certificates that a query asks for, as JSON, the newest first.
    ///
    /// # Errors
    /// When the query is wrong.
    pub fn deaths(&self, query: &str) -> Result<String, Refusal> {
        let question = DeathsQuestion::parse(query).map_err(bad)?;
        let kept = self.feed.deaths();
        let wanted = |event: &_| question.filter.matches_event(event);
        let mut shown: Vec<_> = kept
            .since(question.since)
            .rev()
            .filter(|certificate| wanted(&certificate.event))
            .collect();
        let beyond_limit = shown.len().saturating_sub(question.limit);
        shown.truncate(question.limit);
        events::deaths_json(&Deaths {
            shown,
            beyond_limit,
            arrived: kept.arrived(),
            lost: self.feed.lost(),
            kept_at_most: self.feed.kept_at_most(),
        })
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }

    /// Begins a stream of the events that a query asks for; `last_id` is the number of the certificate
    /// that the client has seen last, if it comes again.
    ///
    /// # Errors
    /// When the query is wrong, or too many streams are open.
    pub fn events(&self, query: &str, last_id: Option<&str>) -> Result<Stream, Refusal> {
        let mut question = EventsQuestion::parse(query).map_err(bad)?;
        // A client that comes again wants what it missed, if it is still there.
        if let Some(last) = last_id.and_then(|id| id.parse().ok()) {
            question.since = Some(last);
        }
        let Ok(place) = Arc::clone(&self.streams).try_acquire_owned() else {
            let reason = format!("{STREAMS} streams of events are open already; close one");
            return Err((StatusCode::SERVICE_UNAVAILABLE, reason));
        };
        let watcher = self.feed.watch(!question.deaths, question.since);
        let (chunks, stream) = mpsc::channel(CHUNKS);
        let stop = self.stop.clone();
        let passing = feed(watcher, question.filter, chunks, stop, PATIENCE);
        tokio::spawn(async move {
            passing.await;
            drop(place);
        });
        Ok(Stream(stream))
    }
}

fn bad(reason: String) -> Refusal {
    (StatusCode::BAD_REQUEST, reason)
}

/// Passes events on until the client has gone, or reads nothing for `patience`, or the agent ends.
async fn feed(
    mut watcher: Watcher,
    filter: Filter,
    chunks: mpsc::Sender<Bytes>,
    mut stop: watch::Receiver<bool>,
    patience: Duration,
) {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut chunk = String::new();
        tokio::select! {
            heard = watcher.next() => {
                let Some(heard) = heard else { return };
                write(&mut chunk, &heard, &filter);
            }
            // The first tick is at once: it tells the client that the stream has begun.
            _ = heartbeat.tick() => chunk.push_str(": alive\n\n"),
            () = chunks.closed() => return,
            _ = stop.wait_for(|stop| *stop) => return,
        }
        for _ in 0..BATCH {
            if chunk.len() >= CHUNK {
                break;
            }
            let Some(heard) = watcher.next_at_hand() else {
                break;
            };
            write(&mut chunk, &heard, &filter);
        }
        if chunk.is_empty() {
            continue;
        }
        tokio::select! {
            sent = timeout(patience, chunks.send(chunk.into())) => {
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

fn write(out: &mut String, heard: &Heard, filter: &Filter) {
    let (name, id, json) = match heard {
        Heard::Event(event, _) if !filter.matches_event(event) => return,
        Heard::Event(event, number) => (
            event.what.as_str(),
            *number,
            Form::new(event, *number).json(),
        ),
        Heard::Missed(events) => (events::DROPPED, None, events::dropped_json(*events)),
    };
    // Numbers and strings can always be written.
    let Ok(data) = json else { return };
    out.extend(["event: ", name, "\n"]);
    if let Some(id) = id {
        out.push_str(&format!("id: {id}\n"));
    }
    out.extend(["data: ", &data, "\n\n"]);
}

/// The body of an answer that goes on.
pub struct Stream(mpsc::Receiver<Bytes>);

impl Body for Stream {
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

/// What a query about certificates asks for.
#[derive(Debug, PartialEq, Eq)]
struct DeathsQuestion {
    limit: usize,
    since: u64,
    filter: Filter,
}

impl DeathsQuestion {
    fn parse(query: &str) -> Result<Self, String> {
        let mut question = Self {
            limit: DEFAULT_LIMIT,
            since: 0,
            filter: Filter::default(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "limit" => {
                    let number = value.parse().ok();
                    question.limit = number
                        .filter(|limit| (1..=MOST).contains(limit))
                        .ok_or_else(|| format!("limit is a number from 1 to {MOST}"))?;
                }
                "since" => question.since = number(&value)?,
                "filter" => question.filter = filter(&value)?,
                other => {
                    return Err(format!(
                        "there is no parameter {other:?}; there are limit, since and filter"
                    ));
                }
            }
        }
        Ok(question)
    }
}

/// What a query about events asks for.
#[derive(Debug, PartialEq, Eq)]
struct EventsQuestion {
    deaths: bool,
    since: Option<u64>,
    filter: Filter,
}

impl EventsQuestion {
    fn parse(query: &str) -> Result<Self, String> {
        let mut question = Self {
            deaths: false,
            since: None,
            filter: Filter::default(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "deaths" => question.deaths = flag("deaths", &value)?,
                "since" => question.since = Some(number(&value)?),
                "filter" => question.filter = filter(&value)?,
                other => {
                    return Err(format!(
                        "there is no parameter {other:?}; there are deaths, since and filter"
                    ));
                }
            }
        }
        Ok(question)
    }
}

fn number(value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| "since is the number of a certificate, 0 for all that are kept".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Feed;
    use halfopen_core::model::event::{Listener, Missed};

    #[test]
    fn one_who_reads_nothing_is_left() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let told = Feed::new(1);
            let (chunks, mut stream) = mpsc::channel(1);
            let (_stop, stopped) = watch::channel(false);
            let watcher = told.watch(true, None);
            let patience = Duration::from_millis(100);
            let passing = feed(watcher, Filter::default(), chunks, stopped, patience);
            // The first heartbeat fills the channel; this one waits behind it.
            let something = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                told.missed(Missed {
                    events: 1,
                    deaths: 0,
                });
            };
            let both = async { tokio::join!(passing, something) };
            let ended = timeout(Duration::from_secs(10), both).await;
            assert!(ended.is_ok(), "it is endured for ever");
            assert!(stream.recv().await.is_some());
            assert!(stream.recv().await.is_none());
        });
    }

    #[test]
    fn questions() {
        let filter = Filter::parse("dport = :443").unwrap();
        assert_eq!(
            DeathsQuestion::parse("limit=5&since=7&filter=dport+%3D+:443"),
            Ok(DeathsQuestion {
                limit: 5,
                since: 7,
                filter: filter.clone(),
            })
        );
        assert_eq!(
            EventsQuestion::parse("deaths&since=0&filter=dport+%3D+:443"),
            Ok(EventsQuestion {
                deaths: true,
                since: Some(0),
                filter,
            })
        );
        for (wrong, said) in [
            ("limit=0", "limit is"),
            ("limit=100001", "limit is"),
            ("since=-1", "since is"),
            ("since=x", "since is"),
            ("filter=state+nonsense", "filter, at"),
            ("cause=x", "no parameter \"cause\""),
        ] {
            let reason = DeathsQuestion::parse(wrong).unwrap_err();
            assert!(reason.contains(said), "{wrong}: {reason}");
        }
        for (wrong, said) in [
            ("deaths=yes", "deaths is"),
            ("since=", "since is"),
            ("limit=1", "no parameter \"limit\""),
        ] {
            let reason = EventsQuestion::parse(wrong).unwrap_err();
            assert!(reason.contains(said), "{wrong}: {reason}");
        }
    }
}
