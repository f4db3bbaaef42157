//! How much to fetch at once: little for a point read, more and more for a scan, and then ahead of it.

use std::collections::VecDeque;

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
/// So many of the largest requests are under way ahead of a scan that outruns less: at 10 ms a request that is 800 MB a second.
const AHEAD_MAX: u64 = 8;
/// So many bytes of objects ahead of a scan are enough, however large a request may be.
const AHEAD_BYTES_MAX: u64 = 16 << 20;
/// What is brought ahead of a scan may take this part of the cache, where it would otherwise push itself out.
const CACHE_SHARE: u64 = 8;
/// Scans that are told apart.
pub(crate) const STREAMS: usize = 8;
/// Two reads so near to each other are a scan: in between are pages of other trees, or one that is cached. With more,
/// reads by key of a database that is not large would pass for scans.
const SKIP_PAGES_NEW: u32 = 3;
/// A scan that was seen to be one may skip so many.
const SKIP_PAGES: u32 = 16;

/// One scan, or what may become one.
struct Stream {
    /// Behind all that was asked for.
    next: PageNo,
    /// Bytes of the last request that was waited for, and of the next one ahead.
    window: u64,
    /// So many requests are to be under way, or done, ahead of the page that is read. 0: it is no scan yet.
    depth: u64,
    /// First pages of what was asked for ahead and has not been come to.
    ahead: VecDeque<PageNo>,
    used: u64,
}

impl Stream {
    fn new(page: PageNo, window: u64, used: u64) -> Self {
        Stream { next: page, window, depth: 0, ahead: VecDeque::new(), used }
    }

    /// It goes on: first it asks for more at once, then for more at the same time.
    fn grow(&mut self, window_max: u64, depth_max: u64) {
        if self.depth > 0 && self.window >= window_max {
            self.depth = (self.depth * 2).min(depth_max);
        } else {
            self.depth = self.depth.max(1);
            self.window = (self.window * GROWTH).min(window_max);
        }
    }

    /// Whether a miss on `page` goes on with this.
    fn reaches(&self, page: PageNo) -> bool {
        let skip = if self.depth == 0 { SKIP_PAGES_NEW } else { SKIP_PAGES };
        (self.next.get()..self.next.get().saturating_add(skip)).contains(&page.get())
    }
}

/// Remembers the latest misses, and how far ahead of scans was asked for. Pure; the caller guards it.
pub(crate) struct ReadAhead {
    streams: Vec<Stream>,
    clock: u64,
    window_max: u64,
    ahead_bytes_max: u64,
}

/// What to do about a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Bytes of objects worth fetching from the page on.
    pub(crate) bytes: u64,
    /// The scan that it belongs to, for which to ask what it [wants](ReadAhead::wants).
    pub(crate) scan: Option<Scan>,
}

/// One of the scans that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scan(usize);

impl ReadAhead {
    pub(crate) fn new(window_max: u64, cache_bytes_max: u64) -> Self {
        let ahead_bytes_max = AHEAD_BYTES_MAX.min(cache_bytes_max / CACHE_SHARE);
        ReadAhead { streams: Vec::with_capacity(STREAMS), clock: 0, window_max, ahead_bytes_max }
    }

    pub(crate) fn set_window_max(&mut self, bytes: u64) {
        self.window_max = bytes;
    }

    /// The window for a miss on `page`.
    pub(crate) fn miss(&mut self, page: PageNo) -> Window {
        if self.window_max == 0 {
            return Window { bytes: 0, scan: None };
        }
        let (smallest, largest) = (WINDOW_BYTES_MIN.min(self.window_max), self.window_max);
        self.clock += 1;
        let clock = self.clock;
        if let Some(at) = self.streams.iter().position(|stream| stream.reaches(page)) {
            let depth_max = self.depth_max();
            let stream = &mut self.streams[at];
            if stream.depth == 0 {
                stream.window *= GROWTH;
            }
            stream.window = stream.window.min(largest);
            (stream.used, stream.next) = (clock, page);
            stream.ahead.clear();
            let bytes = stream.window;
            if bytes < WINDOW_BYTES_SCAN.min(largest) {
                return Window { bytes, scan: None };
            }
            stream.grow(largest, depth_max);
            return Window { bytes, scan: Some(Scan(at)) };
        }
        let fresh = Stream::new(page, smallest, clock);
        if self.streams.len() < STREAMS {
            self.streams.push(fresh);
        } else if let Some(oldest) = self.streams.iter_mut().min_by_key(|stream| stream.used) {
            *oldest = fresh;
        }
        let bytes = if page == PageNo::FIRST { WINDOW_BYTES_FIRST.min(largest) } else { smallest };
        Window { bytes, scan: None }
    }

    /// The window for `page` turned out to end before `next`: a miss there continues the stream.
    pub(crate) fn fetched(&mut self, page: PageNo, next: PageNo) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.next == page) {
            stream.next = next;
        }
    }

    /// A page was read that may have been asked for ahead of a scan. If so, the scan keeps up, and is worth more from now on.
    pub(crate) fn reached(&mut self, page: PageNo) -> Option<Scan> {
        let inside = |stream: &Stream| stream.ahead.front().is_some_and(|from| (*from..stream.next).contains(&page));
        let at = self.streams.iter().position(inside)?;
        self.clock += 1;
        let (clock, largest, depth_max) = (self.clock, self.window_max, self.depth_max());
        let stream = &mut self.streams[at];
        stream.used = clock;
        stream.ahead.retain(|from| *from > page);
        stream.grow(largest, depth_max);
        Some(Scan(at))
    }

    fn depth_max(&self) -> u64 {
        (self.ahead_bytes_max / self.window_max.max(1)).clamp(1, AHEAD_MAX)
    }

    /// What to ask for next ahead of a scan: from which page on, and how many bytes of objects. `None`: enough is under way.
    pub(crate) fn wants(&self, Scan(at): Scan) -> Option<(PageNo, u64)> {
        let stream = self.streams.get(at)?;
        let enough = stream.ahead.len() as u64 >= stream.depth || self.window_max == 0;
        (!enough).then_some((stream.next, stream.window.min(self.window_max)))
    }

    /// What a scan wanted from `page` on was asked for, up to before `next`.
    pub(crate) fn asked(&mut self, Scan(at): Scan, page: PageNo, next: PageNo) {
        if let Some(stream) = self.streams.get_mut(at).filter(|stream| stream.next == page && next > page) {
            stream.ahead.push_back(page);
            stream.next = next;
        }
    }

    /// Where scans will come to what was asked for ahead of them.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (PageNo, PageNo)> {
        self.streams.iter().filter_map(|stream| Some((*stream.ahead.front()?, stream.next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32) -> PageNo {
        PageNo::new(number).unwrap()
    }

    /// A miss, and what is asked for then: of how many KiB, and how many pages of a KiB ahead of it.
    fn miss(ahead: &mut ReadAhead, at: u32) -> (u64, Vec<u64>) {
        let window = ahead.miss(page(at));
        let kib = window.bytes >> 10;
        ahead.fetched(page(at), page(at + kib as u32));
        (kib, window.scan.map(|scan| extend(ahead, scan)).unwrap_or_default())
    }

    fn extend(ahead: &mut ReadAhead, scan: Scan) -> Vec<u64> {
        let mut asked = Vec::new();
        while let Some((from, bytes)) = ahead.wants(scan) {
            ahead.asked(scan, from, page(from.get() + (bytes >> 10) as u32));
            asked.push(bytes >> 10);
        }
        asked
    }

    /// What is asked for when a page is read that is there or on its way.
    fn reach(ahead: &mut ReadAhead, at: u32) -> Vec<u64> {
        ahead.reached(page(at)).map(|scan| extend(ahead, scan)).unwrap_or_default()
    }

    #[test]
    fn a_scan_asks_for_more_and_more_and_then_for_more_at_once_as_it_comes_to_what_it_has_asked_for() {
        let mut ahead = ReadAhead::new(1 << 20, 1 << 30);
        assert_eq!([2, 6].map(|at| miss(&mut ahead, at)), [(4, vec![]), (16, vec![])]);
        assert_eq!(miss(&mut ahead, 22), (64, vec![256]));
        assert_eq!([23, 50, 85].map(|at| reach(&mut ahead, at)), [[0; 0]; 3]);
        assert_eq!(reach(&mut ahead, 86), [1024]);
        // Once per request, however many of its pages are read.
        assert_eq!([87, 341].map(|at| reach(&mut ahead, at)), [[0; 0]; 2]);
        let depths = (0..6).map(|window| reach(&mut ahead, 342 + 1024 * window + 7).len()).collect::<Vec<_>>();
        assert_eq!(depths, [2, 3, 5, 1, 1, 1]);
        assert!(ahead.streams[0].ahead.len() as u64 == AHEAD_MAX);
    }

    #[test]
    fn a_scan_that_ends_asks_for_nothing_more_and_one_that_jumps_begins_anew() {
        let mut ahead = ReadAhead::new(1 << 20, 1 << 30);
        for at in [2, 6, 22] {
            miss(&mut ahead, at);
        }
        reach(&mut ahead, 86);
        assert_eq!([5, 342 + 1024, 9000].map(|at| reach(&mut ahead, at)), [[0; 0]; 3]);
        assert_eq!(miss(&mut ahead, 9000), (4, vec![]));
        // It had come to its end: the next one that goes on from there is known.
        assert_eq!(miss(&mut ahead, 342 + 1024), (1024, vec![1024, 1024]));
    }

    #[test]
    fn what_is_asked_for_ahead_is_bounded_in_bytes_and_to_a_part_of_the_cache() {
        for (window_max, cache_bytes_max, windows) in [
            (1 << 20, 1 << 40, 8),
            (8 << 20, 1 << 40, 2),
            (1 << 30, 1 << 40, 1),
            (1 << 20, 32 << 20, 4),
            (1 << 20, 0, 1),
        ] {
            let mut ahead = ReadAhead::new(window_max, cache_bytes_max);
            for at in [2, 6, 22] {
                miss(&mut ahead, at);
            }
            for _ in 0..20 {
                let at = ahead.marks().next().unwrap().0;
                reach(&mut ahead, at.get());
            }
            assert_eq!(ahead.streams[0].ahead.len(), windows, "{window_max} bytes at once");
        }
    }

    #[test]
    fn a_window_of_zero_fetches_nothing_ahead_until_it_is_changed() {
        let mut ahead = ReadAhead::new(0, 1 << 30);
        for at in 1..9 {
            assert_eq!(ahead.miss(page(at)), Window { bytes: 0, scan: None });
        }
        ahead.set_window_max(3 << 10);
        assert_eq!(miss(&mut ahead, 20), (3, vec![]));
        assert_eq!(miss(&mut ahead, 23).0, 3);
        ahead.set_window_max(0);
        assert_eq!(reach(&mut ahead, 26), [0; 0]);
    }

    #[test]
    fn the_first_page_brings_what_opening_a_database_reads() {
        let mut ahead = ReadAhead::new(1 << 20, 1 << 30);
        assert_eq!(ahead.miss(page(1)), Window { bytes: WINDOW_BYTES_FIRST, scan: None });
        // It was in an object of its own, as it is after any sync.
        ahead.fetched(page(1), page(2));
        assert_eq!(ahead.miss(page(2)), Window { bytes: WINDOW_BYTES_MIN * GROWTH, scan: None });
    }

    #[test]
    fn point_reads_stay_small_and_do_not_disturb_a_scan() {
        let mut ahead = ReadAhead::new(1 << 20, 1 << 30);
        for at in [2, 6] {
            miss(&mut ahead, at);
        }
        for point in [9000, 500, 70_000] {
            assert_eq!(miss(&mut ahead, point), (4, vec![]));
        }
        assert_eq!(miss(&mut ahead, 22), (64, vec![256]));
    }

    #[test]
    fn a_scan_skips_pages_of_other_trees_and_two_reads_by_key_that_are_not_near_are_none() {
        let miss = |ahead: &mut ReadAhead, at: u32| {
            let window = ahead.miss(page(at));
            ahead.fetched(page(at), page(at + 1));
            window.scan.is_some()
        };
        let mut ahead = ReadAhead::new(1 << 20, 1 << 30);
        assert_eq!([100, 100 + 1 + SKIP_PAGES_NEW, 90].map(|at| miss(&mut ahead, at)), [false; 3]);
        let pages = [500, 503, 506, 507 + SKIP_PAGES - 1, 507 + 2 * SKIP_PAGES + 1];
        assert_eq!(pages.map(|at| miss(&mut ahead, at)), [false, false, true, true, false]);
    }
}
