//! The bytes of one file: as they can be read, and as they are on the disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::random::Random;

/// Bytes that are kept track of together.
const BLOCK: u64 = 4096;
/// Bytes that are written as a whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct Bytes {
    /// Blocks that are not all zeros, by number.
    blocks: BTreeMap<u64, Vec<u8>>,
    len: u64,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Content {
    now: Bytes,
    durable: Bytes,
    /// Blocks that differ, or may.
    dirty: BTreeSet<u64>,
}

/// What stays of unsynced writes.
#[derive(Clone, Copy)]
enum Stays {
    None,
    All,
    Sectors,
    Blocks,
}

/// Parts of a range: number of the block, where in the block, and where in the range.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let inside = usize::try_from(at % BLOCK).ok()?;
        let count = (len - done).min(BLOCK as usize - inside);
        let range = done..done + count;
        done += count;
        (count > 0).then_some((at / BLOCK, inside, range))
    })
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.now.len
    }

    pub(super) fn allocated(&self) -> u64 {
        self.now.blocks.len() as u64 * BLOCK
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let len = usize::try_from(self.now.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(len);
        let mut bytes = vec![0; len];
        for (number, inside, range) in parts(offset, len) {
            if let Some(block) = self.now.blocks.get(&number) {
                let count = range.len();
                bytes[range].copy_from_slice(&block[inside..inside + count]);
            }
        }
        bytes
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (number, inside, range) in parts(offset, bytes.len()) {
            let block = self.now.blocks.entry(number).or_insert_with(|| vec![0; BLOCK as usize]);
            block[inside..inside + range.len()].copy_from_slice(&bytes[range]);
            self.dirty.insert(number);
        }
        self.now.len = self.now.len.max(offset + bytes.len() as u64);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let changed = self.now.cut(len);
        self.dirty.extend(changed);
    }

    /// Makes a range read as zeros, without changing the length.
    pub(super) fn zero(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.now.len);
        if offset >= end {
            return;
        }
        let numbers: Vec<u64> =
            self.now.blocks.range(offset / BLOCK..=end / BLOCK).map(|(number, _)| *number).collect();
        for number in numbers {
            let from = offset.clamp(number * BLOCK, (number + 1) * BLOCK) - number * BLOCK;
            let to = end.clamp(number * BLOCK, (number + 1) * BLOCK) - number * BLOCK;
            if let (Some(block), Ok(from), Ok(to)) =
                (self.now.blocks.get_mut(&number), usize::try_from(from), usize::try_from(to))
                && from < to
            {
                block[from..to].fill(0);
                self.dirty.insert(number);
            }
        }
    }

    pub(super) fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            self.durable.put(number, self.now.blocks.get(&number).cloned());
        }
        self.durable.len = self.now.len;
    }

    /// A sync that fails: a part is on the disk, and nobody will try the rest again.
    pub(super) fn fail_to_sync(&mut self, random: &mut Random) {
        self.durable = self.mixed(random);
        self.dirty.clear();
    }

    pub(super) fn power_loss(&mut self, random: &mut Random) {
        self.durable = self.mixed(random);
        self.dirty.clear();
        self.now = self.durable.clone();
    }

    fn mixed(&self, random: &mut Random) -> Bytes {
        let stays = match random.below(6) {
            0 => Stays::All,
            1 | 2 => Stays::None,
            3 => Stays::Blocks,
            _ => Stays::Sectors,
        };
        let longer = match stays {
            Stays::None => false,
            Stays::All => true,
            Stays::Sectors | Stays::Blocks => random.once_in(2),
        };
        let mut mixed = self.durable.clone();
        for number in &self.dirty {
            let new = self.now.blocks.get(number);
            let kept = match stays {
                Stays::None => continue,
                Stays::All => new.cloned(),
                Stays::Blocks if random.once_in(2) => new.cloned(),
                Stays::Blocks => continue,
                Stays::Sectors => {
                    let zeros = vec![0; BLOCK as usize];
                    let mut block = mixed.blocks.get(number).unwrap_or(&zeros).clone();
                    let new = new.unwrap_or(&zeros);
                    for at in (0..BLOCK as usize).step_by(SECTOR).filter(|_| random.once_in(2)) {
                        block[at..at + SECTOR].copy_from_slice(&new[at..at + SECTOR]);
                    }
                    Some(block)
                }
            };
            mixed.put(*number, kept);
        }
        let len = if longer { self.now.len } else { self.durable.len };
        mixed.cut(len);
        mixed
    }
}

impl Bytes {
    fn put(&mut self, number: u64, block: Option<Vec<u8>>) {
        match block {
            Some(block) => drop(self.blocks.insert(number, block)),
            None => drop(self.blocks.remove(&number)),
        }
    }

    /// Sets the length; the blocks that changed by that.
    fn cut(&mut self, len: u64) -> Vec<u64> {
        self.len = len;
        let gone = self.blocks.split_off(&len.div_ceil(BLOCK));
        let mut changed: Vec<u64> = gone.into_keys().collect();
        if let (Some(block), Ok(inside)) = (self.blocks.get_mut(&(len / BLOCK)), usize::try_from(len % BLOCK)) {
            block[inside..].fill(0);
            changed.push(len / BLOCK);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: &Content) -> Vec<u8> {
        content.read(0, 1 << 20)
    }

    #[test]
    fn what_is_written_is_read_across_blocks_holes_and_cuts() {
        let mut content = Content::default();
        content.write(4090, &[7; 20]);
        assert_eq!(content.read(4085, 15), [0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
        content.set_len(4095);
        content.set_len(5000);
        assert_eq!(content.read(4093, 10), [7, 7, 0, 0, 0, 0, 0, 0, 0, 0], "what was cut off does not come back");
        content.zero(4090, 1);
        content.zero(9000, 1);
        assert_eq!(content.read(4089, 3), [0, 0, 7]);
        assert_eq!(content.len(), 5000);
    }

    #[test]
    fn what_was_synced_stays_and_what_was_not_is_anything_between_old_and_new() {
        let (mut old, mut new, mut torn) = (false, false, false);
        for seed in 0..60 {
            let mut content = Content::default();
            content.write(0, &[1; 3000]);
            content.sync();
            content.write(0, &[2; 3000]);
            content.power_loss(&mut Random::new(seed));
            let left = text(&content);
            assert_eq!(left.len(), 3000);
            assert!(left.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])), "within a sector");
            old |= left == [1; 3000];
            new |= left == [2; 3000];
            torn |= left.contains(&1) && left.contains(&2);
        }
        assert!(old && new && torn);
    }

    #[test]
    fn what_a_failed_sync_did_not_write_the_next_one_does_not_either() {
        let lost = (0..40).any(|seed| {
            let mut random = Random::new(seed);
            let mut content = Content::default();
            content.write(0, &[1; 100]);
            content.fail_to_sync(&mut random);
            assert_eq!(text(&content), [1; 100], "until the power goes it can be read");
            content.sync();
            content.power_loss(&mut random);
            text(&content) == [0; 100]
        });
        assert!(lost);
    }
}
