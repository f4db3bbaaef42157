//! What was asked of the server, and what for as far as names tell.

use plimsoll_ltx::{
    Header,
    decode::{TailRead, read_tail},
};
use serde::{Deserialize, Serialize};

/// What was asked of the server below a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Reads of objects.
    pub gets: u64,
    /// Writes of objects, parts of large ones too.
    pub puts: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Deletions, which cost nothing, however many keys in one.
    pub deletes: u64,
    /// Bytes of objects written.
    pub bytes_in: u64,
    /// Bytes of objects read.
    pub bytes_out: u64,
    /// Of the writes, those of syncs.
    pub sync_puts: u64,
    /// Bytes of the pages that syncs carried, before they were compressed.
    pub dirty_bytes: u64,
    /// Of the writes, those of merges and of what describes them.
    pub merge_puts: u64,
    /// Their bytes.
    pub merge_bytes: u64,
    /// Of all requests, those about who writes: epochs and signs of life.
    pub signs: u64,
    /// Length of the longest chain of requests, each sent after the one before it was answered: what latency costs.
    pub trips: u64,
}

impl Counts {
    /// Requests of every kind.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.gets + self.puts + self.lists + self.deletes
    }

    /// Notes what a request is for.
    pub(crate) fn ask(&mut self, key: &str) {
        self.signs += u64::from(matches!(folder(key), "epoch" | "status"));
    }

    /// Notes a write.
    pub(crate) fn put(&mut self, key: &str, body: &[u8]) {
        let bytes = body.len() as u64;
        self.puts += 1;
        self.bytes_in += bytes;
        let folder = folder(key);
        if folder == "0000" {
            self.sync_puts += 1;
            self.dirty_bytes += page_bytes(body);
        } else if folder == "index" || folder.len() == 4 && folder.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.merge_puts += 1;
            self.merge_bytes += bytes;
        }
    }

    /// Of several prefixes. The trips are those of the longest chain.
    pub(crate) fn and(&self, other: &Counts) -> Counts {
        Counts { trips: self.trips.max(other.trips), ..self.each(other, |own, other| own + other) }
    }

    /// What came after `before`.
    #[must_use]
    pub fn since(&self, before: &Counts) -> Counts {
        self.each(before, |now, before| now - before)
    }

    fn each(&self, other: &Counts, both: fn(u64, u64) -> u64) -> Counts {
        Counts {
            gets: both(self.gets, other.gets),
            puts: both(self.puts, other.puts),
            lists: both(self.lists, other.lists),
            deletes: both(self.deletes, other.deletes),
            bytes_in: both(self.bytes_in, other.bytes_in),
            bytes_out: both(self.bytes_out, other.bytes_out),
            sync_puts: both(self.sync_puts, other.sync_puts),
            dirty_bytes: both(self.dirty_bytes, other.dirty_bytes),
            merge_puts: both(self.merge_puts, other.merge_puts),
            merge_bytes: both(self.merge_bytes, other.merge_bytes),
            signs: both(self.signs, other.signs),
            trips: both(self.trips, other.trips),
        }
    }
}

/// Keys are `prefix/name/folder/…`: a level of four digits, `index`, `epoch`, `status` and others.
fn folder(key: &str) -> &str {
    key.split('/').nth(2).unwrap_or_default()
}

/// Bytes of the pages that an LTX file holds; none if it is no such file.
fn page_bytes(file: &[u8]) -> u64 {
    match (Header::decode(file), read_tail(file, file.len() as u64)) {
        (Ok(header), Ok(TailRead::Index { entries, .. })) => entries.len() as u64 * u64::from(header.page_size.get()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_host::WallMs;
    use plimsoll_ltx::{Encoder, FileId, Frames, Layout};
    use plimsoll_model::{PageCount, PageNo, PageSize, Txid};

    use super::*;

    fn file(pages: u32) -> Vec<u8> {
        let header = Header {
            page_size: PageSize::DEFAULT,
            commit: PageCount(9),
            min: Txid(2),
            max: Txid(2),
            timestamp: WallMs(0),
            stamp: None,
            link: 0,
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, header, Frames::default()).unwrap();
        for page in 1..=pages {
            encoder.page(PageNo::new(page).unwrap(), &[7; 4096]).unwrap();
        }
        encoder.finish().unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_told_apart_by_name_and_the_pages_of_a_sync_count_before_they_are_compressed() {
        let mut counts = Counts::default();
        let key = |id: &FileId| format!("p1/db/{}", Layout::S3.key(id));
        let (sync, merge) = (FileId::sync(Txid(2)), FileId { level: 1, min: Txid(2), max: Txid(3) });
        for (key, body) in [
            (key(&sync), file(3)),
            (key(&merge), file(5)),
            ("p1/db/index/9-1-2.pix".to_owned(), vec![0; 10]),
            ("p1/db/status/0000.json".to_owned(), vec![0; 20]),
            ("p1/db/volume.json".to_owned(), vec![0; 30]),
        ] {
            counts.ask(&key);
            counts.put(&key, &body);
        }
        counts.ask("p1/db/epoch/");
        assert_eq!((counts.puts, counts.sync_puts, counts.dirty_bytes), (5, 1, 3 * 4096));
        assert_eq!((counts.merge_puts, counts.merge_bytes), (2, file(5).len() as u64 + 10));
        assert_eq!(counts.signs, 2);
    }
}
