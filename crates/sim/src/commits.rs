//! Every commit that was ever tried, and what the volume holds after it.

use std::sync::Arc;

use crate::state::{State, Tag};

/// One commit, whatever became of it.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    /// What it was made on top of.
    pub(crate) parent: Tag,
    /// Commits up to this one; what its LSN has to be.
    pub(crate) depth: u64,
    /// What the volume holds after it.
    pub(crate) state: Arc<State>,
    /// Whether the engine said that nothing happened.
    pub(crate) refused: bool,
}

/// All of them, as a tree.
#[derive(Debug)]
pub(crate) struct Commits(Vec<Commit>);

impl Default for Commits {
    fn default() -> Self {
        let state = Arc::default();
        Commits(vec![Commit { parent: 0, depth: 0, state, refused: false }])
    }
}

fn at(tag: Tag) -> usize {
    usize::try_from(tag).unwrap_or(usize::MAX)
}

impl Commits {
    /// The commit of a tag, if there was one.
    pub(crate) fn get(&self, tag: Tag) -> Option<&Commit> {
        self.0.get(at(tag))
    }

    /// Notes a commit that is about to be tried.
    pub(crate) fn begin(&mut self, parent: Tag, pages: &[u32], count: u32) -> Tag {
        let tag = self.0.len() as Tag;
        let base = &self.0[at(parent)];
        let state = base.state.after(pages.iter().map(|page| (*page, tag)), count);
        let depth = base.depth + 1;
        self.0.push(Commit { parent, depth, state: Arc::new(state), refused: false });
        tag
    }

    /// The engine said that nothing happened.
    pub(crate) fn refuse(&mut self, tag: Tag) {
        self.0[at(tag)].refused = true;
    }

    /// The commit at a depth on the way to `tag`.
    pub(crate) fn ancestor(&self, mut tag: Tag, depth: u64) -> Tag {
        while self.0[at(tag)].depth > depth {
            tag = self.0[at(tag)].parent;
        }
        tag
    }

    /// Whether the state after `tag` has `earlier` among its commits, or is it.
    pub(crate) fn contains(&self, tag: Tag, earlier: Tag) -> bool {
        self.ancestor(tag, self.0[at(earlier)].depth) == earlier
    }

    /// The last commit that two have in common.
    pub(crate) fn common(&self, one: Tag, other: Tag) -> Tag {
        let depth = self.0[at(one)].depth.min(self.0[at(other)].depth);
        let (mut one, mut other) = (self.ancestor(one, depth), self.ancestor(other, depth));
        while one != other {
            (one, other) = (self.0[at(one)].parent, self.0[at(other)].parent);
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
}
