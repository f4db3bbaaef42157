//! How much to fetch at once: little for a point read, more and more for a scan.

use plimsoll_model::PageNo;

/// First request of a stream. Latency dominates below this, so neighbours are nearly free; but most reads by key
/// want none of them.
const WINDOW_BYTES_MIN: u64 = 16 << 10;
/// The same from the first page on: opening a database reads its schema, which is mostly there.
const WINDOW_BYTES_FIRST: u64 = 64 << 10;
/// How much larger the next request of a scan is.
const GROWTH: u64 = 4;
/// Scans that are told apart.
const STREAMS: usize = 8;
/// A scan may skip this many pages (interior pages of a tree, pages cached before) and still be one. With more, reads by key
/// of a database that is not large would pass for scans.
const SKIP_PAGES: u32 = 16;

#[derive(Clone, Copy)]
struct Stream {
    next: PageNo,
    window: u64,
    used: u64,
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
    /// Whether the pages after that will be wanted soon.
    pub(crate) scan: bool,
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
            return Window { bytes: 0, scan: false };
        }
        let first = if page == PageNo::FIRST { WINDOW_BYTES_FIRST } else { WINDOW_BYTES_MIN };
        let (smallest, largest) = (first.min(self.window_max), self.window_max);
        self.clock += 1;
        let clock = self.clock;
        let reach =
            |stream: &Stream| (stream.next.get()..stream.next.get().saturating_add(SKIP_PAGES)).contains(&page.get());
        if let Some(stream) = self.streams.iter_mut().find(|stream| reach(stream)) {
            stream.window = (stream.window * GROWTH).min(largest);
            stream.used = clock;
            stream.next = page;
            return Window { bytes: stream.window, scan: true };
        }
        let fresh = Stream { next: page, window: smallest, used: clock };
        if self.streams.len() < STREAMS {
            self.streams.push(fresh);
        } else if let Some(oldest) = self.streams.iter_mut().min_by_key(|stream| stream.used) {
            *oldest = fresh;
        }
        Window { bytes: smallest, scan: false }
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
        for _ in 0..4 {
            let window = ahead.miss(page(at));
            windows.push(window.bytes >> 10);
            ahead.fetched(page(at), page(at + 16));
            at += 16;
        }
        assert_eq!(windows, [16, 64, 256, 300]);
    }

    #[test]
    fn a_window_of_zero_fetches_nothing_ahead_until_it_is_changed() {
        let mut ahead = ReadAhead::new(0);
        for at in 1..9 {
            assert_eq!(ahead.miss(page(at)), Window { bytes: 0, scan: false });
        }
        ahead.set_window_max(8 << 10);
        assert_eq!(ahead.miss(page(20)).bytes, 8 << 10);
    }

    #[test]
    fn the_first_page_brings_what_opening_a_database_reads() {
        assert_eq!(ReadAhead::new(1 << 20).miss(page(1)), Window { bytes: WINDOW_BYTES_FIRST, scan: false });
    }

    #[test]
    fn point_reads_stay_small_and_do_not_disturb_a_scan() {
        let mut ahead = ReadAhead::new(1 << 20);
        ahead.miss(page(2));
        ahead.fetched(page(2), page(17));
        for point in [9000, 500, 70_000] {
            assert_eq!(ahead.miss(page(point)), Window { bytes: WINDOW_BYTES_MIN, scan: false });
        }
        assert_eq!(ahead.miss(page(17)), Window { bytes: WINDOW_BYTES_MIN * GROWTH, scan: true });
    }
}
