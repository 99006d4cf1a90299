//! The HTTP edge: listens, takes snapshots when asked, and answers.
//! It must never judge what it serves: what a value means is decided before it gets here.

mod access;
mod api;
mod connections;
mod conversation;
pub mod exposition;
mod feed;
mod listen;
pub mod lossy;
mod negotiate;
mod patience;
mod process;
mod reading;
mod routes;
mod sampler;
mod scrape;
mod visitor;

pub use access::{Access, ConfigError, Reason};
pub use api::{Api, Lister};
pub use connections::{Limits, serve};
pub use feed::{Feed, Heard, Watcher};
pub use listen::{
    ActivationError, AddressError, ListenAddress, ListenError, Listener, Listening, SOCKET,
    SocketError, socket_path,
};
pub use negotiate::Encoding;
pub use reading::Reading;
pub use routes::{PathError, Routes, TelemetryPath};
pub use sampler::{Pending, Refused, Sampler, Snapshots, Source, pending};
pub use scrape::MAX_REQUESTS;
pub use visitor::{Peer, Visitor};
