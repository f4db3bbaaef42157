//! Which result code SQLite gets for an error of the engine. The only place that decides it.

use std::ffi::c_int;

use plimsoll_model::ErrorKind;

use crate::ffi::{
    BUSY, BUSY_SNAPSHOT, CANTOPEN, ERROR, FULL, IOERR, IOERR_AUTH, IOERR_CORRUPTFS, IOERR_FSYNC, IOERR_LOCK,
    IOERR_READ, IOERR_WRITE, READONLY,
};

/// What SQLite had asked for. The same kind of error asks for different conduct at different points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Opening a file.
    Open,
    /// Reading, or taking a snapshot to read from.
    Read,
    /// Starting a write transaction.
    Begin,
    /// Handing over a page, before the commit.
    Write,
    /// Committing, or waiting for the level that the commit was promised.
    Commit,
}

/// The result code for an error of this kind, at this point.
pub(crate) fn result_code(kind: ErrorKind, asked: Asked) -> c_int {
    let code = match kind {
        ErrorKind::Conflict => BUSY_SNAPSHOT,
        ErrorKind::Held => BUSY,
        ErrorKind::Fenced => READONLY,
        ErrorKind::Denied => IOERR_AUTH,
        ErrorKind::Full => FULL,
        ErrorKind::Corrupt => IOERR_CORRUPTFS,
        // What SQLite says when a database was opened read-only; at opening it becomes CANTOPEN below.
        ErrorKind::Invalid => READONLY,
        ErrorKind::Unavailable | ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::Io | ErrorKind::Closed => {
            generic(asked)
        }
    };
    match asked {
        // Only these make SQLite distrust what it has cached of the transaction. With any other code it
        // would go on as if the pages it handed over had been committed.
        Asked::Read | Asked::Write | Asked::Commit if !matches!(code & 0xff, IOERR | FULL) => generic(asked),
        Asked::Open if !matches!(code & 0xff, IOERR | FULL | BUSY) => CANTOPEN,
        Asked::Begin | Asked::Open | Asked::Read | Asked::Write | Asked::Commit => code,
    }
}

fn generic(asked: Asked) -> c_int {
    match asked {
        Asked::Open => CANTOPEN,
        Asked::Read => IOERR_READ,
        Asked::Begin => IOERR_LOCK,
        Asked::Write => IOERR_WRITE,
        Asked::Commit => IOERR_FSYNC,
    }
}

/// Whether the code is part of normal life, and not worth a line in a log.
pub(crate) fn is_ordinary(code: c_int) -> bool {
    code & 0xff == BUSY
}

/// For statements and functions, which carry a message of their own.
pub(crate) const STATEMENT: c_int = ERROR;

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ErrorKind; 12] = [
        ErrorKind::Conflict,
        ErrorKind::Held,
        ErrorKind::Fenced,
        ErrorKind::Unavailable,
        ErrorKind::Denied,
        ErrorKind::Full,
        ErrorKind::Corrupt,
        ErrorKind::NotFound,
        ErrorKind::Invalid,
        ErrorKind::Unsupported,
        ErrorKind::Io,
        ErrorKind::Closed,
    ];

    #[test]
    fn a_failed_commit_makes_sqlite_drop_its_cache() {
        for kind in KINDS {
            for asked in [Asked::Write, Asked::Commit] {
                assert!(matches!(result_code(kind, asked) & 0xff, IOERR | FULL), "{kind:?} {asked:?}");
            }
        }
    }

    #[test]
    fn contention_lets_the_busy_handler_work() {
        assert_eq!(result_code(ErrorKind::Held, Asked::Begin), BUSY);
        assert_eq!(result_code(ErrorKind::Conflict, Asked::Begin), BUSY_SNAPSHOT);
        assert_eq!(result_code(ErrorKind::Held, Asked::Open), BUSY);
    }

    #[test]
    fn damage_and_a_store_that_refuses_are_told_from_a_failing_disk_wherever_they_come_up() {
        for asked in [Asked::Open, Asked::Read, Asked::Begin, Asked::Write, Asked::Commit] {
            assert_eq!(result_code(ErrorKind::Denied, asked), IOERR_AUTH, "{asked:?}");
            assert_eq!(result_code(ErrorKind::Corrupt, asked), IOERR_CORRUPTFS, "{asked:?}");
            assert_eq!(result_code(ErrorKind::Full, asked), FULL, "{asked:?}");
        }
    }

    #[test]
    fn who_may_not_write_is_told_so() {
        assert_eq!(result_code(ErrorKind::Fenced, Asked::Begin), READONLY);
        assert_eq!(result_code(ErrorKind::Invalid, Asked::Begin), READONLY);
    }
}
