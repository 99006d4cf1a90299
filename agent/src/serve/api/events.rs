//! `/api/v1/events`: events as they arrive (server-sent events, WHATWG HTML 9.2).
//!
//! # Invariants
//! A client that does not read holds only its own stream, and for a limited time.

use std::{sync::Arc, time::Duration};

use hyper::body::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    query::{filter, flag, since},
    state::{Api, MAX_STREAMS},
};
use crate::serve::{
    feed::{FeedItem, FeedWatcher},
    response::{EventStream, HttpError, bad_request, unavailable},
};
use halfopen_core::{
    filter::{Filter, Subject},
    render::events::{self, Form},
};

/// Time between signs of life of an idle stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client may read nothing. Over HTTP/2 it can leave data unread and still answer pings.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// The size at which a chunk is sent.
const CHUNK: usize = 64 * 1024;
/// Chunks that may wait for a client.
const CHUNKS: usize = 4;
/// Events filtered without a pause, so that a filter that rejects nearly all does not block the thread.
const BATCH: usize = 1_024;

impl Api {
    /// Starts a stream of the events that match a query; `last_id` is the number of the last death that
    /// a reconnecting client has seen.
    ///
    /// # Errors
    /// When the query is wrong, or too many streams are open.
    pub fn events(&self, query: &str, last_id: Option<&str>) -> Result<EventStream, HttpError> {
        let mut query = EventsQuery::parse(query).map_err(bad_request)?;
        // A reconnecting client continues where it stopped, as far as deaths are kept.
        if let Some(last) = last_id.and_then(|id| id.parse().ok()) {
            query.since = Some(last);
        }
        let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() else {
            let reason = format!("{MAX_STREAMS} streams of events are open already; close one");
            return Err(unavailable(reason));
        };
        let watcher = self.feed.watch(!query.deaths, query.since);
        let (chunks, stream) = mpsc::channel(CHUNKS);
        let sending = send_events(watcher, query.filter, chunks, self.stop.clone());
        tokio::spawn(async move {
            sending.await;
            drop(permit);
        });
        Ok(EventStream::new(stream))
    }
}

/// Sends events until the client closes or reads nothing for [`SEND_TIMEOUT`], or the agent ends.
async fn send_events(
    mut watcher: FeedWatcher,
    filter: Filter,
    chunks: mpsc::Sender<Bytes>,
    mut stop: watch::Receiver<bool>,
) {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut chunk = String::new();
        tokio::select! {
            item = watcher.next() => {
                let Some(item) = item else { return };
                write(&mut chunk, &item, &filter);
            }
            // The first tick is immediate: it shows the client that the stream has started.
            _ = heartbeat.tick() => chunk.push_str(": alive\n\n"),
            () = chunks.closed() => return,
            _ = stop.wait_for(|stop| *stop) => return,
        }
        for _ in 0..BATCH {
            if chunk.len() >= CHUNK {
                break;
            }
            let Some(item) = watcher.try_next() else {
                break;
            };
            write(&mut chunk, &item, &filter);
        }
        if chunk.is_empty() {
            continue;
        }
        tokio::select! {
            sent = timeout(SEND_TIMEOUT, chunks.send(chunk.into())) => {
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

fn write(out: &mut String, item: &FeedItem, filter: &Filter) {
    let (name, id, json) = match item {
        FeedItem::Event(event, _) if !filter.matches_event(event) => return,
        FeedItem::Event(event, number) => (
            event.kind.as_str(),
            *number,
            Form::new(event, *number).json(),
        ),
        FeedItem::Missed(events) => (events::DROPPED, None, events::dropped_json(*events)),
    };
    // Numbers and strings can always be written.
    let Ok(data) = json else { return };
    out.extend(["event: ", name, "\n"]);
    if let Some(id) = id {
        out.push_str(&format!("id: {id}\n"));
    }
    out.extend(["data: ", &data, "\n\n"]);
}

/// The parameters of a query.
#[derive(Debug, PartialEq, Eq)]
struct EventsQuery {
    deaths: bool,
    since: Option<u64>,
    filter: Filter,
}

impl EventsQuery {
    fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self {
            deaths: false,
            since: None,
            filter: Filter::default(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "deaths" => parsed.deaths = flag("deaths", &value)?,
                "since" => parsed.since = Some(since(&value)?),
                "filter" => parsed.filter = filter(Subject::Event, &value)?,
                other => {
                    return Err(format!(
                        "there is no parameter {other:?}; there are deaths, since and filter"
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::serve::feed::Feed;
    use halfopen_core::model::event::{Listener, Missed};

    /// On a paused clock, which moves on whenever every task waits.
    #[test]
    fn a_client_that_reads_nothing_is_disconnected() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let source = Feed::new(1);
            let (chunks, mut stream) = mpsc::channel(1);
            let (_stop, stopped) = watch::channel(false);
            let watcher = source.watch(true, None);
            let began = Instant::now();
            let sending = send_events(watcher, Filter::default(), chunks, stopped);
            // The first heartbeat fills the channel; this one waits behind it.
            let lost = Duration::from_secs(1);
            let something = async {
                tokio::time::sleep(lost).await;
                source.missed(Missed {
                    events: 1,
                    deaths: 0,
                });
            };
            let both = async { tokio::join!(sending, something) };
            let ended = timeout(Duration::from_secs(600), both).await;
            assert!(ended.is_ok(), "it is served for ever");
            assert_eq!(began.elapsed(), lost + SEND_TIMEOUT);
            assert!(stream.recv().await.is_some());
            assert!(stream.recv().await.is_none());
        });
    }

    #[test]
    fn queries() {
        assert_eq!(
            EventsQuery::parse("deaths&since=0&filter=dport+%3D+:443"),
            Ok(EventsQuery {
                deaths: true,
                since: Some(0),
                filter: Filter::parse("dport = :443").unwrap(),
            })
        );
        for (wrong, said) in [
            ("deaths=yes", "deaths is"),
            ("since=", "since is"),
            ("limit=1", "no parameter \"limit\""),
        ] {
            let reason = EventsQuery::parse(wrong).unwrap_err();
            assert!(reason.contains(said), "{wrong}: {reason}");
        }
    }
}
