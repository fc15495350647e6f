//! The promises, one module each.

mod compile_fail;
mod emission;
mod encoding;
mod macros;
mod sinks;
