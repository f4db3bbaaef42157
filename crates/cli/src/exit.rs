//! Exit codes, and the failures that end a command.

use std::{fmt, io, process::ExitCode};

use plimsoll_model::{Error, ErrorKind};

/// What the exit code says. The numbers are part of the command's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Whatever has no number of its own.
    Failed = 1,
    /// The command line, a URL or a setting cannot be used.
    Usage = 2,
    /// Another writer holds the volume, or forks need it.
    Held = 3,
    /// Another writer has taken the volume; commits may be stranded.
    Fenced = 4,
    /// Stored bytes fail their checks.
    Corrupt = 5,
    /// The store does not answer, or refuses.
    Store = 6,
    /// There is no such volume or object.
    NotFound = 7,
}

impl Exit {
    /// What programs call it. Part of the command's interface, as its number.
    fn name(self) -> &'static str {
        match self {
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::Held => "held",
            Exit::Fenced => "fenced",
            Exit::Corrupt => "corrupt",
            Exit::Store => "store",
            Exit::NotFound => "not_found",
        }
    }
}

/// The codes, for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line, a URL or a setting cannot be used
  3  another writer holds the volume, or forks need it
  4  another writer has taken the volume; commits may be stranded
  5  stored bytes fail their checks
  6  the store does not answer, or refuses
  7  not found";

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Held => Exit::Held,
            ErrorKind::Fenced => Exit::Fenced,
            ErrorKind::Corrupt => Exit::Corrupt,
            ErrorKind::Unavailable | ErrorKind::Denied => Exit::Store,
            ErrorKind::NotFound => Exit::NotFound,
            ErrorKind::Invalid => Exit::Usage,
            ErrorKind::Conflict | ErrorKind::Full | ErrorKind::Unsupported | ErrorKind::Io | ErrorKind::Closed => {
                Exit::Failed
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    words: String,
}

/// `Result` with [`Failure`].
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(exit: Exit, words: impl Into<String>) -> Self {
        Failure { exit, words: words.into() }
    }

    /// Everything there is to say has been printed.
    pub(crate) fn silent(exit: Exit) -> Self {
        Failure { exit, words: String::new() }
    }

    /// The same, with words before.
    pub(crate) fn after(mut self, words: &str) -> Self {
        self.words = format!("{words}: {}", self.words);
        self
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.words.is_empty()
    }

    /// For programs: what kind of failure, its words, and the exit code.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": { "kind": self.exit.name(), "message": self.words, "exit": self.exit as u8 }
        })
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::new(error.kind().into(), error.to_string())
    }
}

/// Writing to stdout failed. Whoever read it, a pager or `head`, has seen enough: that is no error worth words.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::silent(Exit::Failed);
        }
        Failure::new(Exit::Failed, format!("writing to the terminal: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_do_not_change_and_are_all_in_the_help() {
        let codes = [
            (ErrorKind::Io, 1),
            (ErrorKind::Invalid, 2),
            (ErrorKind::Held, 3),
            (ErrorKind::Fenced, 4),
            (ErrorKind::Corrupt, 5),
            (ErrorKind::Unavailable, 6),
            (ErrorKind::Denied, 6),
            (ErrorKind::NotFound, 7),
        ];
        for (kind, code) in codes {
            assert_eq!(Exit::from(kind) as u8, code, "{kind:?}");
            assert!(HELP.contains(&format!("\n  {code}  ")), "{code}");
        }
    }
}
