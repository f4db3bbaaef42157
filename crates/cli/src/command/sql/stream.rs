//! Statements from a stream, each run as soon as it has ended.

use std::{ffi::CString, io::BufRead};

use plimsoll_model::{Error, ErrorKind, ResultExt};

use crate::exit::Result;

const READING: &str = "reading statements from";
const FROM: &str = "stdin";
/// The longest statement that SQLite takes.
const STATEMENT_BYTES_MAX: usize = 1_000_000_000;

/// Hands over statements one by one, so that whoever writes them may wait for what one answers before it writes the
/// next. Holds one in memory at a time. What comes after the last semicolon is handed over at the end.
///
/// # Errors
/// When reading fails, a statement is no text or too long; otherwise what `run` answers, after which nothing is read.
pub(super) fn run(mut input: impl BufRead, mut run: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut pending = Vec::new();
    let mut place = Place::Code;
    loop {
        let read = input.fill_buf().doing(READING, FROM)?;
        if read.is_empty() {
            break;
        }
        let ended = read.iter().position(|byte| place.step(*byte));
        let taken = ended.map_or(read.len(), |at| at + 1);
        pending.extend_from_slice(&read[..taken]);
        input.consume(taken);
        if pending.len() > STATEMENT_BYTES_MAX {
            let why = format!("a statement is longer than the {STATEMENT_BYTES_MAX} bytes that SQLite takes");
            return Err(Error::new(ErrorKind::Invalid, READING).object(FROM).why(why).into());
        }
        // A trigger's own statements end with semicolons, too: SQLite knows.
        if ended.is_some() && is_complete(text(&pending)?) {
            run(text(&pending)?)?;
            pending.clear();
        }
    }
    if pending.is_empty() { Ok(()) } else { run(text(&pending)?) }
}

fn text(sql: &[u8]) -> Result<&str> {
    Ok(str::from_utf8(sql).map_err(|error| {
        Error::new(ErrorKind::Invalid, READING).object(FROM).why("a statement is not UTF-8").caused_by(error)
    })?)
}

/// Whether text ends with a finished statement, as SQLite sees it: strings and triggers may hold semicolons.
pub(super) fn is_complete(sql: &str) -> bool {
    let Ok(sql) = CString::new(sql) else { return true };
    // SAFETY: a string that ends with a zero byte.
    unsafe { rusqlite::ffi::sqlite3_complete(sql.as_ptr()) != 0 }
}

/// What the bytes that come next are part of. Pure; without it, each semicolon of a long string would have SQLite look
/// at all of the statement again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Code,
    /// After a `-` or `/`, which may begin a comment.
    Begins(u8),
    /// A string or name that ends with this byte.
    Quoted(u8),
    Line,
    Block,
    /// After a `*` in a block comment.
    BlockEnds,
}

impl Place {
    /// Takes one byte; whether it is a semicolon that may end a statement.
    fn step(&mut self, byte: u8) -> bool {
        *self = match (*self, byte) {
            (Place::Begins(b'-'), b'-') => Place::Line,
            (Place::Begins(b'/'), b'*') => Place::Block,
            (Place::Code | Place::Begins(_), b'\'' | b'"' | b'`') => Place::Quoted(byte),
            (Place::Code | Place::Begins(_), b'[') => Place::Quoted(b']'),
            (Place::Code | Place::Begins(_), b'-' | b'/') => Place::Begins(byte),
            (Place::Code | Place::Begins(_), _) => Place::Code,
            (Place::Quoted(end), _) if byte == end => Place::Code,
            (Place::Line, b'\n') => Place::Code,
            (Place::Block | Place::BlockEnds, b'*') => Place::BlockEnds,
            (Place::BlockEnds, b'/') => Place::Code,
            (Place::BlockEnds, _) => Place::Block,
            (same, _) => same,
        };
        *self == Place::Code && byte == b';'
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn a_statement_ends_with_its_own_semicolon() {
        assert!(is_complete("SELECT 1;\n"));
        assert!(!is_complete("SELECT ';\n"));
        assert!(!is_complete("CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1;\n"));
        assert!(is_complete("CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END;\n"));
    }

    #[test]
    fn a_stream_is_cut_where_statements_end_however_it_arrives() {
        let statements = [
            "SELECT 'a;''b';",
            "\n-- no; end\nSELECT \";\", [;], `;` /* ; **; */;",
            "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1 - 1; DELETE FROM x; END;",
            "SELECT 4/2;",
            "\nSELECT 5",
        ];
        let all = statements.concat();
        for capacity in [1, 2, 7, 4096] {
            let mut found = Vec::new();
            let input = BufReader::with_capacity(capacity, all.as_bytes());
            run(input, |sql| {
                found.push(sql.to_owned());
                Ok(())
            })
            .unwrap();
            assert_eq!(found, statements, "{capacity} bytes at a time");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_and_what_came_before_it_was_run() {
        let mut ran = 0;
        let count = |_: &str| {
            ran += 1;
            Ok(())
        };
        assert!(run(&b"SELECT 1; SELECT '\xff';"[..], count).unwrap_err().to_string().contains("UTF-8"));
        assert_eq!(ran, 1);
    }
}
