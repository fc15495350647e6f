//! Any thread: the grammar of directives, and what was probably meant by text outside of it.

use super::nearest::nearest;
use crate::event::LevelFilter;
use crate::format::plain::is_invisible;

/// A directive outside the grammar: why, and what was probably meant.
pub(super) struct Invalid {
    pub(super) reason: Reason,
    pub(super) suggestion: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The whole text has no directive.
    Empty,
    Span,
    Pattern,
    Blank,
    Level(String),
    Quotes,
    Invisible,
    Separator(char),
    Wildcard,
    VariableName,
    Character(char),
    Dash,
    Colon,
    Keyword,
    /// A word alone that is no level.
    Word,
}

/// A target, `None` for every target, and its threshold.
pub(super) type Directive = (Option<String>, LevelFilter);

const QUOTES: [char; 7] = ['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'];

/// The names of the levels, and `off`.
const NAMES: [&str; 7] = ["trace", "debug", "info", "warn", "error", "fatal", "off"];

/// What is written in place of a comma; the last four are full-width or ideographic.
const SEPARATORS: [char; 6] = [';', '|', '\u{FF0C}', '\u{FF1B}', '\u{3001}', '\u{FF5C}'];
const FULL_WIDTH_EQUALS: char = '\u{FF1D}';

/// Words that others use for levels.
const ALIASES: [(&str, &[&str]); 6] = [
    ("trace", &["true", "yes", "on", "all", "any", "enabled"]),
    ("debug", &["verbose"]),
    ("info", &["information", "informational", "notice"]),
    ("warn", &["warning", "warnings"]),
    ("error", &["err", "errors", "severe"]),
    ("fatal", &["critical", "crit", "panic", "alert", "emerg"]),
];
const OFF_ALIASES: [&str; 5] = ["none", "false", "no", "disabled", "null"];

/// The directives of a text, each with where it begins. A comma between brackets belongs to a directive of spans.
pub(super) fn split(text: &str) -> Vec<(usize, &str)> {
    let mut depth = 0_i32;
    let at_top = text.match_indices(|c| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    let mut commas: Vec<usize> = at_top.map(|(at, _)| at).collect();
    if depth != 0 {
        commas = text.match_indices(',').map(|(at, _)| at).collect();
    }
    let starts = std::iter::once(0).chain(commas.iter().map(|at| at + 1));
    let ends = commas.iter().copied().chain([text.len()]);
    starts.zip(ends).map(|(start, end)| (start, &text[start..end])).collect()
}

/// The pattern of `env_logger` behind the directives, with its place: `info,app=debug/pattern`.
pub(super) fn pattern(text: &str) -> Option<usize> {
    let mut depth = 0_i32;
    text.find(|c| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        c == '/' && depth == 0
    })
}

/// The text between quotes that surround all of it.
pub(super) fn unquoted(text: &str) -> Option<&str> {
    let text = text.trim();
    let quote = text.chars().next().filter(|c| QUOTES.contains(c))?;
    let inner = text[quote.len_utf8()..].strip_suffix(QUOTES)?;
    (!inner.contains(QUOTES)).then_some(inner)
}

/// Reads one directive without the blanks around it; `None` if it is empty.
pub(super) fn parse(text: &str) -> Result<Option<Directive>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains(is_invisible) {
        return invalid(Reason::Invisible, Some(text.replace(is_invisible, "")));
    }
    if let Some((target, level)) = literal(text) {
        return Ok(Some((Some(target.to_owned()), level_of(level, &format!("{:?}", target))?)));
    }
    if text.contains(QUOTES) {
        return invalid(Reason::Quotes, Some(text.replace(QUOTES, "")));
    }
    if text.contains(['[', ']', '{', '}']) {
        return invalid(Reason::Span, None);
    }
    if text.contains('/') {
        return invalid(Reason::Pattern, None);
    }
    if let Some(separator) = text.chars().find(|c| SEPARATORS.contains(c)) {
        return invalid(Reason::Separator(separator), Some(text.replace(separator, ",")));
    }
    if text.contains(FULL_WIDTH_EQUALS) {
        return invalid(Reason::Character(FULL_WIDTH_EQUALS), Some(text.replace(FULL_WIDTH_EQUALS, "=")));
    }
    let compact = text.split('=').map(str::trim).collect::<Vec<_>>().join("=");
    if compact.contains(char::is_whitespace) {
        return invalid(Reason::Blank, Some(compact.split_whitespace().collect::<Vec<_>>().join(",")));
    }
    match compact.split_once('=') {
        None => match compact.parse() {
            Ok(threshold) => Ok(Some((None, threshold))),
            Err(_) => bare(&compact).map(|()| Some((Some(compact), LevelFilter::Trace))),
        },
        Some(("", "")) => invalid(Reason::Empty, None),
        Some(("", level)) => Ok(Some((None, level_of(level, "")?))),
        Some((target, level)) => {
            check_target(target, &format!("={level}"))?;
            Ok(Some((Some(target.to_owned()), level_of(level, target)?)))
        }
    }
}

/// Whether this target is read as it is, without quotes.
pub(super) fn is_plain(target: &str) -> bool {
    let read = parse(&format!("{target}=trace"));
    matches!(read, Ok(Some((Some(read), LevelFilter::Trace))) if read == target)
}

/// A target in quotes, with its level: `"my-crate"=debug`.
fn literal(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let (target, rest) = text[1..].split_once(quote)?;
    let level = rest.trim_start().strip_prefix('=')?;
    (!target.is_empty()).then(|| (target, level.trim()))
}

/// No level is `trace`, as in `env_logger`.
fn level_of(level: &str, target: &str) -> Result<LevelFilter, Invalid> {
    if level.is_empty() {
        return Ok(LevelFilter::Trace);
    }
    let meant = || meant(level).map(|meant| if target.is_empty() { meant.into() } else { format!("{target}={meant}") });
    level.parse().map_err(|_| Invalid { reason: Reason::Level(level.to_owned()), suggestion: meant() })
}

/// Checks a directive that has no `=`, and is not a level.
fn bare(text: &str) -> Result<(), Invalid> {
    check_target(text, "")?;
    if let Some((target, level)) = text.rsplit_once(':')
        && !target.is_empty()
        && !target.ends_with(':')
        && level.parse::<LevelFilter>().is_ok()
    {
        return invalid(Reason::Colon, Some(format!("{target}={level}")));
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match meant(text) {
        Some(level) => invalid(Reason::Word, Some(level.to_owned())),
        None if is_number => invalid(Reason::Word, None),
        None => Ok(()),
    }
}

/// Checks a target that is not in quotes; `rest` is the directive behind it.
fn check_target(target: &str, rest: &str) -> Result<(), Invalid> {
    let level = rest.strip_prefix('=').filter(|level| !level.is_empty()).unwrap_or("trace");
    if target.contains('*') {
        let prefix = target.trim_end_matches('*').trim_end_matches(':');
        let suggestion = match prefix {
            "" => Some(level.to_owned()),
            prefix if prefix.contains('*') => None,
            prefix => Some(format!("{prefix}{rest}")),
        };
        return invalid(Reason::Wildcard, suggestion);
    }
    if super::env::VARIABLES.contains(&target) {
        return invalid(Reason::VariableName, Some(level.to_owned()));
    }
    if target.contains('-') {
        let suggestion = (!target.starts_with('-')).then(|| format!("{}{rest}", target.replace('-', "_")));
        return invalid(Reason::Dash, suggestion);
    }
    if let Some((before, behind)) = target.split_once([':', '.'])
        && before.parse::<LevelFilter>().is_ok()
        && !behind.starts_with(':')
    {
        return invalid(Reason::Level(target.to_owned()), Some(format!("{before},{behind}{rest}")));
    }
    let is_odd = |c: &char| match c.is_ascii() {
        true => c.is_ascii_punctuation() && !['_', ':', '.', '@', '#', '$', '+'].contains(c),
        false => is_punctuation(*c),
    };
    if let Some(odd) = target.chars().find(is_odd) {
        return invalid(Reason::Character(odd), None);
    }
    match target.split("::").next() {
        Some("crate" | "self" | "super") => invalid(Reason::Keyword, None),
        _ => Ok(()),
    }
}

/// The blocks of punctuation and of full-width forms: no module path has a character of them.
fn is_punctuation(c: char) -> bool {
    matches!(c, '\u{A1}'..='\u{A9}' | '\u{AB}'..='\u{B4}' | '\u{B6}'..='\u{B9}' | '\u{BB}'..='\u{BF}' | '\u{D7}' | '\u{F7}'
        | '\u{2010}'..='\u{205E}' | '\u{2190}'..='\u{2BFF}' | '\u{3000}'..='\u{3004}' | '\u{3008}'..='\u{3020}'
        | '\u{FF00}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}' | '\u{FF5B}'..='\u{FF65}')
}

/// The level that this word probably means.
fn meant(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    let is_alias = |words: &[&str]| words.contains(&word.as_str());
    if is_alias(&OFF_ALIASES) {
        return Some("off");
    }
    let alias = ALIASES.iter().find(|(_, words)| is_alias(words)).map(|(level, _)| *level);
    alias.or_else(|| nearest(&word, &NAMES).copied())
}

fn invalid<T>(reason: Reason, suggestion: Option<String>) -> Result<T, Invalid> {
    Err(Invalid { reason, suggestion: suggestion.filter(|text| !text.is_empty()) })
}
