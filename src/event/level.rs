//! Anywhere (pure): how important an event is, and the threshold that decides which events pass.

use std::fmt;
use std::str::FromStr;

/// How important an event is, from [`Level::Trace`] up to [`Level::Fatal`].
///
/// Levels order by importance: `Level::Error > Level::Info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[repr(u8)]
pub enum Level {
    /// Step-by-step detail, for development.
    Trace = 0,
    /// Details that help a developer to find a fault.
    Debug = 1,
    /// Normal operation, in an operator's words.
    Info = 2,
    /// A problem that an operator should examine, some day.
    Warn = 3,
    /// An operation failed.
    Error = 4,
    /// The process cannot continue.
    Fatal = 5,
}

impl Level {
    /// Every level, least important first.
    pub const ALL: [Level; 6] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Fatal];

    /// Returns the lower-case name, as filters and metric labels spell it.
    pub const fn as_str(self) -> &'static str {
        ["trace", "debug", "info", "warn", "error", "fatal"][self as usize]
    }

    /// Returns the upper-case name, as formats print it.
    pub const fn as_upper_str(self) -> &'static str {
        ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"][self as usize]
    }

    /// Returns the level whose discriminant is in the low three bits; values past `Fatal` are `Fatal`.
    pub(crate) const fn from_bits(bits: u8) -> Level {
        // Not an index into a table: this compiles to a comparison.
        match bits & 0b111 {
            0 => Level::Trace,
            1 => Level::Debug,
            2 => Level::Info,
            3 => Level::Warn,
            4 => Level::Error,
            _ => Level::Fatal,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = ParseLevelError;

    /// Reads a level's name in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Level::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text)).ok_or(ParseLevelError(()))
    }
}

/// A threshold: the least important [`Level`] that passes, or none.
///
/// Thresholds order by strictness: `LevelFilter::Off` is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LevelFilter {
    /// Everything passes.
    Trace = 0,
    /// `Debug` and above.
    Debug = 1,
    /// `Info` and above.
    Info = 2,
    /// `Warn` and above.
    Warn = 3,
    /// `Error` and above.
    Error = 4,
    /// `Fatal` alone.
    Fatal = 5,
    /// Nothing passes.
    Off = 6,
}

impl LevelFilter {
    const ALL: [LevelFilter; 7] = [
        LevelFilter::Trace,
        LevelFilter::Debug,
        LevelFilter::Info,
        LevelFilter::Warn,
        LevelFilter::Error,
        LevelFilter::Fatal,
        LevelFilter::Off,
    ];

    /// Returns whether an event of this level passes.
    #[inline]
    pub const fn allows(self, level: Level) -> bool {
        level as u8 >= self as u8
    }

    /// Returns the lower-case name.
    pub const fn as_str(self) -> &'static str {
        ["trace", "debug", "info", "warn", "error", "fatal", "off"][self as usize]
    }
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        LevelFilter::ALL[level as usize]
    }
}

impl fmt::Display for LevelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LevelFilter {
    type Err = ParseLevelError;

    /// Reads a level's name or `off`, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        LevelFilter::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text)).ok_or(ParseLevelError(()))
    }
}

/// The text is no level's name.
#[derive(Clone, PartialEq, Eq)]
pub struct ParseLevelError(());

impl fmt::Display for ParseLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a level: expected trace, debug, info, warn, error, fatal (or off, for a filter)")
    }
}

/// Like `Display`.
impl fmt::Debug for ParseLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ParseLevelError {}
