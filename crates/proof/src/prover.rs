//! Asking for a proof.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use bytes::Bytes;
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared, try_join},
    lock::Mutex,
};
use plimsoll_host::{Host, WallMs, run_blocking};
use plimsoll_ltx::{
    FileId, Header, Layout, PageTable,
    decode::{Decoded, verify_whole},
    sidecar::Sidecar,
};
use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_store::Store;

use crate::{kept::Kept, survey::survey};

/// Objects up to this size are read whole: one request proves all they hold.
pub const WHOLE_BYTES_MAX: u64 = 512 << 10;
/// The file checksum, at the very end.
const CHECKSUM_BYTES: u64 = 8;

/// An object of which everything below is known to be right.
#[derive(Clone, Debug)]
pub struct Proved {
    /// Its header.
    pub header: Header,
    /// Its file checksum.
    pub checksum: u64,
    /// Its bytes.
    pub size: u64,
    /// Where its pages are, each with the hash that says whether what is read there is right.
    pub entries: Arc<PageTable>,
    /// All of it, if it is small.
    pub bytes: Option<Bytes>,
    /// When it was made, by the store's clock.
    pub modified: WallMs,
}

/// An object of this name and size, of which sidecars are looked for or not.
type Asked = (FileId, u64, bool);
type Answer = Arc<Result<Option<Proved>>>;

/// See the [crate](crate). Cheap to clone; clones share what they know and what they are just asking for, and read one
/// large object at a time.
#[derive(Clone)]
pub struct Prover(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    host: Host,
    kept: Option<Kept>,
    /// Held while an object is read from end to end: that is a lot of traffic, and others may want the same one.
    surveying: Mutex<()>,
    /// What is under way.
    asking: StdMutex<HashMap<Asked, WeakShared<BoxFuture<'static, Answer>>>>,
}

impl Prover {
    /// For the objects of one volume. `dir`: where descriptions are kept; without it a large object without a
    /// sidecar is read whole each time.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, host: Host, dir: Option<PathBuf>) -> Self {
        let kept = dir.map(|dir| Kept { files: Arc::clone(&host.files), dir });
        Prover(Arc::new(Inner { store, host, kept, surveying: Mutex::new(()), asking: StdMutex::default() }))
    }

    /// The volume's prefix.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// How the keys of objects look.
    #[must_use]
    pub fn layout(&self) -> Layout {
        if self.0.store.s3_layout() { Layout::S3 } else { Layout::Other }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.0.host
    }

    /// The full URL of an object, for messages.
    pub(crate) fn object(&self, id: &FileId) -> String {
        format!("{}/{}", self.0.store.url(), self.layout().key(id))
    }

    /// Proves an object; `None` if there is none. `size` is what a listing says, if it is known. `sidecars`: whether
    /// there may be any.
    ///
    /// One round trip, two if the size is not known or a small object fails its check. A large object that nobody has described is read whole, in
    /// memory that does not grow with it. The description is kept for the next time, as one that was found is: it grows
    /// with the object. Who asks for the same object that was listed at the same time gets the same answer.
    ///
    /// # Errors
    /// `Corrupt`: the object fails its check. Otherwise as the store says.
    pub async fn prove(&self, id: &FileId, size: Option<u64>, sidecars: bool) -> Result<Option<Proved>> {
        // Whether there is an object that nobody has listed may have changed since somebody else has asked.
        let Some(bytes) = size else { return self.ask(id, None, sidecars).await };
        let asked = (*id, bytes, sidecars);
        let answer = self.share(asked).await;
        match &*answer {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(error.duplicate()),
        }
    }

    fn share(&self, asked: Asked) -> Shared<BoxFuture<'static, Answer>> {
        let mut asking = self.0.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = asking.get(&asked).and_then(WeakShared::upgrade) {
            return under_way;
        }
        let (this, (id, size, sidecars)) = (self.clone(), asked);
        let fresh = async move { Arc::new(this.ask(&id, Some(size), sidecars).await) }.boxed().shared();
        asking.retain(|_, other| other.upgrade().is_some());
        asking.extend(fresh.downgrade().map(|weak| (asked, weak)));
        fresh
    }

    async fn ask(&self, id: &FileId, size: Option<u64>, sidecars: bool) -> Result<Option<Proved>> {
        let (store, key) = (self.store(), self.layout().key(id));
        if size.is_some_and(|size| size <= WHOLE_BYTES_MAX) {
            return match self.small(id, &key).await {
                // It may have been damaged on its way only. Where hundreds of objects are read at once, none of them
                // would have to be for anything to come of it.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::debug!(%error, "it is read once more");
                    self.small(id, &key).await
                }
                other => other,
            };
        }
        if size.is_none() {
            let Some(tail) = store.get_tail(&key, WHOLE_BYTES_MAX).await? else { return Ok(None) };
            if tail.size == tail.bytes.len() as u64 {
                return self.whole(id, tail.bytes, tail.modified).map(Some);
            }
        }
        let kept = self.kept(id).await;
        let beside = async { if !sidecars || kept.is_some() { Ok(None) } else { store.get(&id.sidecar_key()).await } };
        let (end, beside) = try_join(store.get_tail(&key, CHECKSUM_BYTES), beside).await?;
        let Some(end) = end else { return Ok(None) };
        let fits = |sidecar: &Sidecar| {
            sidecar.file_bytes == end.size
                && sidecar.file_checksum.to_be_bytes()[..] == end.bytes[..]
                && (sidecar.header.min, sidecar.header.max) == (id.min, id.max)
        };
        if let Some(kept) = kept.filter(&fits) {
            return Ok(Some(Proved::by(kept, end.modified)));
        }
        if let Some(found) = beside {
            match Sidecar::decode(found.bytes.clone()) {
                Ok(sidecar) if fits(&sidecar) => {
                    self.keep(id, found.bytes).await;
                    return Ok(Some(Proved::by(sidecar, end.modified)));
                }
                Ok(_) => tracing::warn!(object = %self.object(id), "its sidecar belongs to another object"),
                Err(error) => tracing::warn!(object = %self.object(id), %error, "its sidecar is unusable"),
            }
        }
        let _surveying = self.0.surveying.lock().await;
        if let Some(kept) = self.kept(id).await.filter(fits) {
            return Ok(Some(Proved::by(kept, end.modified)));
        }
        self.survey(id).await
    }

    async fn small(&self, id: &FileId, key: &str) -> Result<Option<Proved>> {
        let Some(found) = self.store().get(key).await? else { return Ok(None) };
        self.whole(id, found.bytes, found.modified).map(Some)
    }

    /// Proves an object by reading all of it, whatever was said of it before; `None` if there is none.
    ///
    /// # Errors
    /// As [`Prover::prove`].
    pub async fn prove_anew(&self, id: &FileId) -> Result<Option<Proved>> {
        let _surveying = self.0.surveying.lock().await;
        self.survey(id).await
    }

    /// Whether this host has had to do with a large object before. No request.
    pub async fn remembers(&self, id: &FileId) -> bool {
        let (Some(kept), id) = (self.0.kept.clone(), *id) else { return false };
        run_blocking(&self.0.host.tasks, move || kept.has(&id)).await
    }

    /// Whether an object that was proved is still there, and when it was made; `None` if it is gone or another one has its
    /// name. One small request.
    ///
    /// # Errors
    /// As the store says.
    pub async fn unchanged(&self, id: &FileId, size: u64, checksum: u64) -> Result<Option<WallMs>> {
        let end = self.store().get_tail(&self.layout().key(id), CHECKSUM_BYTES).await?;
        let same = end.filter(|end| end.size == size && end.bytes[..] == checksum.to_be_bytes()[..]);
        Ok(same.map(|end| end.modified))
    }

    /// Forgets what was kept of objects that are not among `ids`.
    pub async fn retain(&self, ids: HashSet<FileId>) {
        if let Some(kept) = self.0.kept.clone() {
            run_blocking(&self.0.host.tasks, move || kept.retain(&ids)).await;
        }
    }

    async fn survey(&self, id: &FileId) -> Result<Option<Proved>> {
        let Some((decoded, modified)) = survey(self, id).await? else { return Ok(None) };
        self.name_fits(id, &decoded)?;
        let sidecar = decoded.sidecar();
        self.keep(id, sidecar.encode().into()).await;
        Ok(Some(Proved::by(sidecar, modified)))
    }

    /// Keeps a description for the next time.
    async fn keep(&self, id: &FileId, sidecar: Bytes) {
        let Some(kept) = self.0.kept.clone() else { return };
        let id = *id;
        run_blocking(&self.0.host.tasks, move || kept.put(&id, &sidecar)).await;
    }

    async fn kept(&self, id: &FileId) -> Option<Sidecar> {
        let (kept, id) = (self.0.kept.clone()?, *id);
        run_blocking(&self.0.host.tasks, move || kept.get(&id)).await
    }

    fn whole(&self, id: &FileId, bytes: Bytes, modified: WallMs) -> Result<Proved> {
        let decoded = verify_whole(&bytes).map_err(|error| error.object(self.object(id)))?;
        self.name_fits(id, &decoded)?;
        let Decoded { header, checksum, size, index } = decoded;
        Ok(Proved { header, checksum, size, entries: Arc::new(index.into()), bytes: Some(bytes), modified })
    }

    fn name_fits(&self, id: &FileId, Decoded { header, .. }: &Decoded) -> Result<()> {
        if (header.min, header.max) == (id.min, id.max) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, "reading LTX object")
            .object(self.object(id))
            .why(format!("its header says TXIDs {} to {}, its name {} to {}", header.min, header.max, id.min, id.max))
            .hint("keep the object; it is damaged or was copied to another name"))
    }
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prover({})", self.0.store.url())
    }
}

impl Proved {
    /// What a description says of an object that was made then.
    fn by(sidecar: Sidecar, modified: WallMs) -> Self {
        let Sidecar { header, file_bytes, file_checksum, entries } = sidecar;
        Proved { header, checksum: file_checksum, size: file_bytes, entries: Arc::new(entries), bytes: None, modified }
    }
}
