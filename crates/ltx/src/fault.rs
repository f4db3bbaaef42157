//! The errors of this crate. Callers, who know which object it is, add its name.

use std::{borrow::Cow, io};

use plimsoll_model::{Error, ErrorKind};

const READING: &str = "reading LTX object";
const WRITING: &str = "writing LTX object";

/// The bytes of a stored file contradict the format or themselves.
pub(crate) fn corrupt(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Corrupt, READING).why(why).hint(
        "keep the object; it is damaged or was not written as LTX; an earlier transaction may still be restorable",
    )
}

/// A file ended early.
pub(crate) fn cut_short() -> Error {
    corrupt("the file ends too early")
}

/// Reading the source failed, or it ended early.
pub(crate) fn read(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => cut_short(),
        _ => Error::io(READING, source),
    }
}

/// Writing to the sink failed.
pub(crate) fn write(source: io::Error) -> Error {
    Error::io(WRITING, source)
}

/// The caller asked to write what no reader would accept.
pub(crate) fn invalid(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Invalid, WRITING).why(why)
}

/// The caller asked to read with arguments that do not fit together.
pub(crate) fn misuse(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Invalid, READING).why(why)
}
