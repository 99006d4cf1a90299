//! `/api/v1`: single connections, deaths and events, with peers and owners.

mod admission;
mod connections;
mod deaths;
mod events;
mod query;
mod state;

pub use admission::may_see_peers;
pub use state::{Api, ConnectionLister};

/// Where connections are listed.
pub const CONNECTIONS: &str = "/api/v1/connections";
/// Where deaths are listed.
pub const DEATHS: &str = "/api/v1/deaths";
/// Where events are streamed.
pub const EVENTS: &str = "/api/v1/events";
