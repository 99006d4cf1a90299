//! The server, in this process, with a fake source.

mod abuse;
mod connections;
mod deaths;
mod http2;
mod listen;
mod passwords;
mod routes;
mod scrapes;
mod tls;
mod web_config;
