//! S3, Google Cloud Storage and Azure Blob Storage.
//!
//! The requests are made by the `object_store` crate, whose own retries are off: [`crate::RetryStore`]
//! decides, with the host's clock. Time limits are ours too, since a limit that suits an answer of
//! 4 KiB does not suit an upload of 4 GiB.

mod answer;
mod authorities;
mod aws;
mod azure;
mod client;
mod connections;
mod credentials;
mod gcp;
mod http;
mod limit;
mod profile;
mod streamed;
mod upload;

use std::{io, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, PutMode, PutOptions, PutPayload,
    path::Path,
};
use plimsoll_host::{Host, WallMs, run_blocking};
use plimsoll_model::{
    Error, ErrorKind, Result,
    limits::{AZURE_OBJECT_BYTES_MAX, OBJECT_BYTES_MAX, REQUESTS_MAX},
};
use tokio::sync::{Semaphore, SemaphorePermit};

pub use self::connections::Connections;
use self::{
    answer::{Answer, Context},
    credentials::Credentials,
    limit::Limits,
    streamed::{Mark, Upload},
};
use crate::{
    Body, Created, Entry, Environment, Folder, Object, Page, Piece, Scheme, Store, StoreOptions, Tail, VolumeUrl,
    key::{self, object_url},
    retry::RetryPolicy,
};

/// Keys that one request for a listing brings at most. Who takes no more of them asks for no second page.
const PAGE_KEYS: usize = 1000;

/// A prefix in a bucket.
pub(crate) struct CloudStore {
    url: String,
    scheme: Scheme,
    bucket: String,
    prefix: String,
    inner: Box<dyn ObjectStore>,
    credentials: Credentials,
    limits: Limits,
    /// For the parts of a large upload: a lost part costs a part.
    part_retry: RetryPolicy,
    permits: Semaphore,
    /// Of who signs requests, if that signs bodies.
    mark: Option<Mark>,
    host: Host,
}

/// What a cloud's builder made of URL, options and environment.
struct Built {
    /// With the endpoint, wherever it came from.
    url: VolumeUrl,
    inner: Box<dyn ObjectStore>,
    credentials: Credentials,
    /// Of who signs requests, if that signs bodies.
    mark: Option<Mark>,
}

impl CloudStore {
    pub(crate) fn open(
        url: &VolumeUrl,
        options: &StoreOptions,
        environment: &Environment,
        host: &Host,
    ) -> Result<CloudStore> {
        let built = match url.scheme() {
            Scheme::S3 => aws::build(url, options, environment, host)?,
            Scheme::Gcs => gcp::build(url, options, environment)?,
            Scheme::Azure => azure::build(url, options, environment)?,
            Scheme::File | Scheme::Memory => unreachable!("BUG: not a cloud: {url}"),
        };
        Ok(CloudStore {
            url: built.url.canonical(),
            scheme: url.scheme(),
            bucket: url.bucket().to_owned(),
            prefix: url.prefix().to_owned(),
            inner: built.inner,
            credentials: built.credentials,
            limits: Limits::new(http::request_timeout(options, environment, url.scheme())?, &host.clock),
            part_retry: options.retry.clone(),
            permits: Semaphore::new(REQUESTS_MAX),
            mark: built.mark,
            host: host.clone(),
        })
    }

    fn path(&self, key: &str) -> Result<Path> {
        key::check(&self.url, key)?;
        self.path_unchecked(key)
    }

    fn path_unchecked(&self, key: &str) -> Result<Path> {
        Path::parse(format!("{}/{key}", self.prefix).trim_start_matches('/')).map_err(|error| {
            Error::new(ErrorKind::Invalid, "naming the object").object(object_url(&self.url, key)).caused_by(error)
        })
    }

    /// The key of a path. An object named like the prefix itself is not below it.
    fn below<'p>(&self, path: &'p Path) -> Option<&'p str> {
        if self.prefix.is_empty() {
            return Some(path.as_ref());
        }
        path.as_ref().strip_prefix(&self.prefix)?.strip_prefix('/')
    }

    fn context<'a>(&'a self, doing: &'static str, key: &'a str) -> Context<'a> {
        Context { doing, url: &self.url, key, scheme: self.scheme, bucket: &self.bucket }
    }

    /// Waits for credentials, and for one of [`REQUESTS_MAX`] places for requests.
    async fn admit(&self, context: &Context<'_>) -> Result<SemaphorePermit<'_>> {
        let permit = self.permits.acquire().await.expect("BUG: nobody closes the semaphore");
        self.credentials.ready(context, &self.host).await?;
        Ok(permit)
    }

    /// Sends one request, with so many bytes of body.
    async fn send<T>(
        &self,
        context: &Context<'_>,
        upload_bytes: u64,
        request: impl Future<Output = object_store::Result<T>> + Send,
    ) -> Result<Result<T, Answer>> {
        let _permit = self.admit(context).await?;
        self.answer(context, upload_bytes, request).await
    }

    /// Waits for the answer to a request, but not for ever.
    async fn answer<T>(
        &self,
        context: &Context<'_>,
        upload_bytes: u64,
        request: impl Future<Output = object_store::Result<T>> + Send,
    ) -> Result<Result<T, Answer>> {
        match self.limits.within(upload_bytes, request).await {
            Err(timeout) => Err(context.timeout(timeout)),
            Ok(answer) => Ok(answer.map_err(|error| Answer::of(&error))),
        }
    }

    /// Sends a GET or HEAD and reads the body; `None` if there is no such object.
    async fn fetch(&self, key: &str, options: GetOptions) -> Result<Result<Option<(GetResultMeta, Bytes)>, Answer>> {
        let path = self.path(key)?;
        let context = self.context("reading", key);
        let _permit = self.admit(&context).await?;
        let found = match self.answer(&context, 0, self.inner.get_opts(&path, options)).await? {
            Ok(found) => found,
            Err(answer) if answer.is_missing_object() => return Ok(Ok(None)),
            Err(answer) => return Ok(Err(answer)),
        };
        let meta = GetResultMeta::of(&found);
        let mut chunks = found.into_stream();
        let mut pieces = Vec::new();
        loop {
            match self.limits.within(0, chunks.next()).await {
                Err(timeout) => return Err(context.timeout(timeout)),
                Ok(None) => break,
                Ok(Some(Ok(piece))) => pieces.push(piece),
                Ok(Some(Err(error))) => return Err(context.error(&Answer::of(&error))),
            }
        }
        let bytes = if pieces.len() == 1 { pieces.swap_remove(0) } else { pieces.concat().into() };
        Ok(Ok(Some((meta, bytes))))
    }

    async fn head(&self, key: &str) -> Result<Option<GetResultMeta>> {
        let found = self.fetch(key, GetOptions { head: true, ..GetOptions::default() }).await?;
        let found = found.map_err(|answer| self.context("reading", key).error(&answer))?;
        Ok(found.map(|(meta, _)| meta))
    }

    /// Sends a body in one request.
    async fn put_whole(
        &self,
        context: &Context<'_>,
        path: &Path,
        body: &Body,
        mut options: PutOptions,
    ) -> Result<Result<(), Answer>> {
        let bytes = body.len();
        if bytes <= upload::WHOLE_BYTES_MAX || body.is_in_memory() {
            let payload = self.payload(context, &body.pieces).await?;
            return Ok(self.send(context, bytes, self.inner.put_opts(path, payload, options)).await?.map(drop));
        }
        let upload = Upload::of(body, &self.host);
        let stand_in = upload.stand_in(self.mark).await.map_err(|error| context.unread(error))?;
        options.extensions.insert(upload.clone());
        let sent = self.send(context, bytes, self.inner.put_opts(path, stand_in, options)).await;
        match (sent, upload.failure()) {
            (Ok(Err(answer)), Some(_)) if answer.is_taken_name() => Ok(Err(answer)),
            (Err(_) | Ok(Err(_)), Some(failure)) => Err(context.unread(failure)),
            (sent, _) => sent.map(|answer| answer.map(drop)),
        }
    }

    /// Pieces of a body, in memory.
    async fn payload(&self, context: &Context<'_>, pieces: &[Piece]) -> Result<PutPayload> {
        let read = |pieces: &[Piece]| pieces.iter().map(Piece::read).collect::<io::Result<PutPayload>>();
        let payload = if pieces.iter().all(|piece| matches!(piece, Piece::Memory(_))) {
            read(pieces)
        } else {
            let pieces = pieces.to_vec();
            run_blocking(&self.host.tasks, move || read(&pieces)).await
        };
        payload.map_err(|error| context.unread(error))
    }

    /// The metadata that Litestream reads.
    fn attributes(&self, body: &Body) -> Attributes {
        let mut attributes = Attributes::new();
        let name = match self.scheme {
            Scheme::Azure => "litestreamtimestamp", // no hyphens there
            _ => "litestream-timestamp",
        };
        if let Some(text) = body.timestamp.and_then(rfc3339) {
            attributes.insert(Attribute::Metadata(name.into()), text.into());
        }
        attributes
    }
}

/// What the header of an answer says about the object.
struct GetResultMeta {
    size: u64,
    modified: WallMs,
}

impl GetResultMeta {
    fn of(found: &GetResult) -> Self {
        GetResultMeta { size: found.meta.size, modified: wall(found.meta.last_modified) }
    }

    fn tail(self, bytes: Bytes) -> Tail {
        Tail { bytes, size: self.size, modified: self.modified }
    }
}

fn wall(time: chrono::DateTime<chrono::Utc>) -> WallMs {
    WallMs(u64::try_from(time.timestamp_millis()).unwrap_or(0))
}

/// `None` for times that no calendar has.
fn rfc3339(time: WallMs) -> Option<String> {
    let time = chrono::DateTime::from_timestamp_millis(i64::try_from(time.0).ok()?)?;
    Some(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

impl CloudStore {
    /// The first `max` keys below a folder, and whether there may be more. Pages are asked for as they are needed.
    async fn listed(&self, folder: &str, after: Option<&str>, max: usize) -> Result<Page> {
        key::check_folder(&self.url, folder)?;
        let context = self.context("listing", folder);
        let prefix = self.path_unchecked(folder)?;
        let offset = after.map(|after| self.path_unchecked(after)).transpose()?;
        let _permit = self.admit(&context).await?;
        let mut objects = match &offset {
            Some(offset) => self.inner.list_with_offset(Some(&prefix), offset),
            None => self.inner.list(Some(&prefix)),
        };
        let (mut entries, mut seen) = (Vec::new(), 0);
        while seen < max {
            let object = match self.limits.within(0, objects.next()).await {
                Err(timeout) => return Err(context.timeout(timeout)),
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(context.error(&Answer::of(&error))),
                Ok(Some(Ok(object))) => object,
            };
            seen += 1;
            if let Some(key) = self.below(&object.location)
                && after.is_none_or(|after| key > after)
            {
                entries.push(Entry { key: key.to_owned(), size: object.size, modified: wall(object.last_modified) });
            }
        }
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(Page { entries, more: seen == max })
    }
}

#[async_trait]
impl Store for CloudStore {
    fn url(&self) -> &str {
        &self.url
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        let (path, context, bytes) = (self.path(key)?, self.context("creating", key), body.len());
        key::check_size(&self.url, key, bytes, self.object_bytes_max())?;
        let options = PutOptions { mode: PutMode::Create, attributes: self.attributes(&body), ..PutOptions::default() };
        match self.put_whole(&context, &path, &body, options).await? {
            Ok(()) => Ok(Created::New),
            Err(answer) if answer.is_taken_name() => Ok(Created::Exists),
            Err(answer) => Err(context.error(&answer)),
        }
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        let (path, context, bytes) = (self.path(key)?, self.context("writing", key), body.len());
        if bytes > upload::WHOLE_BYTES_MAX {
            return self.upload(&context, &path, &body).await;
        }
        let options = PutOptions { attributes: self.attributes(&body), ..PutOptions::default() };
        self.put_whole(&context, &path, &body, options).await?.map_err(|answer| context.error(&answer))
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        let found = self.fetch(key, GetOptions::default()).await?;
        let found = found.map_err(|answer| self.context("reading", key).error(&answer))?;
        Ok(found.map(|(meta, bytes)| Object { bytes, modified: meta.modified }))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        if range.start >= range.end {
            // HTTP cannot ask for nothing.
            return match self.head(key).await? {
                Some(meta) if range.start > range.end || range.end > meta.size => {
                    Err(key::beyond_the_end(&self.url, key, &range, Some(meta.size)))
                }
                found => Ok(found.map(|_| Bytes::new())),
            };
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        match self.fetch(key, options).await? {
            Ok(None) => Ok(None),
            Ok(Some((_, bytes))) if bytes.len() as u64 == range.end - range.start => Ok(Some(bytes)),
            Ok(Some((meta, _))) => Err(key::beyond_the_end(&self.url, key, &range, Some(meta.size))),
            Err(answer) if answer.is_beyond_the_end() => Err(key::beyond_the_end(&self.url, key, &range, None)),
            Err(answer) => Err(self.context("reading", key).error(&answer)),
        }
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        // Azure has no suffix ranges, and no store has one of no bytes.
        if self.scheme == Scheme::Azure || bytes == 0 {
            let Some(meta) = self.head(key).await? else { return Ok(None) };
            let range = meta.size.saturating_sub(bytes)..meta.size;
            let found = self.get_range(key, range).await?;
            return Ok(found.map(|bytes| meta.tail(bytes)));
        }
        let options = GetOptions { range: Some(GetRange::Suffix(bytes)), ..GetOptions::default() };
        match self.fetch(key, options).await? {
            Ok(found) => Ok(found.map(|(meta, bytes)| meta.tail(bytes))),
            Err(answer) if answer.is_beyond_the_end() || answer.is_whole_object() || answer.is_internal() => {
                match self.head(key).await? {
                    None => Ok(None),
                    // Only an empty object has no last byte.
                    Some(meta) if meta.size == 0 => Ok(Some(meta.tail(Bytes::new()))),
                    // s3s-fs fails where less is there than was asked for.
                    Some(meta) if meta.size < bytes && answer.is_internal() => {
                        Ok(self.get_range(key, 0..meta.size).await?.map(|bytes| meta.tail(bytes)))
                    }
                    Some(_) => Err(self.context("reading", key).error(&answer)),
                }
            }
            Err(answer) => Err(self.context("reading", key).error(&answer)),
        }
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        self.listed(folder, after, usize::MAX).await.map(|page| page.entries)
    }

    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        self.listed(folder, after, PAGE_KEYS).await
    }

    async fn list_folder(&self, folder: &str) -> Result<Folder> {
        key::check_folder(&self.url, folder)?;
        let context = self.context("listing", folder);
        let prefix = self.path_unchecked(folder)?;
        let listed = self.send(&context, 0, self.inner.list_with_delimiter(Some(&prefix))).await?;
        let listed = listed.map_err(|answer| context.error(&answer))?;
        let below = |path: &Path| self.below(path).map(str::to_owned);
        let mut folders: Vec<String> =
            listed.common_prefixes.iter().filter_map(|path| below(path).map(|key| key + "/")).collect();
        let entry = |object: &ObjectMeta| {
            Some(Entry { key: below(&object.location)?, size: object.size, modified: wall(object.last_modified) })
        };
        let mut entries: Vec<Entry> = listed.objects.iter().filter_map(entry).collect();
        folders.sort_unstable();
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(Folder { folders, entries })
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let Some(first) = keys.first() else { return Ok(()) };
        let context = self.context("deleting", first);
        let paths = keys.iter().map(|key| self.path(key)).collect::<Result<Vec<_>>>()?;
        let _permit = self.admit(&context).await?;
        let mut gone = self.inner.delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
        let mut failure = None;
        loop {
            match self.limits.within(0, gone.next()).await {
                Err(timeout) => return Err(context.timeout(timeout)),
                Ok(None) => break,
                Ok(Some(Ok(_))) => {}
                // One that cannot be deleted is no reason to keep the others.
                Ok(Some(Err(error))) => {
                    let answer = Answer::of(&error);
                    if !answer.is_missing_object() {
                        failure.get_or_insert(answer);
                    }
                }
            }
        }
        failure.map_or(Ok(()), |answer| Err(context.error(&answer)))
    }

    fn object_bytes_max(&self) -> u64 {
        if self.scheme == Scheme::Azure { AZURE_OBJECT_BYTES_MAX } else { OBJECT_BYTES_MAX }
    }

    fn s3_layout(&self) -> bool {
        self.scheme == Scheme::S3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_litestream_reads_them() {
        assert_eq!(rfc3339(WallMs(1_000_000_000_123)).as_deref(), Some("2001-09-09T01:46:40.123Z"));
        assert_eq!(rfc3339(WallMs(u64::MAX)), None);
    }
}
