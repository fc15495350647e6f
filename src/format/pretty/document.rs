//! Anywhere (pure): a JSON document over several lines.

use unicode_width::UnicodeWidthStr;

use super::lines::{LineLayout, TEXT_COLUMN};

/// Deeper objects and arrays stay on one line: each level adds two blanks to every line, and an event can make many
/// levels.
const MOST_LEVELS: usize = 8;

/// Writes a valid document that is on one line, indented.
pub(super) fn write(document: &str, lines: &mut LineLayout<'_>) {
    let mut rest = document;
    let (mut line, mut level) = (String::new(), 0);
    while let Some(token) = take_token(&mut rest) {
        match token.as_bytes()[0] {
            b'{' | b'[' => match compact(token, rest, room(lines, level, &line)) {
                Some((whole, after)) => {
                    line += &whole;
                    rest = after;
                }
                None if level == MOST_LEVELS => {
                    let (whole, after) = compact(token, rest, usize::MAX).unwrap_or_default();
                    line += &whole;
                    rest = after;
                }
                None => {
                    line += token;
                    end(&mut line, level, lines);
                    level += 1;
                }
            },
            b'}' | b']' => {
                end(&mut line, level, lines);
                level = level.saturating_sub(1);
                line += token;
            }
            b',' => {
                line += token;
                end(&mut line, level, lines);
            }
            b':' => line += ": ",
            _ => line += token,
        }
    }
    end(&mut line, level, lines);
}

fn end(line: &mut String, level: usize, lines: &mut LineLayout<'_>) {
    lines.text(&format!("{:1$}{line}", "", 2 * level));
    line.clear();
}

/// The remaining columns, less one for a comma; enough for an empty object or array, which has no lines of its own.
fn room(lines: &LineLayout<'_>, level: usize, line: &str) -> usize {
    lines.width.saturating_sub(TEXT_COLUMN + 2 * level + line.width() + 1).max("[]".len())
}

/// The object or array that `open` begins, on one line, and the text after it, if it takes no more columns than `room`.
/// Reads no further than that.
fn compact<'a>(open: &str, mut rest: &'a str, room: usize) -> Option<(String, &'a str)> {
    let (mut whole, mut columns, mut depth) = (String::from(open), 1, 1);
    while depth > 0 {
        let token = take_token(&mut rest)?;
        match token.as_bytes()[0] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        whole += token;
        columns += token.width();
        if matches!(token, "," | ":") {
            whole.push(' ');
            columns += 1;
        }
        if columns > room {
            return None;
        }
    }
    Some((whole, rest))
}

/// Takes the next string, number, word or mark, without the blanks around it.
fn take_token<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start_matches(' ');
    let end = match text.as_bytes().first()? {
        b'"' => string_end(text),
        b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
        _ => text.find([' ', '{', '}', '[', ']', ',', ':', '"']).unwrap_or(text.len()),
    };
    let (token, after) = text.split_at(end);
    *rest = after;
    Some(token)
}

fn string_end(text: &str) -> usize {
    let mut is_escaped = false;
    let close = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    });
    close.map_or(text.len(), |close| close + 2)
}
