//! Every commit of a volume that was ever tried, and what the volume holds after it.

use std::sync::Arc;

use crate::state::{self, State, Tag};

/// One commit, whatever became of it.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    /// What it was made on top of.
    pub(crate) parent: Tag,
    /// Commits up to this one; what its LSN has to be.
    pub(crate) depth: u64,
    /// What the volume holds after it.
    pub(crate) state: Arc<State>,
    /// Pages that it has written, at least.
    pub(crate) pages: u64,
    /// Whether the engine said that nothing happened.
    pub(crate) refused: bool,
}

/// All of them, as a tree. Its root is what the volume began as: nothing, or, if it is a fork, a commit of another volume.
#[derive(Debug)]
pub(crate) struct Commits {
    /// Which volume: the upper half of each tag but that of the root.
    volume: u64,
    root: Tag,
    list: Vec<Commit>,
}

impl Default for Commits {
    fn default() -> Self {
        Commits::born(0, 0, Arc::default())
    }
}

/// Where the number of the volume begins in a tag.
const VOLUME: u32 = 32;

impl Commits {
    /// Those of the volume of a number that begins as the state after a commit.
    pub(crate) fn born(volume: usize, root: Tag, state: Arc<State>) -> Self {
        let first = Commit { parent: 0, depth: 0, state, pages: 0, refused: false };
        Commits { volume: volume as u64, root, list: vec![first] }
    }

    fn find(&self, tag: Tag) -> Option<usize> {
        if tag == self.root || tag == 0 {
            return Some(0);
        }
        let own = tag >> VOLUME == self.volume;
        usize::try_from(tag & ((1 << VOLUME) - 1)).ok().filter(|at| own && *at < self.list.len())
    }

    fn at(&self, tag: Tag) -> usize {
        self.find(tag).expect("BUG: a commit of another volume")
    }

    /// The commit of a tag, if there was one.
    pub(crate) fn get(&self, tag: Tag) -> Option<&Commit> {
        // In a fork nothing is from before the first commit.
        self.find(tag).filter(|_| tag != 0 || self.root == 0).map(|at| &self.list[at])
    }

    /// Notes a commit that is about to be tried.
    pub(crate) fn begin(&mut self, parent: Tag, pages: &[u32], count: u32) -> Tag {
        let tag = self.next();
        let base = &self.list[self.at(parent)];
        let state = base.state.after(pages.iter().map(|page| (*page, tag)), count);
        self.push(parent, state, pages.len() as u64)
    }

    /// Notes a commit that is about to bring back what an earlier one has left.
    pub(crate) fn begin_again(&mut self, parent: Tag, earlier: &State) -> Tag {
        let tag = self.next();
        let state = earlier.after([(state::FIRST, tag)], earlier.count);
        self.push(parent, state, 1)
    }

    fn next(&self) -> Tag {
        (self.volume << VOLUME) | self.list.len() as Tag
    }

    fn push(&mut self, parent: Tag, state: State, pages: u64) -> Tag {
        let tag = self.next();
        let depth = self.list[self.at(parent)].depth + 1;
        self.list.push(Commit { parent, depth, state: Arc::new(state), pages, refused: false });
        tag
    }

    /// The engine said that nothing happened.
    pub(crate) fn refuse(&mut self, tag: Tag) {
        let at = self.at(tag);
        self.list[at].refused = true;
    }

    /// The commit at a depth on the way to `tag`.
    pub(crate) fn ancestor(&self, mut tag: Tag, depth: u64) -> Tag {
        loop {
            let commit = &self.list[self.at(tag)];
            if commit.depth <= depth {
                return tag;
            }
            tag = commit.parent;
        }
    }

    /// Whether the state after `tag` has `earlier` among its commits, or is it.
    pub(crate) fn contains(&self, tag: Tag, earlier: Tag) -> bool {
        let depth = self.list[self.at(earlier)].depth;
        self.at(self.ancestor(tag, depth)) == self.at(earlier)
    }

    /// The last commit that two have in common.
    pub(crate) fn common(&self, one: Tag, other: Tag) -> Tag {
        let depth = |tag| self.list[self.at(tag)].depth;
        let parent = |tag| self.list[self.at(tag)].parent;
        let depth = depth(one).min(depth(other));
        let (mut one, mut other) = (self.ancestor(one, depth), self.ancestor(other, depth));
        while self.at(one) != self.at(other) {
            (one, other) = (parent(one), parent(other));
        }
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commits_part_where_their_ways_do() {
        let mut commits = Commits::default();
        let one = commits.begin(0, &[1], 1);
        let two = commits.begin(one, &[1], 1);
        let other = commits.begin(one, &[1], 1);
        assert!(commits.contains(two, one) && !commits.contains(two, other));
        assert_eq!((commits.common(two, other), commits.common(two, one)), (one, one));
    }

    #[test]
    fn a_fork_goes_on_from_a_commit_of_another_volume_and_has_none_of_its_others() {
        let mut parent = Commits::default();
        let one = parent.begin(0, &[1, 2], 2);
        let two = parent.begin(one, &[1], 2);
        let state = Arc::clone(&parent.get(one).unwrap().state);
        let mut fork = Commits::born(1, one, state);
        let own = fork.begin(one, &[1], 2);
        assert!(
            fork.contains(own, one) && fork.contains(own, 0) && fork.get(two).is_none() && parent.get(own).is_none()
        );
        assert_eq!((fork.get(own).unwrap().depth, fork.get(own).unwrap().state.tag(2)), (1, one));
        let back = fork.begin_again(own, &fork.get(one).unwrap().state.clone());
        assert_eq!((fork.get(back).unwrap().state.tag(1), fork.get(back).unwrap().state.tag(2)), (back, one));
    }
}
