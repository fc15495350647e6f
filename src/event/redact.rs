//! Anywhere (pure): masks the values of fields that must not leave the process, by name.

use std::sync::atomic::{AtomicU32, Ordering};

use super::callsite::Callsite;
use super::encoding::{EncodedFields, Reader, values};
use super::value::Value;

/// Replaces a hidden value.
pub(crate) const MASK: &str = "***";

/// The last bit of a call site's cached decision is for every name from here on; those names are checked one by one.
const LAST: usize = 31;

/// The names a logger hides.
#[derive(Debug)]
pub(crate) struct Redactor {
    /// Unique in the process: a call site's cached decision belongs to one redactor. 0: there were too many, nothing is
    /// cached.
    generation: u32,
    patterns: Vec<Pattern>,
}

/// `name`, `name*`, `*name` or `*name*`, in any case.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: Box<str>,
    any_before: bool,
    any_behind: bool,
}

impl Pattern {
    /// Parses a pattern; none if that is no pattern.
    pub(crate) fn parse(pattern: &str) -> Option<Self> {
        let text = pattern.strip_prefix('*').unwrap_or(pattern);
        let any_before = text.len() < pattern.len();
        let inner = text.strip_suffix('*').unwrap_or(text);
        let any_behind = inner.len() < text.len();
        let is_good = !inner.is_empty() && !inner.contains('*');
        is_good.then(|| Pattern { text: inner.into(), any_before, any_behind })
    }

    /// Returns whether the name, one of its parts between dots, or several adjacent parts are what the pattern describes.
    fn fits(&self, name: &str) -> bool {
        let (name, text) = (name.as_bytes(), self.text.as_bytes());
        let mut places = name.windows(text.len()).enumerate();
        places.any(|(at, place)| {
            place.eq_ignore_ascii_case(text)
                && (self.any_before || at == 0 || name[at - 1] == b'.')
                && (self.any_behind || matches!(name.get(at + text.len()), None | Some(b'.')))
        })
    }
}

impl Redactor {
    pub(crate) fn new(patterns: Vec<Pattern>) -> Self {
        static GENERATION: AtomicU32 = AtomicU32::new(1);
        let next = |generation: u32| (generation > 0).then(|| generation.wrapping_add(1));
        let generation = GENERATION.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(0);
        Redactor { generation, patterns }
    }

    /// Returns whether the value of a field of this name is hidden.
    fn hides(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.fits(name))
    }

    /// Returns a bit for each of the call site's names that is hidden.
    fn hidden(&self, callsite: &Callsite) -> u32 {
        if let Some(hidden) = callsite.cached_hidden(self.generation).filter(|_| self.generation > 0) {
            return hidden;
        }
        let bit = |(index, name): (usize, &&str)| if self.hides(name) { 1 << index.min(LAST) } else { 0 };
        let hidden = callsite.names.iter().enumerate().map(bit).fold(0, |all, bit| all | bit);
        callsite.cache_hidden(self.generation, hidden);
        hidden
    }
}

/// Returns an event's fields with masks, if there is a value to mask: after `header` values come those of the call
/// site's names, then pairs.
pub(super) fn event(
    fields: &EncodedFields,
    header: usize,
    callsite: &Callsite,
    redactor: &Redactor,
) -> Option<EncodedFields> {
    let hidden = redactor.hidden(callsite);
    let is_hidden = |index: usize| match index.checked_sub(header) {
        None => false,
        Some(index) if index < LAST => hidden & 1 << index != 0,
        Some(index) => hidden >> LAST != 0 && callsite.names.get(index).is_some_and(|name| redactor.hides(name)),
    };
    masked(fields, header + callsite.names.len(), is_hidden, redactor)
}

/// Like [`event`], for pairs alone.
pub(super) fn pairs(fields: &EncodedFields, redactor: &Redactor) -> Option<EncodedFields> {
    masked(fields, 0, |_| false, redactor)
}

fn masked(
    fields: &EncodedFields,
    unnamed: usize,
    is_hidden: impl Fn(usize) -> bool,
    redactor: &Redactor,
) -> Option<EncodedFields> {
    let bytes = fields.bytes();
    let mut masked: Option<EncodedFields> = None;
    let (mut copied, mut before) = (0, 0);
    for (index, value) in values(bytes, unnamed).enumerate() {
        let hide = if index < unnamed {
            is_hidden(index)
        } else {
            // Between the values of two pairs is the name of the second.
            let name = Reader::new(&bytes[before..value.start]).pair_name();
            name.is_some_and(|name| name.forms().any(|form| redactor.hides(form)))
        };
        before = value.end;
        if hide {
            let masked = masked.get_or_insert_with(|| EncodedFields::new(fields.flags));
            masked.append(&bytes[copied..value.start]);
            masked.push(Value::Str(MASK));
            copied = value.end;
        }
    }
    let mut masked = masked?;
    masked.append(&bytes[copied..]);
    Some(masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(pattern: &str, name: &str) -> bool {
        Redactor::new(vec![Pattern::parse(pattern).expect(pattern)]).hides(name)
    }

    #[test]
    fn every_part_of_a_dotted_name_is_compared_a_star_is_any_text_at_an_end_and_case_does_not_count() {
        for (pattern, hidden, shown) in [
            (
                "password",
                &[
                    "password",
                    "PassWord",
                    "user.password",
                    "password.value",
                    "a.Password.b",
                    ".password.",
                    "x..password",
                ][..],
                &["passwords", "old_password", "password-value", "password_value", "pass.word", ""][..],
            ),
            (
                "*_token",
                &["api_token", "_token", "http.api_TOKEN", "api_token.value"],
                &["token", "api_tokens", "x.token.y"],
            ),
            (
                "auth*",
                &["auth", "Authorization", "http.authorization", "auth.user", "a.auth.b"],
                &["oauth", "aut", "a.oauth"],
            ),
            ("*secret*", &["secret", "my_secrets", "a.secret.b"], &["secre"]),
            (
                "http.cookie",
                &["http.cookie", "x.http.cookie", "http.cookie.value"],
                &["cookie", "http", "xhttp.cookie", "http.cookies", "http.x.cookie"],
            ),
        ] {
            hidden.iter().for_each(|name| assert!(hides(pattern, name), "{pattern} hides {name}"));
            shown.iter().for_each(|name| assert!(!hides(pattern, name), "{pattern} shows {name}"));
        }
    }

    #[test]
    fn a_star_in_the_middle_or_alone_is_no_pattern() {
        for pattern in ["", "*", "**", "a*b", "*a*b*", "***"] {
            assert!(Pattern::parse(pattern).is_none(), "{pattern}");
        }
    }
}
