//! Somebody who only reads the newest state: lists, and then reads what was listed.

use plimsoll_ltx::FileId;

use crate::{bucket::Name, promise::Promise, step::Step, world::World};

impl World {
    /// What a reader would read now.
    pub(crate) fn reading(&self) -> Option<Vec<Name>> {
        let plan = self.bucket.newest_plan()?;
        let names = self.bucket.names();
        let listed = |id: &FileId| names.iter().find(|name| name.id() == *id).map(|name| Name { age: 0, ..*name });
        // Merges are checked when they are made.
        let syncs: Vec<Name> = plan.iter().filter(|id| id.level == 0).filter_map(listed).collect();
        (!syncs.is_empty()).then_some(syncs)
    }

    /// Reads what was listed, or finds out that it has to list again.
    pub(crate) fn read(&mut self, names: &[Name], left_out: Option<Step>) {
        for name in names {
            let Some(found) = self.bucket.sync(name.max) else { return };
            if found.checksum() != name.checksum && left_out != Some(Step::Listed) {
                return;
            }
            if self.history.get(usize::from(name.max) - 1) != Some(&found) {
                self.broken.get_or_insert(Promise::StraysNeverRead);
            }
        }
    }

    /// After each change of the store: whether the newest state can be had, and whatever of earlier ones is given
    /// out is what it was.
    pub(crate) fn judge_reads(&mut self, left_out: Option<Step>) {
        let end = self.history.len() as u8;
        if end == 0 {
            return;
        }
        let plan = self.bucket.newest_plan();
        match plan {
            Some(plan) if plan.last().is_some_and(|last| last.max.0 == u64::from(end)) => self.judge(&plan),
            _ => {
                self.broken.get_or_insert(Promise::NothingReachableDeleted);
            }
        }
        for txid in 1..end {
            if let Some(plan) = self.bucket.earlier_plan(txid, left_out != Some(Step::Link)) {
                self.judge(&plan);
            }
        }
    }

    fn judge(&mut self, plan: &[FileId]) {
        for id in plan.iter().filter(|id| id.level == 0) {
            if self.bucket.sync(id.max.0 as u8) != self.history.get(id.max.0 as usize - 1).copied() {
                self.broken.get_or_insert(Promise::StraysNeverRead);
            }
        }
    }
}
