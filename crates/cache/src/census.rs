//! How much is where: the occupied groups, their sum, and the hand that goes round them.

use std::collections::BTreeMap;

use crate::geometry::GroupNo;

/// How full one group is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Pages present.
    pub(crate) pages: u32,
    /// Blocks of the file system that they lie in.
    pub(crate) blocks: u32,
}

/// The occupied groups of one cache. Pure; the caller holds the lock.
#[derive(Debug, Default)]
pub(crate) struct Census {
    groups: BTreeMap<GroupNo, Tally>,
    pages: u64,
    blocks: u64,
    /// Promised to writes that are under way.
    reserved: u64,
    /// The group that the hand looks at next.
    hand: u32,
}

impl Census {
    /// Records how full a group is now.
    pub(crate) fn set(&mut self, group: GroupNo, now: Tally) {
        let before = if now.pages == 0 { self.groups.remove(&group) } else { self.groups.insert(group, now) };
        let before = before.unwrap_or_default();
        self.pages = self.pages + u64::from(now.pages) - u64::from(before.pages);
        self.blocks = self.blocks + u64::from(now.blocks) - u64::from(before.blocks);
    }

    /// Promises one more block, if that stays within `blocks_max`.
    pub(crate) fn reserve(&mut self, blocks_max: u64) -> bool {
        let fits = self.blocks + self.reserved < blocks_max;
        if fits {
            self.reserved += 1;
        }
        fits
    }

    /// Takes a promise back; what came of it has been [`set`](Self::set).
    pub(crate) fn release(&mut self) {
        self.reserved -= 1;
    }

    /// Moves the hand to the next occupied group and returns it.
    pub(crate) fn advance(&mut self) -> Option<GroupNo> {
        let next = self.groups.range(GroupNo(self.hand)..).next().or_else(|| self.groups.iter().next());
        let group = *next?.0;
        self.hand = group.0.wrapping_add(1);
        Some(group)
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_follow_the_groups() {
        let mut census = Census::default();
        census.set(GroupNo(3), Tally { pages: 9, blocks: 2 });
        census.set(GroupNo(5), Tally { pages: 1, blocks: 1 });
        census.set(GroupNo(3), Tally { pages: 4, blocks: 1 });
        assert_eq!((census.pages(), census.blocks(), census.groups()), (5, 2, 2));
        census.set(GroupNo(3), Tally::default());
        assert_eq!((census.pages(), census.blocks(), census.groups()), (1, 1, 1));
    }

    #[test]
    fn promises_count_against_the_bound_until_released() {
        let mut census = Census::default();
        assert!(census.reserve(2) && census.reserve(2) && !census.reserve(2));
        census.release();
        assert!(census.reserve(2));
    }

    #[test]
    fn the_hand_goes_round_the_occupied_groups() {
        let mut census = Census::default();
        assert_eq!(census.advance(), None);
        for group in [9, 2, u32::MAX] {
            census.set(GroupNo(group), Tally { pages: 1, blocks: 1 });
        }
        let seen: Vec<u32> = (0..4).filter_map(|_| census.advance()).map(|group| group.0).collect();
        assert_eq!(seen, [2, 9, u32::MAX, 2]);
    }
}
