//! The simulated store as a host sees it.

use std::{collections::BTreeSet, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_commitlog::parse_status_key;
use plimsoll_ltx::{HEADER_BYTES, Layout, SNAPSHOT_LEVEL};
use plimsoll_model::{Error, ErrorKind, Result, ResultExt};
use plimsoll_store::{Body, Created, Entry, Object, Page, Store, Tail};

use crate::{
    coverage::Event,
    network::{Connection, World},
    records, tenure,
    time::Group,
};

/// One host's handle on the store.
pub(crate) struct SimStore {
    connection: Connection,
    layout: Layout,
}

impl SimStore {
    pub(crate) fn new(connection: Connection) -> Self {
        let layout = connection.world.bucket().layout;
        SimStore { connection, layout }
    }

    fn who(&self) -> String {
        format!("host{}", self.connection.host)
    }
}

/// An object of the history was made: it is judged before anybody can read it.
fn made(world: &World, group: Group, key: &str, bytes: &Bytes) {
    let Some(id) = world.bucket().layout.parse(key) else { return };
    let mut judge = world.judge();
    let judge = &mut *judge;
    let now = world.time.now();
    if id.level == 0 && id.min.0 <= judge.history.head() {
        judge.coverage.count(if world.has_ended(group) { Event::StrayOfDead } else { Event::StrayOfLiving });
    }
    if let Err(broken) = judge.history.made(id, bytes, now, &judge.commits, &mut judge.coverage) {
        judge.object(broken.promise, format!("{key}: {}", broken.why));
    }
}

fn keep<T>(answer: T, _: u64) -> T {
    answer
}

fn flip(world: &World, bytes: &Bytes, bit: u64) -> Bytes {
    let mut flipped = bytes.to_vec();
    let bits = flipped.len() as u64 * 8;
    if bits > 0 {
        world.count(Event::FlippedAnswer);
        let bit = bit % bits;
        flipped[usize::try_from(bit / 8).unwrap_or(0)] ^= 1 << (bit % 8);
    }
    flipped.into()
}

#[async_trait]
impl Store for SimStore {
    fn url(&self) -> &str {
        &self.connection.world.shelf.url
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        let bytes = body.to_bytes().doing("sending", key)?;
        let (name, sent, who) = (key.to_owned(), bytes.clone(), self.who());
        let Connection { host, group, .. } = self.connection;
        let effect = move |world: &World| {
            let created = world.bucket().create(&name, sent.clone(), world.time.now());
            world.trace.line(&who, format_args!("create {}: {created:?}", world.shelf.label(&name)));
            records::created(world, group, &name, &sent, created);
            if created == Created::New {
                world.took(group, &name, &sent);
            }
            if created == Created::New {
                world.judge().advertised.made(&name, &sent);
                tenure::written(world, (host, group), &name, &sent);
                made(world, group, &name, &sent);
            }
            created
        };
        let answer = self.connection.request(format!("create {key}"), effect, keep).await;
        match &answer {
            Ok(created) => self.connection.answered(key, *created),
            Err(_) => self.connection.unanswered(key, &bytes),
        }
        answer
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        let (name, bytes, who) = (key.to_owned(), body.to_bytes().doing("sending", key)?, self.who());
        let Connection { host, group, .. } = self.connection;
        let effect = move |world: &World| {
            world.bucket().put(&name, bytes.clone(), world.time.now());
            world.trace.line(&who, format_args!("put {}", world.shelf.label(&name)));
            records::put(world, &name);
            world.judge().advertised.made(&name, &bytes);
            tenure::written(world, (host, group), &name, &bytes);
            made(world, group, &name, &bytes);
        };
        self.connection.request(format!("put {key}"), effect, keep).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        let (name, world) = (key.to_owned(), self.connection.world.clone());
        let effect = move |world: &World| world.bucket().get(&name);
        let flip = move |found: Option<Object>, bit| {
            found.map(|object| Object { bytes: flip(&world, &object.bytes, bit), ..object })
        };
        let found = self.connection.request(format!("get {key}"), effect, flip).await?;
        if let Some(epoch) = parse_status_key(key) {
            self.connection.looked_at_holder(epoch, found.as_ref());
        }
        Ok(found)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let (name, world) = (key.to_owned(), self.connection.world.clone());
        // Of an object too large to be read whole, the header is read by itself, and no check covers that.
        let unchecked = range.end <= HEADER_BYTES as u64;
        let within = range.clone();
        let effect = move |world: &World| {
            let object = world.bucket().get(&name)?;
            let at = |at: u64| usize::try_from(at).ok().filter(|at| *at <= object.bytes.len());
            match (at(within.start), at(within.end)) {
                (Some(start), Some(end)) if start <= end => Some(Ok(object.bytes.slice(start..end))),
                _ => Some(Err(object.bytes.len())),
            }
        };
        let flip = move |found: Option<Result<Bytes, usize>>, bit| {
            found.map(|found| found.map(|bytes| if unchecked { bytes } else { flip(&world, &bytes, bit) }))
        };
        match self.connection.request(format!("get {key} {range:?}"), effect, flip).await? {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(size)) => Err(Error::new(ErrorKind::Corrupt, "reading")
                .object(format!("{}/{key}", self.url()))
                .why(format!("bytes {range:?} were asked for, the object has {size}"))),
        }
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        let (name, world) = (key.to_owned(), self.connection.world.clone());
        let effect = move |world: &World| {
            let object = world.bucket().get(&name)?;
            let size = object.bytes.len();
            let from = size - usize::try_from(bytes).unwrap_or(usize::MAX).min(size);
            Some(Tail { bytes: object.bytes.slice(from..), size: size as u64, modified: object.modified })
        };
        let flip =
            move |found: Option<Tail>, bit| found.map(|tail| Tail { bytes: flip(&world, &tail.bytes, bit), ..tail });
        self.connection.request(format!("get end of {key}"), effect, flip).await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        let mut after = after.map(str::to_owned);
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let page = self.list_page(folder, after.as_deref()).await?;
            entries.extend(page.entries);
            if !page.more {
                return Ok(entries);
            }
            after = entries.last().map(|last| last.key.clone());
        }
    }

    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        let max = self.connection.world.weather().page;
        let (within, from) = (folder.to_owned(), after.map(str::to_owned));
        let effect = move |world: &World| world.bucket().list(&within, from.as_deref(), max);
        let (entries, more) = self.connection.request(format!("list {folder}"), effect, keep).await?;
        if more {
            self.connection.world.count(Event::LongListing);
        }
        Ok(Page { entries, more })
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let (keys, who, group) = (keys.to_vec(), self.who(), self.connection.group);
        let first = keys.first().cloned().unwrap_or_default();
        // The store removes one after the other, and may not get to the end.
        let stop = self.connection.world.dice.once_in(if self.connection.perfect { 0 } else { 20 });
        let effect = move |world: &World| {
            let reached =
                if stop { usize::try_from(world.dice.below(keys.len() as u64 + 1)).unwrap_or(0) } else { keys.len() };
            records::deleted(world, group, &keys[..reached]);
            let gone = world.bucket().delete(&keys[..reached]);
            world.trace.line(&who, format_args!("delete {}", world.shelf.label(&keys[..reached].join(" "))));
            let (layout, left) = {
                let bucket = world.bucket();
                (bucket.layout, bucket.files())
            };
            let mut judge = world.judge();
            for level in gone.iter().map(|id| id.level).collect::<BTreeSet<u8>>() {
                judge.coverage.count(match level {
                    0 => Event::SyncsCollected,
                    SNAPSHOT_LEVEL => Event::SnapshotsCollected,
                    _ => Event::MergesCollected,
                });
            }
            if let Err(broken) = judge.history.removed(layout, &left, &gone, world.time.now()) {
                judge.object(broken.promise, broken.why);
            }
            drop(judge);
            world.bereave(&gone);
            reached == keys.len()
        };
        if self.connection.request(format!("delete {first}"), effect, keep).await? {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Unavailable, "removing objects").why("500 in the middle"))
        }
    }

    fn s3_layout(&self) -> bool {
        self.layout == Layout::S3
    }
}
