//! HTTP served by the logger.

mod metrics;

pub(crate) use metrics::{Exporter, Server};
