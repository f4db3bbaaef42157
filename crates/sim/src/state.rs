//! What a volume should hold: pages, each with the commit that wrote it, and the bytes that follow from that.

use std::collections::BTreeMap;

use crate::dice::mix;

/// Which commit. 0 is before the first one.
pub(crate) type Tag = u64;

/// What every commit of the workload writes, so that a state says which one it is.
pub(crate) const FIRST: u32 = 1;

/// A state of the volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Pages.
    pub(crate) count: u32,
    /// Who wrote each; a page that is not here is zeros.
    pub(crate) pages: BTreeMap<u32, Tag>,
}

impl State {
    /// The state after writing pages, of a volume that then has so many.
    pub(crate) fn after(&self, written: impl IntoIterator<Item = (u32, Tag)>, count: u32) -> State {
        let mut pages = self.pages.clone();
        // What lies beyond the end is gone, also if the volume grows over it again.
        pages.retain(|page, _| *page <= count);
        let mut state = State { count, pages };
        for (page, tag) in written {
            state.write(page, if page <= count { tag } else { 0 });
        }
        state
    }

    /// Writes a page. One of zeros, as a restore may write, is as if nobody had written it.
    pub(crate) fn write(&mut self, page: u32, tag: Tag) {
        if tag == 0 {
            self.pages.remove(&page);
        } else {
            self.pages.insert(page, tag);
        }
    }

    /// Who wrote a page; 0 for nobody.
    pub(crate) fn tag(&self, page: u32) -> Tag {
        self.pages.get(&page).copied().unwrap_or(0)
    }
}

/// Fills a page as a commit writes it: both numbers, and then bytes that follow from them.
pub(crate) fn fill(buf: &mut [u8], page: u32, tag: Tag) {
    if tag == 0 {
        buf.fill(0);
        return;
    }
    let large = buf.len() > 32 << 10;
    let mut word = mix(tag ^ (u64::from(page) << 40));
    for (at, chunk) in buf.chunks_exact_mut(8).enumerate() {
        // Runs of the same word let the page shrink, but for the largest: few of them make an object that is read in parts.
        if at % 8 == 0 || large {
            word = mix(word);
        }
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    buf[..8].copy_from_slice(&tag.to_le_bytes());
    buf[8..12].copy_from_slice(&page.to_le_bytes());
}

/// Which commit wrote a page, if the page is whole.
pub(crate) fn read(buf: &[u8], page: u32) -> Option<Tag> {
    let tag = u64::from_le_bytes(buf.get(..8)?.try_into().ok()?);
    let mut expected = vec![0; buf.len()];
    fill(&mut expected, page, tag);
    (expected == buf).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_who_wrote_it_unless_a_bit_is_wrong() {
        let mut buf = vec![0; 512];
        assert_eq!(read(&buf, 3), Some(0));
        fill(&mut buf, 3, 77);
        assert_eq!(read(&buf, 3), Some(77));
        assert_eq!(read(&buf, 4), None);
        buf[500] ^= 1;
        assert_eq!(read(&buf, 3), None);
    }

    #[test]
    fn what_was_cut_off_stays_zeros() {
        let before = State::default().after([(1, 5), (4, 5)], 4);
        let cut = before.after([(1, 6)], 2);
        let grown = cut.after([(1, 7)], 4);
        assert_eq!((cut.tag(4), grown.tag(4), grown.tag(1), grown.count), (0, 0, 7, 4));
    }

    #[test]
    fn a_page_that_was_written_with_zeros_is_as_one_that_nobody_wrote() {
        let mut state = State::default().after([(1, 5), (4, 5)], 4);
        state.write(4, 0);
        state.write(3, 0);
        assert_eq!(state, State::default().after([(1, 5)], 4));
    }
}
