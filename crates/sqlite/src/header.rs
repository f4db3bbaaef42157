//! Page 1, as SQLite is shown it.
//!
//! SQLite tells whether its page cache is still good by bytes 24 to 39 of page 1 alone. Two states
//! of a volume may have those in common: another host may have taken over from an earlier state and
//! committed something else with the same change counter. Then the later one is shown with another
//! change counter.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::registry::lock;

/// Bytes of the database header.
pub(crate) const HEADER_BYTES: usize = 100;
/// How many changed counters are remembered. Each is needed only until the next commit.
const SHOWN_MAX: usize = 1024;

/// Where the bytes are by which SQLite recognises a state.
pub(crate) const FINGERPRINT_AT: usize = 24;
const MAGIC: &[u8] = b"SQLite format 3\0";
const PAGE_SIZE: usize = 16;
const WRITE_VERSION: usize = 18;
const READ_VERSION: usize = 19;
const COUNTER: usize = FINGERPRINT_AT;
const PAGE_COUNT: usize = 28;
const SCHEMA: usize = 40;
const VALID_FOR: usize = 92;
/// "Write-ahead logging" as a file format version.
const WAL: u8 = 2;
/// "Rollback journal" as a file format version.
const LEGACY: u8 = 1;

/// The bytes by which SQLite recognises a state.
pub(crate) type Fingerprint = [u8; 16];

fn be32(page: &[u8], at: usize) -> u32 {
    let bytes = page.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    u32::from_be_bytes(bytes)
}

/// The bytes by which SQLite recognises the state that this page 1 belongs to.
pub(crate) fn fingerprint(page: &[u8]) -> Fingerprint {
    page.get(COUNTER..COUNTER + 16).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default()
}

/// The number of pages that the header states, if it is up to date and not zero.
pub(crate) fn page_count(page: &[u8]) -> Option<u32> {
    (be32(page, COUNTER) == be32(page, VALID_FOR)).then(|| be32(page, PAGE_COUNT)).filter(|count| *count > 0)
}

/// The page size that a database header states, if this is one.
pub(crate) fn page_bytes(page: &[u8]) -> Option<u32> {
    (page.len() >= HEADER_BYTES && page.starts_with(MAGIC)).then(|| {
        match u32::from(page[PAGE_SIZE]) << 8 | u32::from(page[PAGE_SIZE + 1]) {
            1 => 65536,
            bytes => bytes,
        }
    })
}

/// Whether the header asks for a write-ahead log.
pub(crate) fn says_wal(page: &[u8]) -> bool {
    page.len() >= HEADER_BYTES && (page[WRITE_VERSION] == WAL || page[READ_VERSION] == WAL)
}

/// Shows a database written in WAL mode as one that is not: the log is not part of a volume.
fn hide_wal(page: &mut [u8]) {
    for at in [WRITE_VERSION, READ_VERSION] {
        if page[at] == WAL {
            page[at] = LEGACY;
        }
    }
}

/// Shows another change counter, and leaves the stated page count as valid or invalid as it was.
fn set_counter(page: &mut [u8], counter: u32) {
    let was_valid = be32(page, COUNTER) == be32(page, VALID_FOR);
    page[COUNTER..COUNTER + 4].copy_from_slice(&counter.to_be_bytes());
    let valid_for = if was_valid { counter } else { !counter };
    page[VALID_FOR..VALID_FOR + 4].copy_from_slice(&valid_for.to_be_bytes());
}

/// Makes page 1 of another state, which is to become the newest, recognisable as newer than page 1 of the newest so far
/// to everybody who has cached something: connections by the change counter, schemas and prepared statements by the
/// schema's number.
///
/// Of two states that are the same but for these numbers it makes the same.
pub fn renew(page: &mut [u8], newest: &[u8]) {
    if page.len() < HEADER_BYTES || newest.len() < HEADER_BYTES {
        return;
    }
    set_counter(page, be32(newest, COUNTER).wrapping_add(1));
    // Always: the number that both have may stand for another schema in somebody's memory, as may any that was used
    // before. Databases that were changed equally often have the same, whatever is in them.
    page[SCHEMA..SCHEMA + 4].copy_from_slice(&be32(newest, SCHEMA).wrapping_add(1).to_be_bytes());
}

/// Whether page 1 of a transaction differs from page 1 of the state that it stands on by no more than the change counter.
///
/// SQLite counts each transaction there, for whoever has cached something and looks at nothing else. Here versions are
/// told apart without it, see [`present`], so such a page need not be written: as in SQLite's WAL mode, where the counter stays.
pub(crate) fn is_same_but_counted(before: &[u8], now: &[u8]) -> bool {
    const AFTER_COUNTER: usize = COUNTER + 4;
    const AFTER_VALID_FOR: usize = VALID_FOR + 4;
    before.len() == now.len()
        && now.len() >= HEADER_BYTES
        && page_count(now).is_some()
        && page_count(before) == page_count(now)
        && before[..COUNTER] == now[..COUNTER]
        && before[AFTER_COUNTER..VALID_FOR] == now[AFTER_COUNTER..VALID_FOR]
        && before[AFTER_VALID_FOR..] == now[AFTER_VALID_FOR..]
}

/// The versions of a volume that are shown with another change counter, to every connection alike.
#[derive(Default)]
pub(crate) struct Shown {
    any: AtomicBool,
    counters: Mutex<Counters>,
}

#[derive(Default)]
struct Counters {
    by_version: HashMap<u64, u32>,
    /// Versions in the order of their decisions.
    decided: VecDeque<u64>,
}

impl Shown {
    fn counter(&self, version: u64) -> Option<u32> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.counters).by_version.get(&version).copied()
    }

    /// Decides on a counter for `version`, other than `not`. The first decision stands.
    fn decide(&self, version: u64, not: u32) -> u32 {
        let mut counters = lock(&self.counters);
        let earlier = counters.by_version.get(&version).copied();
        if let Some(counter) = earlier.filter(|counter| *counter != not) {
            return counter;
        }
        // Any spread of the version will do, as long as it does not look like a counter nearby.
        let spread = (version ^ version >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let counter = (spread >> 32) as u32;
        let counter = if counter == not { !counter } else { counter };
        counters.by_version.insert(version, counter);
        if earlier.is_none() {
            counters.decided.push_back(version);
        }
        if counters.decided.len() > SHOWN_MAX
            && let Some(oldest) = counters.decided.pop_front()
        {
            counters.by_version.remove(&oldest);
        }
        self.any.store(true, Ordering::Release);
        counter
    }

    /// Makes every connection, also one that knows this state by its `known` fingerprint, read it afresh.
    pub(crate) fn refresh(&self, version: u64, known: &Fingerprint) {
        self.decide(version, be32(known, 0));
    }
}

/// What a connection last saw of page 1.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) version: u64,
    pub(crate) fingerprint: Fingerprint,
}

/// Turns page 1, as stored in `version`, into what is shown, and notes it in `seen`.
pub(crate) fn present(page: &mut [u8], version: u64, shown: &Shown, seen: &mut Option<Seen>) {
    if page.len() < HEADER_BYTES {
        return;
    }
    hide_wal(page);
    if let Some(counter) = shown.counter(version) {
        set_counter(page, counter);
    }
    if let Some(before) = *seen
        && before.version != version
        && before.fingerprint == fingerprint(page)
    {
        set_counter(page, shown.decide(version, be32(page, COUNTER)));
    }
    *seen = Some(Seen { version, fingerprint: fingerprint(page) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(counter: u32, valid_for: u32, count: u32) -> Vec<u8> {
        let mut page = vec![0; 512];
        page[..16].copy_from_slice(MAGIC);
        page[PAGE_SIZE] = 2;
        page[COUNTER..COUNTER + 4].copy_from_slice(&counter.to_be_bytes());
        page[PAGE_COUNT..PAGE_COUNT + 4].copy_from_slice(&count.to_be_bytes());
        page[VALID_FOR..VALID_FOR + 4].copy_from_slice(&valid_for.to_be_bytes());
        page
    }

    #[test]
    fn the_stated_size_counts_only_while_it_is_up_to_date() {
        assert_eq!(page_count(&page(7, 7, 12)), Some(12));
        assert_eq!(page_count(&page(8, 7, 12)), None);
        assert_eq!(page_count(&page(7, 7, 0)), None);
        assert_eq!(page_bytes(&page(7, 7, 12)), Some(512));
        assert_eq!(page_bytes(&[0; 512]), None);
    }

    #[test]
    fn two_states_with_one_counter_are_told_apart() {
        let shown = Shown::default();
        let mut seen = None;
        let (mut one, mut two) = (page(7, 7, 12), page(7, 7, 12));
        present(&mut one, 1, &shown, &mut seen);
        assert_eq!(one, page(7, 7, 12));
        present(&mut two, 2, &shown, &mut seen);
        assert_ne!(fingerprint(&one), fingerprint(&two));
        assert_eq!(page_count(&two), Some(12));
    }

    #[test]
    fn a_decision_holds_for_every_connection_and_every_look() {
        let shown = Shown::default();
        let mut seen = Some(Seen { version: 1, fingerprint: fingerprint(&page(7, 7, 12)) });
        let (mut first, mut again, mut other) = (page(7, 7, 12), page(7, 7, 12), page(7, 7, 12));
        present(&mut first, 2, &shown, &mut seen);
        present(&mut again, 2, &shown, &mut seen);
        present(&mut other, 2, &shown, &mut None);
        assert_eq!(first, again);
        assert_eq!(first, other);
    }

    #[test]
    fn of_too_many_decisions_the_oldest_are_forgotten() {
        let shown = Shown::default();
        let versions = SHOWN_MAX as u64 + 3;
        let decided: Vec<u32> = (0..versions).map(|version| shown.decide(version, 7)).collect();
        for (version, counter) in (0..versions).zip(decided) {
            let kept = (version >= 3).then_some(counter);
            assert_eq!(shown.counter(version), kept, "version {version}");
        }
    }

    #[test]
    fn a_stale_size_stays_stale_under_another_counter() {
        let shown = Shown::default();
        let mut seen = Some(Seen { version: 1, fingerprint: fingerprint(&page(8, 7, 12)) });
        let mut stale = page(8, 7, 12);
        present(&mut stale, 2, &shown, &mut seen);
        assert_eq!(page_count(&stale), None);
    }

    #[test]
    fn an_earlier_page_one_becomes_newer_than_the_newest() {
        let (mut earlier, mut newest) = (page(7, 7, 12), page(9, 9, 14));
        earlier[SCHEMA + 3] = 3;
        newest[SCHEMA + 3] = 5;
        renew(&mut earlier, &newest);
        assert_eq!((be32(&earlier, COUNTER), be32(&earlier, SCHEMA), page_count(&earlier)), (10, 6, Some(12)));
        let mut same_number = page(7, 7, 12);
        same_number[SCHEMA + 3] = 5;
        renew(&mut same_number, &newest);
        assert_eq!(be32(&same_number, SCHEMA), 6, "it may be of another schema");
    }

    #[test]
    fn a_page_one_that_was_only_counted_is_the_same_and_any_other_is_not() {
        let before = page(7, 7, 12);
        assert!(is_same_but_counted(&before, &page(8, 8, 12)));
        assert!(!is_same_but_counted(&before, &page(8, 8, 13)), "the database grew");
        assert!(!is_same_but_counted(&before, &page(8, 7, 12)), "the stated size is not to be trusted any more");
        assert!(!is_same_but_counted(&page(8, 7, 12), &page(9, 9, 12)), "it was not to be trusted before");
        for at in (0..512).filter(|at| !(COUNTER..COUNTER + 4).contains(at) && !(VALID_FOR..VALID_FOR + 4).contains(at))
        {
            let mut now = page(8, 8, 12);
            now[at] ^= 1;
            assert!(!is_same_but_counted(&before, &now), "byte {at}");
        }
    }

    #[test]
    fn wal_is_hidden() {
        let mut wal = page(7, 7, 12);
        wal[18..20].fill(2);
        assert!(says_wal(&wal));
        present(&mut wal, 1, &Shown::default(), &mut None);
        assert_eq!(wal[18..20], [1, 1]);
    }
}
