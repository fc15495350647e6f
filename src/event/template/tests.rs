//! A test's thread: the parser under any text. It reads what the text spells, or a sentence reports the error.

use std::panic::catch_unwind;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::parse::{Cursor, MAX_ALIGN, MAX_PRECISION, Token};
use super::*;

/// A stretch of a template, as read here or as the test made it up.
#[derive(Clone, Debug, PartialEq)]
enum Stretch {
    Text(String),
    Hole { name: String, align: i16, format: HoleFormat },
}

impl Stretch {
    /// As a template spells it.
    fn spell(&self) -> String {
        let (name, align, format) = match self {
            Stretch::Text(text) => return text.replace('{', "{{").replace('}', "}}"),
            Stretch::Hole { name, align, format } => (name, align, format),
        };
        let align = if *align == 0 { String::new() } else { format!(",{align}") };
        let format = match format {
            HoleFormat::Plain => String::new(),
            HoleFormat::Precision(digits) => format!(":.{digits}"),
            HoleFormat::LowerHex => ":x".into(),
            HoleFormat::UpperHex => ":X".into(),
            HoleFormat::LowerExp => ":e".into(),
        };
        format!("{{{name}{align}{format}}}")
    }
}

/// Each stretch with the part of the template it was read from, or the sentence that ends the compilation.
fn read(template: &str) -> Result<Vec<(Stretch, &str)>, String> {
    let read = || {
        let mut cursor = Cursor { template, at: 0 };
        let (mut stretches, mut from) = (Vec::new(), 0);
        while let Some(token) = cursor.next() {
            let stretch = match token {
                Token::Text { start, end } => Stretch::Text(template[start..end].into()),
                Token::Hole { start, end, align, format } => {
                    Stretch::Hole { name: template[start..end].into(), align, format }
                }
            };
            stretches.push((stretch, &template[from..cursor.at]));
            from = cursor.at;
        }
        assert_eq!((from, stretches.len()), (template.len(), count(template)));
        stretches
    };
    catch_unwind(read).map_err(|payload| *payload.downcast().expect("a panic with a sentence"))
}

/// The holes' numbers may have zeros in front.
fn without_zeros(hole: &str) -> String {
    let (mut short, mut may_skip) = (String::new(), false);
    let mut rest = hole.chars().peekable();
    while let Some(char) = rest.next() {
        let is_digit_next = rest.peek().is_some_and(char::is_ascii_digit);
        if char == '0' && may_skip && is_digit_next {
            continue;
        }
        may_skip = matches!(char, ',' | '.') || (char == '-' && may_skip);
        short.push(char);
    }
    short
}

fn check(template: &str) {
    match read(template) {
        Ok(stretches) => {
            for (stretch, from) in &stretches {
                let spelt = match stretch {
                    Stretch::Text(_) => (*from).to_owned(),
                    Stretch::Hole { name, .. } => {
                        assert!(!name.is_empty() && !name.contains(['{', '}', ',', ':']), "{name:?}");
                        format!("{{{name}{}", without_zeros(&from[1 + name.len()..]))
                    }
                };
                assert_eq!(stretch.spell(), spelt, "{template:?}");
            }
        }
        Err(sentence) => {
            let known = ["the template has a ", "the alignment is ", "the precision is ", "the format is "];
            assert!(known.iter().any(|known| sentence.starts_with(known)), "{template:?}: {sentence}");
        }
    }
}

/// Any text that has something to do with templates.
fn templatish() -> impl Strategy<Value = String> {
    let words = [
        "{ { } } {{ }} {n {user.id {n, {n:. {ab,-10:.3} , : - . 0 7 12 256 257 99999999999 x X e a é 日",
        "\t \u{a0} \0",
    ];
    let words = words.iter().flat_map(|words| words.split(' ')).chain([" "]).collect::<Vec<_>>();
    vec(select(words), 0..12).prop_map(|words| words.concat())
}

fn stretch() -> impl Strategy<Value = Stretch> {
    let text = vec(select(vec!["{", "}", "a", "b c", "é", "日本", ",", ":.2", "-", "\n"]), 1..6);
    let text = text.prop_map(|words| Stretch::Text(words.concat()));
    let formats = vec![
        HoleFormat::Plain,
        HoleFormat::Precision(0),
        HoleFormat::Precision(MAX_PRECISION),
        HoleFormat::LowerHex,
        HoleFormat::UpperHex,
        HoleFormat::LowerExp,
    ];
    let names = select(vec!["n", "user.id", "größe", "0", "x-y", "r#type", "\u{a0}"]);
    let holes = (names, prop_oneof![Just(0), -MAX_ALIGN..=MAX_ALIGN], select(formats));
    let hole = holes.prop_map(|(name, align, format)| Stretch::Hole { name: name.into(), align, format });
    prop_oneof![text, hole]
}

/// Adjacent texts are one text.
fn joined(stretches: impl IntoIterator<Item = Stretch>) -> Vec<Stretch> {
    let mut joined = Vec::new();
    for stretch in stretches {
        match (joined.last_mut(), stretch) {
            (Some(Stretch::Text(text)), Stretch::Text(more)) => text.push_str(&more),
            (_, stretch) => joined.push(stretch),
        }
    }
    joined
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn any_text_is_a_template_that_is_spelt_as_it_is_read_or_an_error_that_says_why(
        texts in vec(templatish(), 1..8),
        bytes in vec(any::<u8>(), 0..64),
        chars in any::<String>(),
    ) {
        texts.iter().for_each(|text| check(text));
        check(&String::from_utf8_lossy(&bytes));
        check(&chars);
    }

    #[test]
    fn a_template_is_read_as_it_was_spelt(stretches in vec(stretch(), 0..8)) {
        let template: String = stretches.iter().map(Stretch::spell).collect();
        let read = read(&template).map(|read| joined(read.into_iter().map(|(stretch, _)| stretch)));
        prop_assert_eq!(read, Ok(joined(stretches)), "{:?}", template);
    }
}
