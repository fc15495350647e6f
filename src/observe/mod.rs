//! What the logger reports about itself.

pub(crate) mod diagnostics;
pub(crate) mod metrics;
