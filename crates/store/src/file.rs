//! `file:///dir`: one file per object, with creates and replacements that survive power loss.
//!
//! A write goes to a temporary file in a hidden folder below the root, is synced, and then gets its
//! name: by a hard link, which fails if the name is taken, or by a rename, which replaces. The
//! folder is synced before the call returns. This is a backend at the rim: it uses the real file
//! system, on the blocking pool.

mod disk;

use std::{
    fs,
    io::{self, ErrorKind as Io},
    ops::Range,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_host::{Host, run_blocking};
use plimsoll_model::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

use self::disk::{Disk, Naming, modified};
use crate::{Body, Created, Entry, Folder, Object, Store, Tail, key};

/// So many calls are with the file systems below all directories at a time. They share the blocking pool with the syncs of
/// journals, which go on where a directory that somebody mounted over a network answers nothing any more.
static AT_ONCE: Semaphore = Semaphore::const_new(10);

/// Objects as files. Several processes may use one directory at a time.
///
/// [`Entry::modified`] is the inode's change time: the file system's own clock at the moment when
/// the object got its name. The modification time of `.ltx` files shows [`Body::timestamp`], as
/// Litestream wants it.
#[derive(Clone)]
pub struct FileStore {
    url: Arc<str>,
    host: Host,
    disk: Arc<Disk>,
}

impl FileStore {
    /// Opens the store in a directory, which is created by the first write.
    #[must_use]
    pub fn new(root: PathBuf, url: &str, host: &Host) -> Self {
        FileStore { url: url.into(), host: host.clone(), disk: Arc::new(Disk::new(root)) }
    }

    /// Runs a job on the blocking pool, once there is room for it.
    async fn on_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Disk, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (disk, url) = (Arc::clone(&self.disk), Arc::clone(&self.url));
        let room = AT_ONCE.acquire().await.expect("BUG: nobody closes it");
        run_blocking(&self.host.tasks, move || {
            // Goes with the job, which goes on where nobody waits for it any more.
            let _room = room;
            job(&disk, &url)
        })
        .await
    }

    async fn write(&self, key: &str, body: Body, naming: Naming) -> Result<Created> {
        key::check(&self.url, key)?;
        let (key, unique) = (key.to_owned(), self.host.chance.bits());
        self.on_disk(move |disk, url| disk.write(&key, &body, unique, naming).map_err(|error| error.at(url, &key)))
            .await
    }

    /// Opens an object for reading and hands it to `read` with its size.
    async fn read<T: Send + 'static>(
        &self,
        key: &str,
        read: impl FnOnce(&fs::File, &fs::Metadata) -> io::Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        key::check(&self.url, key)?;
        let key = key.to_owned();
        self.on_disk(move |disk, url| {
            let outcome = fs::File::open(disk.path(&key)).and_then(|file| {
                let meta = file.metadata()?;
                if meta.is_file() { read(&file, &meta) } else { Err(Io::NotFound.into()) }
            });
            match outcome {
                Ok(value) => Ok(Some(value)),
                // A file where the key has a folder, or the reverse: no such object either.
                Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory | Io::IsADirectory) => Ok(None),
                Err(error) => Err(failed("reading", error).object(key::object_url(url, &key))),
            }
        })
        .await
    }
}

fn read_exactly(file: &fs::File, start: u64, bytes: u64) -> io::Result<Bytes> {
    let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    file.read_exact_at(&mut buffer, start)?;
    Ok(buffer.into())
}

#[async_trait]
impl Store for FileStore {
    fn url(&self) -> &str {
        &self.url
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        self.write(key, body, Naming::New).await
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.write(key, body, Naming::Replace).await.map(drop)
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.read(key, |file, meta| Ok(Object { bytes: read_exactly(file, 0, meta.len())?, modified: modified(meta) }))
            .await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let asked = range.clone();
        let found = self
            .read(key, move |file, meta| {
                if asked.start > asked.end || asked.end > meta.len() {
                    return Ok(Err(meta.len()));
                }
                read_exactly(file, asked.start, asked.end - asked.start).map(Ok)
            })
            .await?;
        match found {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(size)) => Err(key::beyond_the_end(&self.url, key, &range, Some(size))),
        }
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        self.read(key, move |file, meta| {
            let (size, wanted) = (meta.len(), bytes.min(meta.len()));
            Ok(Tail { bytes: read_exactly(file, size - wanted, wanted)?, size, modified: modified(meta) })
        })
        .await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        key::check_folder(&self.url, folder)?;
        let (folder, after) = (folder.to_owned(), after.map(str::to_owned));
        self.on_disk(move |disk, url| {
            disk.list(&folder, after.as_deref())
                .map_err(|error| failed("listing", error).object(key::object_url(url, &folder)))
        })
        .await
    }

    async fn list_folder(&self, folder: &str) -> Result<Folder> {
        key::check_folder(&self.url, folder)?;
        let folder = folder.to_owned();
        self.on_disk(move |disk, url| {
            disk.list_folder(&folder).map_err(|error| failed("listing", error).object(key::object_url(url, &folder)))
        })
        .await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            key::check(&self.url, key)?;
        }
        let keys = keys.to_vec();
        self.on_disk(move |disk, url| {
            disk.delete(&keys).map_err(|(key, error)| failed("deleting", error).object(key::object_url(url, &key)))
        })
        .await
    }

    fn s3_layout(&self) -> bool {
        false
    }
}

/// Here the disk is the store.
fn failed(doing: &'static str, error: io::Error) -> Error {
    match error.kind() {
        Io::NotFound => Error::new(ErrorKind::NotFound, doing).caused_by(error),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => Error::new(ErrorKind::Denied, doing).caused_by(error),
        _ => Error::io(doing, error),
    }
}

/// How a write failed, and whether the object may have its name already.
struct WriteError {
    error: io::Error,
    named: bool,
}

impl WriteError {
    fn at(self, url: &str, key: &str) -> Error {
        let object = key::object_url(url, key);
        if self.named {
            return Error::new(ErrorKind::Unavailable, "syncing the folder of")
                .object(object)
                .caused_by(self.error)
                .hint("the object is there, but may not survive a power loss");
        }
        match self.error.kind() {
            Io::Unsupported => Error::new(ErrorKind::Unsupported, "creating")
                .object(object)
                .why("this file system has neither hard links nor a rename that does not replace")
                .hint("keep the volume on another file system"),
            Io::NotADirectory | Io::IsADirectory => Error::new(ErrorKind::Invalid, "writing")
                .object(object)
                .caused_by(self.error)
                .hint("a file is where the volume needs a directory, or the reverse"),
            _ => failed("writing", self.error).object(object),
        }
    }
}

#[cfg(test)]
mod tests;
