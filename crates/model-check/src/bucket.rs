//! What the store holds.

use plimsoll_commitlog::lineage::{Link, trusted_from};
use plimsoll_host::WallMs;
use plimsoll_ltx::{
    FileId,
    plan::{Target, plan},
};
use plimsoll_model::Txid;
use plimsoll_pages::{Listed, Listing};

use crate::object::Object;

/// Ages are counted in ticks of half the retention of level 0, and no further than this: what is older is late, and may
/// be collected as soon as there is something new.
pub(crate) const AGE_MAX: u8 = 2;

/// What a writer found when it took the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Inherited {
    Nothing,
    On(Object),
}

/// A sync as it lies in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    pub(crate) object: Object,
    pub(crate) age: u8,
}

/// A merge. What it holds is checked when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Merged {
    pub(crate) min: u8,
    pub(crate) max: u8,
    pub(crate) age: u8,
}

/// A line of a listing. Whatever takes the same name later is another object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) level: u8,
    pub(crate) min: u8,
    pub(crate) max: u8,
    pub(crate) age: u8,
    pub(crate) checksum: u32,
}

/// The objects below the volume's URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bucket {
    /// The writer of each epoch, from epoch 1 on.
    pub(crate) epochs: Vec<u8>,
    /// What each epoch's status says, if there is one: what its writer inherited, if it knows.
    pub(crate) statuses: Vec<Option<Option<Inherited>>>,
    /// By TXID.
    pub(crate) level0: Vec<Stored>,
    pub(crate) level1: Vec<Merged>,
}

impl Bucket {
    pub(crate) fn epoch(&self) -> u8 {
        self.epochs.len() as u8
    }

    /// The first sign of life under an epoch: it does not say yet what was inherited.
    pub(crate) fn greet(&mut self, epoch: u8, if_absent: bool) {
        let status = &mut self.statuses[usize::from(epoch) - 1];
        if status.is_none() || !if_absent {
            *status = Some(None);
        }
    }

    pub(crate) fn sync(&self, txid: u8) -> Option<Object> {
        self.level0.iter().find(|stored| stored.object.txid == txid).map(|stored| stored.object)
    }

    pub(crate) fn newest_sync(&self) -> Option<u8> {
        self.level0.last().map(|stored| stored.object.txid)
    }

    pub(crate) fn names(&self) -> Vec<Name> {
        let syncs = self.level0.iter().map(|Stored { object, age }| Name {
            level: 0,
            min: object.txid,
            max: object.txid,
            age: *age,
            checksum: object.checksum(),
        });
        let merges = self.level1.iter().map(|Merged { min, max, age }| Name {
            level: 1,
            min: *min,
            max: *max,
            age: *age,
            checksum: 0,
        });
        syncs.chain(merges).collect()
    }

    /// What a reader of the newest state reads; `None` if it cannot be had.
    pub(crate) fn newest_plan(&self) -> Option<Vec<FileId>> {
        let ids: Vec<FileId> = self.names().iter().map(Name::id).collect();
        plan(&ids, Target::Latest).ok()
    }

    /// What a reader of an earlier state reads; `None` if it cannot be had. `linked`: only of syncs that the newest
    /// links back to.
    pub(crate) fn earlier_plan(&self, txid: u8, linked: bool) -> Option<Vec<FileId>> {
        let ids: Vec<FileId> = self.names().iter().map(Name::id).collect();
        let plan = plan(&ids, Target::Txid(Txid(txid.into()))).ok()?;
        let links: Vec<Link> = self.level0.iter().map(|stored| link(&stored.object)).collect();
        let from = trusted_from(&links);
        let trusted = |id: &FileId| !linked || id.level > 0 || from.is_some_and(|from| id.min >= from);
        plan.iter().all(trusted).then_some(plan)
    }
}

fn link(object: &Object) -> Link {
    Link {
        txid: Txid(object.txid.into()),
        checksum: object.checksum().into(),
        link: (object.link != 0).then_some(object.link.into()),
    }
}

impl Name {
    pub(crate) fn id(&self) -> FileId {
        FileId { level: self.level, min: Txid(self.min.into()), max: Txid(self.max.into()) }
    }
}

/// As the engine sees it.
pub(crate) fn listing(names: &[Name]) -> Listing {
    let files = names.iter().map(|name| {
        let modified = WallMs(u64::from(AGE_MAX - name.age));
        Listed { id: name.id(), size: 1, modified }
    });
    let mut files: Vec<Listed> = files.collect();
    files.sort_unstable_by_key(|file| (file.id.level, file.id.min, file.id.max));
    Listing { files }
}

pub(crate) fn older(age: &mut u8) {
    *age = (*age + 1).min(AGE_MAX);
}
