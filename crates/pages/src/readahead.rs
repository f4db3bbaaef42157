//! How much to fetch at once: little for a point read, more and more for a scan.

use plimsoll_model::PageNo;

/// Request of a read that goes on from no other, as one by key is: the page, and what fits beside it. A larger one would
/// take no longer, but of its neighbours nothing is read again before it is pushed out, unless the database is small.
const WINDOW_BYTES_MIN: u64 = 4 << 10;
/// The same from the first page on: opening a database reads its schema, which is mostly there. That is no scan.
const WINDOW_BYTES_FIRST: u64 = 64 << 10;
/// How much larger each further request of a scan is.
const GROWTH: u64 = 4;
/// From there on what a scan wants next is asked for before it does. Two pages side by side are no scan yet.
const WINDOW_BYTES_SCAN: u64 = WINDOW_BYTES_MIN * GROWTH * GROWTH;
/// A scan that has come to the largest window asks for so many behind it at once: with one, it would wait for a round trip
/// after every two.
const AHEAD_MAX: usize = 3;
/// Scans that are told apart.
const STREAMS: usize = 8;
/// Two reads so near to each other are a scan: in between are pages of other trees, or one that is cached. With more,
/// reads by key of a database that is not large would pass for scans.
const SKIP_PAGES_NEW: u32 = 3;
/// A scan that was seen to be one may skip so many.
const SKIP_PAGES: u32 = 16;

#[derive(Clone, Copy)]
struct Stream {
    next: PageNo,
    window: u64,
    used: u64,
}

impl Stream {
    /// Whether a miss on `page` goes on with this.
    fn reaches(&self, page: PageNo) -> bool {
        let skip = if self.window < WINDOW_BYTES_SCAN { SKIP_PAGES_NEW } else { SKIP_PAGES };
        (self.next.get()..self.next.get().saturating_add(skip)).contains(&page.get())
    }
}

/// Remembers the latest misses. Pure; the caller guards it.
pub(crate) struct ReadAhead {
    streams: Vec<Stream>,
    clock: u64,
    window_max: u64,
}

/// What to do about a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Bytes of objects worth fetching from the page on.
    pub(crate) bytes: u64,
    /// As many windows behind it will be wanted soon.
    pub(crate) ahead: usize,
}

impl ReadAhead {
    pub(crate) fn new(window_max: u64) -> Self {
        ReadAhead { streams: Vec::with_capacity(STREAMS), clock: 0, window_max }
    }

    pub(crate) fn set_window_max(&mut self, bytes: u64) {
        self.window_max = bytes;
    }

    /// The window for a miss on `page`.
    pub(crate) fn miss(&mut self, page: PageNo) -> Window {
        if self.window_max == 0 {
            return Window { bytes: 0, ahead: 0 };
        }
        let (smallest, largest) = (WINDOW_BYTES_MIN.min(self.window_max), self.window_max);
        self.clock += 1;
        let clock = self.clock;
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.reaches(page)) {
            stream.window = (stream.window * GROWTH).min(largest);
            stream.used = clock;
            stream.next = page;
            let ahead = match stream.window {
                window if window >= largest.max(WINDOW_BYTES_SCAN) => AHEAD_MAX,
                window if window >= WINDOW_BYTES_SCAN.min(largest) => 1,
                _ => 0,
            };
            return Window { bytes: stream.window, ahead };
        }
        let fresh = Stream { next: page, window: smallest, used: clock };
        if self.streams.len() < STREAMS {
            self.streams.push(fresh);
        } else if let Some(oldest) = self.streams.iter_mut().min_by_key(|stream| stream.used) {
            *oldest = fresh;
        }
        let bytes = if page == PageNo::FIRST { WINDOW_BYTES_FIRST.min(largest) } else { smallest };
        Window { bytes, ahead: 0 }
    }

    /// The window for `page` turned out to end before `next`: a miss there continues the stream.
    pub(crate) fn fetched(&mut self, page: PageNo, next: PageNo) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.next == page) {
            stream.next = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32) -> PageNo {
        PageNo::new(number).unwrap()
    }

    #[test]
    fn the_window_of_a_scan_grows_up_to_the_limit() {
        let mut ahead = ReadAhead::new(300 << 10);
        let mut at = 2;
        let mut windows = Vec::new();
        for _ in 0..5 {
            let window = ahead.miss(page(at));
            windows.push((window.bytes >> 10, window.ahead));
            ahead.fetched(page(at), page(at + 16));
            at += 16;
        }
        assert_eq!(windows, [(4, 0), (16, 0), (64, 1), (256, 1), (300, AHEAD_MAX)]);
    }

    #[test]
    fn a_window_of_zero_fetches_nothing_ahead_until_it_is_changed() {
        let mut ahead = ReadAhead::new(0);
        for at in 1..9 {
            assert_eq!(ahead.miss(page(at)), Window { bytes: 0, ahead: 0 });
        }
        ahead.set_window_max(3 << 10);
        assert_eq!(ahead.miss(page(20)).bytes, 3 << 10);
    }

    #[test]
    fn the_first_page_brings_what_opening_a_database_reads() {
        let mut ahead = ReadAhead::new(1 << 20);
        assert_eq!(ahead.miss(page(1)), Window { bytes: WINDOW_BYTES_FIRST, ahead: 0 });
        // It was in an object of its own, as it is after any sync.
        ahead.fetched(page(1), page(2));
        assert_eq!(ahead.miss(page(2)), Window { bytes: WINDOW_BYTES_MIN * GROWTH, ahead: 0 });
    }

    #[test]
    fn point_reads_stay_small_and_do_not_disturb_a_scan() {
        let mut ahead = ReadAhead::new(1 << 20);
        for (from, to) in [(2, 6), (6, 17)] {
            ahead.miss(page(from));
            ahead.fetched(page(from), page(to));
        }
        for point in [9000, 500, 70_000] {
            assert_eq!(ahead.miss(page(point)), Window { bytes: WINDOW_BYTES_MIN, ahead: 0 });
        }
        assert_eq!(ahead.miss(page(17)), Window { bytes: WINDOW_BYTES_SCAN, ahead: 1 });
    }

    #[test]
    fn a_scan_skips_pages_of_other_trees_and_two_reads_by_key_that_are_not_near_are_none() {
        let miss = |ahead: &mut ReadAhead, at: u32| {
            let window = ahead.miss(page(at));
            ahead.fetched(page(at), page(at + 1));
            window.ahead > 0
        };
        let mut ahead = ReadAhead::new(1 << 20);
        assert_eq!([100, 100 + 1 + SKIP_PAGES_NEW, 90].map(|at| miss(&mut ahead, at)), [false; 3]);
        let pages = [500, 503, 506, 507 + SKIP_PAGES - 1, 507 + 2 * SKIP_PAGES + 1];
        assert_eq!(pages.map(|at| miss(&mut ahead, at)), [false, false, true, true, false]);
    }
}
