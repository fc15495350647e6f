//! The promises, one module each.

#[cfg(feature = "testing")]
mod capture;
mod children;
mod compile_fail;
#[cfg(feature = "testing")]
mod conformance;
#[cfg(feature = "config")]
mod config;
mod confirm;
mod conservation;
mod delivery;
#[cfg(target_os = "linux")]
mod disk;
mod emission;
mod encoding;
mod enrichment;
mod errors;
mod exits;
mod faults;
mod filters;
mod foreign_text;
mod formats;
#[cfg(feature = "http")]
mod http;
mod layout;
mod lifecycle;
mod limits;
#[cfg(feature = "log")]
mod log_bridge;
mod macros;
mod memory;
#[cfg(feature = "prometheus")]
mod metrics;
mod notices;
mod panic_hook;
mod parsers;
mod pressure;
#[cfg(all(unix, feature = "signal"))]
mod process_end;
mod queue;
mod readme;
mod redaction;
mod requests;
mod reserve;
mod retry;
mod rolling;
mod sampling;
mod scope;
#[cfg(all(unix, feature = "signal"))]
mod signals;
mod sinks;
#[cfg(feature = "spool")]
mod spool;
mod start;
mod stopped;
#[cfg(target_os = "linux")]
mod streams;
mod stress;
mod support;
mod task_failure;
#[cfg(feature = "testing")]
mod test_console;
#[cfg(feature = "tracing")]
mod tracing;
mod trouble;
