//! The one error type: few kinds outside, rich detail inside.

use std::{borrow::Cow, error::Error as StdError, fmt, io};

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an error. A new kind stops the build in each face until somebody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Somebody committed first: retry from a new snapshot.
    Conflict,
    /// Another writer holds the volume for now: wait, retry, or take over.
    Held,
    /// Another writer has taken the volume: this handle will never write again.
    Fenced,
    /// The store did not answer: retry later. A write may have landed.
    Unavailable,
    /// The store refused the credentials or the permission.
    Denied,
    /// The local disk is full, or the load line is reached and its policy is `fail`.
    Full,
    /// Stored bytes fail a check: do not retry, keep the object.
    Corrupt,
    /// What was asked for does not exist.
    NotFound,
    /// The caller passed something unusable: a bad URL, setting, name or value.
    Invalid,
    /// This store, volume or build cannot do what was asked.
    Unsupported,
    /// The local operating system failed an operation on a file.
    Io,
    /// The handle was closed, or belongs to the process that forked this one.
    Closed,
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// An error that says what was being done, to which object, why it failed and what to do.
///
/// Printed as `reading s3://b/db/0000/…ltx: checksum 1a2b, expected 9c0d (keep the object and …)`.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    doing: Cow<'static, str>,
    object: Option<String>,
    why: Option<Cow<'static, str>>,
    hint: Option<Cow<'static, str>>,
    source: Option<BoxError>,
}

impl Error {
    /// `doing` is a gerund with what it was done to: "reading the journal".
    #[must_use]
    pub fn new(kind: ErrorKind, doing: impl Into<Cow<'static, str>>) -> Self {
        Error(Box::new(Inner { kind, doing: doing.into(), object: None, why: None, hint: None, source: None }))
    }

    /// What the operating system said of something local: [`ErrorKind::Full`] for a full disk, otherwise [`ErrorKind::Io`]. That a
    /// file is missing, or may not be touched, says nothing of a volume or of its store; where it does, the caller asks for it.
    #[must_use]
    pub fn io(doing: impl Into<Cow<'static, str>>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        Error::new(kind, doing).caused_by(source)
    }

    /// Names the object: a full URL or path. Never contains a secret.
    #[must_use]
    pub fn object(mut self, object: impl Into<String>) -> Self {
        self.0.object = Some(object.into());
        self
    }

    /// Says why it failed.
    #[must_use]
    pub fn why(mut self, why: impl Into<Cow<'static, str>>) -> Self {
        self.0.why = Some(why.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Attaches the cause. Its text must not contain a secret.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The object it happened to, if one was named.
    #[must_use]
    pub fn object_name(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// What to do, if that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// A second error with the same kind and words, for another waiter on the same failure.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let inner = &self.0;
        let why = match (&inner.why, &inner.source) {
            (Some(why), None) => Some(why.clone()),
            (why, Some(source)) => {
                let cause = chain(source.as_ref());
                Some(why.as_ref().map_or(cause.clone(), |why| format!("{why}: {cause}")).into())
            }
            (None, None) => None,
        };
        Error(Box::new(Inner {
            kind: inner.kind,
            doing: inner.doing.clone(),
            object: inner.object.clone(),
            why,
            hint: inner.hint.clone(),
            source: None,
        }))
    }
}

/// A cause and its causes, without saying the same thing twice.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        f.write_str(&inner.doing)?;
        if let Some(object) = &inner.object {
            write!(f, " {object}")?;
        }
        if let Some(why) = &inner.why {
            write!(f, ": {why}")?;
        }
        if let Some(source) = &inner.source {
            write!(f, ": {}", chain(source.as_ref()))?;
        }
        if let Some(hint) = &inner.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    // The causes are part of the text already; a reporter that walks sources would print them twice.
}

/// Turns an operating-system error into ours at the place where it is known what was being done.
pub trait ResultExt<T> {
    /// Adds what was being done and to which file.
    ///
    /// # Errors
    /// The same failure, as an [`Error`].
    fn doing(self, doing: &'static str, object: impl fmt::Display) -> Result<T>;
}

impl<T> ResultExt<T> for io::Result<T> {
    fn doing(self, doing: &'static str, object: impl fmt::Display) -> Result<T> {
        self.map_err(|source| Error::io(doing, source).object(object.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_doing_object_why_hint() {
        let error = Error::new(ErrorKind::Corrupt, "reading the journal")
            .object("/x/0001.wal")
            .why("checksum 1a2b, expected 9c0d")
            .hint("keep the file");
        assert_eq!(error.to_string(), "reading the journal /x/0001.wal: checksum 1a2b, expected 9c0d (keep the file)");
        assert_eq!(error.duplicate().to_string(), error.to_string());
    }

    #[test]
    fn a_full_disk_is_its_own_kind() {
        let full = io::Error::from_raw_os_error(28);
        assert_eq!(Error::io("appending", full).kind(), ErrorKind::Full);
    }

    #[test]
    fn a_local_file_that_is_missing_or_refused_is_not_said_of_the_store() {
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
            assert_eq!(Error::io("reading", kind.into()).kind(), ErrorKind::Io, "{kind}");
        }
    }

    #[test]
    fn a_duplicate_keeps_the_words_of_the_cause() {
        let error = Error::io("syncing", io::Error::other("device gone")).object("/x");
        assert_eq!(error.duplicate().to_string(), "syncing /x: device gone");
    }
}
