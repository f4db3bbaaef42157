//! One page in the map.

use plimsoll_model::{
    PageNo, Txid,
    step::{Step, taken},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of an entry in the map file.
pub(crate) const ENTRY_BYTES: usize = 16;

/// Which content of a page would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The hash (`xxh3_64`) of the wanted content, if it is known. Then nothing else counts.
    pub hash: Option<u64>,
    /// The content changed last in an object whose highest TXID is this.
    pub changed: Txid,
    /// The state that is being read.
    pub view: Txid,
}

/// What is known of a page in the page file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `xxh3_64` of the content.
    pub(crate) hash: u64,
    /// The content was the page's content in this state. Zero: no page.
    pub(crate) as_of: Txid,
}

impl Entry {
    pub(crate) const ABSENT: Entry = Entry { hash: 0, as_of: Txid::ZERO };

    pub(crate) fn is_present(&self) -> bool {
        !self.as_of.is_zero()
    }

    /// Whether the content is what is wanted, provided that it has the entry's hash.
    pub(crate) fn serves(&self, want: &Want) -> bool {
        self.is_present()
            && match want.hash {
                _ if !taken(Step::CacheWant) => true,
                Some(hash) => hash == self.hash,
                // Between its last change and the view the content is the same in every state.
                None => want.changed <= self.as_of && self.as_of <= want.view,
            }
    }
}

/// Binds entries to a volume, a page size and this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal(pub(crate) u64);

// Map entry, 16 bytes: 0 as-of TXID u64 LE | 8 hash of the content, xor seal of (page, as-of) u64 LE.
// All zeros: no page. The seal makes a damaged TXID, an entry at the wrong place or one of another volume
// yield a hash that no content has.
impl Seal {
    pub(crate) fn encode(self, page: PageNo, entry: &Entry) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        if entry.is_present() {
            bytes[..8].copy_from_slice(&entry.as_of.0.to_le_bytes());
            bytes[8..].copy_from_slice(&(entry.hash ^ self.of(page, entry.as_of)).to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(self, page: PageNo, bytes: &[u8; ENTRY_BYTES]) -> Entry {
        let (as_of, sealed) = (u64_at(bytes, 0), u64_at(bytes, 8));
        if as_of == 0 {
            return Entry::ABSENT;
        }
        Entry { hash: sealed ^ self.of(page, Txid(as_of)), as_of: Txid(as_of) }
    }

    fn of(self, page: PageNo, as_of: Txid) -> u64 {
        let mut key = [0; 12];
        key[..4].copy_from_slice(&page.get().to_le_bytes());
        key[4..].copy_from_slice(&as_of.0.to_le_bytes());
        xxh3_64_with_seed(&key, self.0)
    }
}

fn u64_at(bytes: &[u8; ENTRY_BYTES], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: PageNo = PageNo::FIRST;
    const SEAL: Seal = Seal(7);

    fn entry(hash: u64, as_of: u64) -> Entry {
        Entry { hash, as_of: Txid(as_of) }
    }

    #[test]
    fn bytes_at_rest_do_not_change() {
        assert_eq!(SEAL.encode(PAGE, &Entry::ABSENT), [0; 16]);
        assert_eq!(SEAL.encode(PAGE, &entry(0x0102_0304_0506_0708, 9)), GOLDEN);
        assert_eq!(SEAL.decode(PAGE, &GOLDEN), entry(0x0102_0304_0506_0708, 9));
    }

    const GOLDEN: [u8; 16] = [9, 0, 0, 0, 0, 0, 0, 0, 210, 167, 231, 143, 67, 45, 17, 253];

    #[test]
    fn every_flipped_bit_gives_another_hash_or_no_page() {
        let whole = SEAL.encode(PAGE, &entry(42, 9));
        for bit in 0..128 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(SEAL.decode(PAGE, &bytes).hash, 42, "bit {bit}");
        }
    }

    #[test]
    fn an_entry_of_another_place_or_volume_names_no_content() {
        let bytes = SEAL.encode(PAGE, &entry(42, 9));
        assert_ne!(SEAL.decode(PageNo::new(2).unwrap(), &bytes).hash, 42);
        assert_ne!(Seal(8).decode(PAGE, &bytes).hash, 42);
    }

    #[test]
    fn content_serves_by_hash_or_when_no_change_lies_between() {
        let want = |hash, changed, view| Want { hash, changed: Txid(changed), view: Txid(view) };
        let cases = [
            (entry(1, 5), want(Some(1), 9, 9), true),
            (entry(1, 5), want(Some(2), 5, 5), false),
            (entry(1, 5), want(None, 5, 5), true),
            (entry(1, 5), want(None, 3, 8), true),
            (entry(1, 5), want(None, 6, 8), false),
            (entry(1, 5), want(None, 3, 4), false),
            (Entry::ABSENT, want(Some(0), 0, 9), false),
            (Entry::ABSENT, want(None, 0, 9), false),
        ];
        for (entry, want, serves) in cases {
            assert_eq!(entry.serves(&want), serves, "{entry:?} for {want:?}");
        }
    }
}
