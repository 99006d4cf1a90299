//! The server, with a source that is a fake.

mod abuse;
mod deaths;
mod listen;
mod passwords;
mod routes;
mod scrapes;
mod tls;
mod web_config;
