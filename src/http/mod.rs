//! A service thread: destinations over HTTP.
//!
//! ```text
//!  pipeline ── RequestSink: encode, send ──▶ sink ── HttpProtocol: event, answer ──▶ otlp, lines
//!                                             └──▶ client: connections ──▶ resolver, the network
//! ```
//!
//! In: batches, from `pipeline`. Out: requests; answers for each event.
//!
//! Invariants:
//! * A protocol is a value without connections: what it encodes depends on the events alone.
//! * Every failure says whether the request may have arrived (`client.rs`, `response.rs`).
//! * No message shows a secret: not a header, not the query of a URL.
//!
//! Add a vendor in a file of its own, as an [`HttpProtocol`].
//!
//! Next: `sink`, whose answers these are, and the network.

mod client;
mod connect;
mod connection;
#[cfg(feature = "elastic")]
mod elastic;
mod error;
mod lines;
mod options;
#[cfg(feature = "otlp")]
mod otlp;
mod protocol;
mod resolver;
mod response;
mod secret;
mod sink;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "elastic")]
pub use elastic::Elastic;
pub use lines::{JsonArray, JsonLines};
pub use options::HttpSink;
#[cfg(feature = "otlp")]
pub use otlp::{Otlp, OtlpBody};
pub use protocol::{HttpHead, HttpLimits, HttpProtocol};
pub use response::{HttpResponse, StatusClass};
pub use secret::Secret;
