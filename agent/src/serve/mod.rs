//! The HTTP server: listens, takes snapshots on request, and serves them.
//!
//! # Invariants
//! Nothing is classified here: what a value means is decided by the model.

mod accept;
mod api;
mod client;
pub mod exposition;
mod feed;
mod http_connection;
pub mod lag_counting_broadcast;
mod limits;
mod listen;
mod negotiate;
mod rendered_snapshot;
mod response;
mod routes;
mod sampler;
mod scrape;
mod web_config;
mod write_timeout;

pub use accept::serve;
pub use api::{Api, ConnectionLister};
pub use client::{ClientIdentity, Peer};
pub use feed::{Feed, FeedItem, FeedWatcher};
pub use limits::ServerLimits;
pub use listen::{
    AddressError, BoundListeners, ListenAddress, ListenError, SOCKET, SocketError,
    SystemdSocketError, WebListener, socket_path,
};
pub use negotiate::Encoding;
pub use rendered_snapshot::RenderedSnapshot;
pub use routes::{PathError, Routes, TelemetryPath};
pub use sampler::{PendingSampler, Sampler, SnapshotError, SnapshotSource, Snapshots, pending};
pub use scrape::MAX_REQUESTS;
pub use web_config::{Access, ConfigError, Reason};
