//! SQLite's values, for people and for programs.

use std::fmt::Write;

use rusqlite::types::ValueRef;

use crate::units;

/// Characters of a text, or twice the bytes of a blob, that are shown of it in a line with others.
const SHOWN_MAX: usize = 80;

/// A value as SQL has it, cut to what fits in a line. A line break in a text is shown as one.
pub(crate) fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => format!("{value:?}"),
        ValueRef::Text(text) => {
            let text = String::from_utf8_lossy(text);
            let shown: String = text.chars().take(SHOWN_MAX).collect();
            let cut = cut(shown.len() < text.len(), text.len());
            format!("'{}'{cut}", harmless(&shown.replace('\'', "''")).replace('\n', "\\n"))
        }
        ValueRef::Blob(bytes) => {
            let shown = &bytes[..bytes.len().min(SHOWN_MAX / 2)];
            format!("x'{}'{}", hex(shown), cut(shown.len() < bytes.len(), bytes.len()))
        }
    }
}

fn cut(is_cut: bool, bytes: usize) -> String {
    if is_cut { format!("... ({})", units::bytes(bytes as u64)) } else { String::new() }
}

/// Text without what would move the cursor or recolour a terminal.
pub(crate) fn harmless(text: &str) -> String {
    let visible = |c: char| if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(visible).collect()
}

/// A value as JSON. A blob is an object with its hexadecimal digits; a number that JSON cannot say is null.
pub(crate) fn json(value: &ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => serde_json::Value::from(*value).to_string(),
        ValueRef::Text(text) => json_text(&String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => format!("{{\"blob\":\"{}\"}}", hex(bytes)),
    }
}

/// Text as JSON.
pub(crate) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("BUG: writing to a string failed");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_json_form() {
        let cases = [
            (ValueRef::Null, "null"),
            (ValueRef::Integer(i64::MIN), "-9223372036854775808"),
            (ValueRef::Real(1.5), "1.5"),
            (ValueRef::Real(f64::INFINITY), "null"),
            (ValueRef::Text(b"a\"b\n"), r#""a\"b\n""#),
            (ValueRef::Blob(&[0, 255]), r#"{"blob":"00ff"}"#),
        ];
        for (value, text) in cases {
            assert_eq!(json(&value), text);
        }
    }

    #[test]
    fn a_literal_is_one_line_and_tells_what_it_leaves_out() {
        let cases = [
            (ValueRef::Null, "NULL"),
            (ValueRef::Integer(-3), "-3"),
            (ValueRef::Real(1.0), "1.0"),
            (ValueRef::Text(b"it's\na"), "'it''s\\na'"),
            (ValueRef::Text(b"1"), "'1'"),
            (ValueRef::Blob(&[0, 255]), "x'00ff'"),
        ];
        for (value, text) in cases {
            assert_eq!(literal(value), text);
        }
        let long = [b'a'; 5000];
        assert_eq!(literal(ValueRef::Text(&long)), format!("'{}'... (4.9 KiB)", "a".repeat(80)));
        assert_eq!(literal(ValueRef::Blob(&long)), format!("x'{}'... (4.9 KiB)", "61".repeat(40)));
    }

    #[test]
    fn text_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31m\nb"), "a\\u{1b}[31m\nb");
        assert_eq!(literal(ValueRef::Text(b"\x1b[31m")), "'\\u{1b}[31m'");
    }
}
