//! An object of the store as a stream, in memory that does not grow with it.

use std::{
    io::{self, Read},
    sync::Arc,
};

use futures::channel::oneshot;
use indicatif::ProgressBar;
use plimsoll_host::Host;
use plimsoll_ltx::decode::{Page, Summary, stream};
use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_store::Store;

/// Bytes per request. One request is always under way while the one before is being read.
const PART_BYTES: u64 = 4 << 20;

type Part = oneshot::Receiver<Result<Option<bytes::Bytes>>>;

/// Reads an object from front to back.
struct ObjectReader<'a> {
    host: &'a Host,
    store: &'a Arc<dyn Store>,
    key: &'a str,
    size: u64,
    asked: u64,
    next: Option<Part>,
    part: bytes::Bytes,
    bar: &'a ProgressBar,
    /// What failed, since a reader can only say so in the words of the operating system.
    failure: Option<Error>,
}

impl ObjectReader<'_> {
    /// Asks for the next part, if there is one.
    fn ask(&mut self) {
        if self.asked >= self.size {
            return;
        }
        let range = self.asked..self.size.min(self.asked + PART_BYTES);
        self.asked = range.end;
        let (answer, part) = oneshot::channel();
        let (store, key) = (Arc::clone(self.store), self.key.to_owned());
        self.host.tasks.spawn(Box::pin(async move {
            // The reader may be gone.
            let _ = answer.send(store.get_range(&key, range).await);
        }));
        self.next = Some(part);
    }

    fn advance(&mut self) -> Result<()> {
        let Some(next) = self.next.take() else { return Ok(()) };
        let answer = self.host.tasks.wait(next);
        self.ask();
        let found = answer.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Io, "reading").object(self.key).why("the task that was reading it ended"))
        })?;
        self.part = found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "reading")
                .object(self.key)
                .why("the object was merged and collected since it was listed")
        })?;
        self.bar.inc(self.part.len() as u64);
        Ok(())
    }
}

impl Read for ObjectReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.part.is_empty()
            && let Err(error) = self.advance()
        {
            self.failure = Some(error);
            return Err(io::Error::other("the store failed"));
        }
        let count = out.len().min(self.part.len());
        out[..count].copy_from_slice(&self.part.split_to(count));
        Ok(count)
    }
}

/// Reads an LTX object of `size` bytes from the store, as [`stream`] does, and advances `bar` by its bytes.
///
/// # Errors
/// As [`stream`] and the store; `NotFound` if the object is gone. Without the object's name.
pub(crate) fn stream_object(
    host: &Host,
    store: &Arc<dyn Store>,
    key: &str,
    size: u64,
    bar: &ProgressBar,
    each: impl FnMut(Page<'_>) -> Result<()>,
) -> Result<Summary> {
    let part = bytes::Bytes::new();
    let mut reader = ObjectReader { host, store, key, size, asked: 0, next: None, part, bar, failure: None };
    reader.ask();
    let outcome = stream(&mut reader, each);
    match reader.failure.take() {
        Some(failure) => Err(failure),
        None => outcome,
    }
}
