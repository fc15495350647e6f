//! Guides.

pub mod migrating;
