//! The trait that the engine sees of an object store.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_host::WallMs;
use plimsoll_model::Result;

use crate::Body;

/// The answer to a conditional create. "No answer" is the error kind
/// [`Unavailable`](plimsoll_model::ErrorKind::Unavailable): the object may exist then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// This request made the object.
    New,
    /// An object of that name was there. It may be ours, from an earlier request without answer.
    Exists,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Key relative to the volume's prefix.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When the store says it was last written. Comparable only with others from the same store.
    pub modified: WallMs,
}

/// What is directly in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its subfolders, each as a key that ends with `/`, in ascending order.
    pub folders: Vec<String>,
    /// Its objects, in ascending order of keys.
    pub entries: Vec<Entry>,
}

/// The beginning of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In ascending order of keys.
    pub entries: Vec<Entry>,
    /// Whether there may be more behind the last of them.
    pub more: bool,
}

/// A whole object.
#[derive(Clone, Debug)]
pub struct Object {
    /// The content.
    pub bytes: Bytes,
    /// When the store says it was last written.
    pub modified: WallMs,
}

/// The end of an object.
#[derive(Clone, Debug)]
pub struct Tail {
    /// At most as many of the last bytes as were asked for.
    pub bytes: Bytes,
    /// Size of the whole object.
    pub size: u64,
    /// When the store says it was last written.
    pub modified: WallMs,
}

/// A volume's prefix in an object store.
///
/// # Errors
/// Every method: [`Unavailable`](plimsoll_model::ErrorKind::Unavailable) when there was no usable
/// answer (retries are already spent), [`Denied`](plimsoll_model::ErrorKind::Denied) when the store
/// refused. Errors name the full URL of the object and never a secret.
#[async_trait]
pub trait Store: Send + Sync {
    /// The URL of the prefix, without credentials: the volume's identity, and for messages.
    fn url(&self) -> &str;

    /// Creates an object unless one of that name exists. One request; the one primitive that the
    /// commit protocol rests on. The object is durable when either answer comes. Dropping the future
    /// may leave the object created.
    async fn create(&self, key: &str, body: Body) -> Result<Created>;

    /// Creates or overwrites an object. For records with one owner only; large bodies may be sent in parts.
    async fn put(&self, key: &str, body: Body) -> Result<()>;

    /// Reads an object whole; `None` if there is none.
    async fn get(&self, key: &str) -> Result<Option<Object>>;

    /// Reads a byte range, exactly; `None` if there is no such object. A range beyond the end is
    /// [`Corrupt`](plimsoll_model::ErrorKind::Corrupt).
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>>;

    /// Reads the last `bytes` bytes, or all of a shorter object; `None` if there is none.
    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>>;

    /// Lists every key below `folder` (which ends with `/`, or is empty for all), in ascending order
    /// of bytes, if `after` is given only those greater than it. `after` is a key relative to the
    /// volume's prefix, not to the folder; no object of that name need exist. Pages of the listing
    /// are fetched one after the other.
    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>>;

    /// The first of what [`Store::list`] gives: as many as one request brings, which is all where listings have no pages.
    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        Ok(Page { entries: self.list(folder, after).await?, more: false })
    }

    /// Lists what is directly in `folder`, named as for [`Store::list`]. Stores that can do so ask for no more
    /// than that; otherwise everything below is listed.
    async fn list_folder(&self, folder: &str) -> Result<Folder> {
        let mut found = Folder::default();
        for entry in self.list(folder, None).await? {
            match entry.key[folder.len()..].find('/') {
                None => found.entries.push(entry),
                Some(slash) => {
                    let key = &entry.key[..=folder.len() + slash];
                    if found.folders.last().is_none_or(|last| last != key) {
                        found.folders.push(key.to_owned());
                    }
                }
            }
        }
        Ok(found)
    }

    /// Removes objects; missing ones are fine. After an error some may be gone and some not.
    async fn delete(&self, keys: &[String]) -> Result<()>;

    /// As [`Store::delete`], by requests that are never sent again by themselves: for names that somebody else may take
    /// next. After an error each may be gone, or go later.
    async fn delete_once(&self, keys: &[String]) -> Result<()> {
        self.delete(keys).await
    }

    /// Bytes of the largest object that [`Store::create`] can make. A larger one is refused as
    /// [`Unsupported`](plimsoll_model::ErrorKind::Unsupported), so what may become one is refused before it is promised.
    fn object_bytes_max(&self) -> u64 {
        u64::MAX
    }

    /// Whether the prefix uses the key layout of S3 (`0000/…`) or that of the other stores (`ltx/0/…`).
    fn s3_layout(&self) -> bool;
}
