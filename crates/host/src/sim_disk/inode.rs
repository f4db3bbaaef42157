//! The content of a file: as a reader sees it, and as it is on the platter.

use std::collections::VecDeque;

use super::SECTOR_BYTES;
use crate::Chance;

/// Bytes that wait for a sync before the oldest get to the platter by themselves.
const WAITING_BYTES_MAX: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Inode {
    /// Files of this life that are open on it.
    pub(super) handles: usize,
    live: Vec<u8>,
    platter: Vec<u8>,
    /// What leads from the platter to the live content, oldest first.
    unsynced: VecDeque<Change>,
    waiting_bytes: usize,
    reserved: u64,
}

enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Len(u64),
}

impl Inode {
    pub(super) fn synced(bytes: Vec<u8>) -> Self {
        Inode { live: bytes.clone(), platter: bytes, ..Inode::default() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn allocated(&self) -> u64 {
        self.reserved.max(self.live.len() as u64)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            put(&mut self.live, offset, bytes);
            self.waiting_bytes += bytes.len();
            self.unsynced.push_back(Change::Write { offset, bytes: bytes.to_vec() });
            while self.waiting_bytes > WAITING_BYTES_MAX
                && let Some(oldest) = self.unsynced.pop_front()
            {
                self.arrive(oldest);
            }
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.live.resize(index(len), 0);
        self.reserved = self.reserved.min(len);
        self.unsynced.push_back(Change::Len(len));
    }

    pub(super) fn reserve(&mut self, end: u64) {
        self.reserved = self.reserved.max(end);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            self.arrive(change);
        }
    }

    /// A change reaches the platter.
    fn arrive(&mut self, change: Change) {
        match change {
            Change::Write { offset, bytes } => {
                put(&mut self.platter, offset, &bytes);
                self.waiting_bytes -= bytes.len();
            }
            Change::Len(len) => self.platter.resize(index(len), 0),
        }
    }

    /// Some writes arrive; the others are forgotten, since the system takes them for done.
    pub(super) fn fail_sync(&mut self, mut fates: u64) {
        self.waiting_bytes = 0;
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes } if fates & 1 == 1 => put(&mut self.platter, offset, &bytes),
                Change::Write { .. } => {}
                Change::Len(len) => self.platter.resize(index(len), 0),
            }
            fates = fates.rotate_right(1);
        }
    }

    pub(super) fn power_loss(&mut self, chance: &dyn Chance) {
        self.waiting_bytes = 0;
        // Mostly everything or nothing, for those are the usual cases; else a coin for each sector.
        let mood = chance.below(4);
        let stays = || match mood {
            0 => false,
            1 => true,
            _ => chance.below(2) == 0,
        };
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes } => {
                    let mut at = 0;
                    while at < bytes.len() {
                        let here = offset + at as u64;
                        let len = index(SECTOR_BYTES - here % SECTOR_BYTES).min(bytes.len() - at);
                        if stays() {
                            put(&mut self.platter, here, &bytes[at..at + len]);
                        }
                        at += len;
                    }
                }
                Change::Len(len) if stays() => self.platter.resize(index(len), 0),
                Change::Len(_) => {}
            }
        }
        self.live.clone_from(&self.platter);
    }

    pub(super) fn flip(&mut self, offset: u64, mask: u8) -> bool {
        let offset = index(offset);
        if let Some(byte) = self.platter.get_mut(offset) {
            *byte ^= mask;
        }
        self.live.get_mut(offset).map(|byte| *byte ^= mask).is_some()
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = index(offset);
    let end = start + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("BUG: a simulated file larger than memory")
}
