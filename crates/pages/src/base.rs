//! States that others are built on: the newest one and earlier ones mostly begin with the same large objects, and what
//! these hold is laid out once for all of them.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use plimsoll_ltx::FileId;
use plimsoll_model::{Lsn, Result};
use plimsoll_proof::Prover;

use crate::{
    Index, Listed, View,
    load::{after, gone, is_listed},
};

/// The bases of a volume's states that are in memory. Each lives as long as a view that was built on it.
#[derive(Default)]
pub struct Bases(Mutex<Vec<Weak<Base>>>);

/// The state after the first objects of a volume, all of which are large and proved.
pub(crate) struct Base {
    made_of: Vec<Made>,
    pub(crate) view: View,
    /// The commit that the last object goes up to, if its stamp says so.
    pub(crate) lsn: Option<Lsn>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Made {
    id: FileId,
    size: u64,
    checksum: u64,
}

impl Bases {
    /// The largest base of the state that these objects make up.
    pub(crate) fn of(&self, files: &[Listed]) -> Option<Arc<Base>> {
        let begins = |base: &Arc<Base>| {
            base.made_of.len() <= files.len()
                && base.made_of.iter().zip(files).all(|(made, file)| (made.id, made.size) == (file.id, file.size))
        };
        self.living().into_iter().filter(begins).max_by_key(|base| base.objects())
    }

    /// The base that is one object more than another one, made unless there is one.
    pub(crate) fn on(&self, below: Option<&Arc<Base>>, index: &Index, url: &str) -> Result<Arc<Base>> {
        let mut made_of = below.map_or_else(Vec::new, |base| base.made_of.clone());
        made_of.push(Made { id: index.object.id, size: index.object.size, checksum: index.checksum });
        let known = |base: &Arc<Base>| base.made_of == made_of;
        if let Some(base) = self.living().into_iter().find(known) {
            return Ok(base);
        }
        let view = after(&below.map_or_else(View::empty, Base::state), index, url)?;
        let base = Arc::new(Base { made_of, view, lsn: index.lsn });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&base));
        Ok(base)
    }

    fn living(&self) -> Vec<Arc<Base>> {
        let mut bases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bases.retain(|base| base.strong_count() > 0);
        bases.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Base {
    /// How many objects it is made of.
    pub(crate) fn objects(&self) -> usize {
        self.made_of.len()
    }

    /// The state itself, which keeps the base as long as it shares any of it.
    pub(crate) fn state(self: &Arc<Self>) -> View {
        self.view.clone().built_on(Arc::clone(self))
    }

    /// Whether its objects are still there and still those that a listing has shown. A small request for each, all at
    /// once.
    ///
    /// # Errors
    /// `NotFound`: one was collected and its name taken since the listing. Otherwise as the store says.
    pub(crate) async fn stands(&self, prover: &Prover, files: &[Listed]) -> Result<bool> {
        let look = |(made, file): (Made, Listed)| async move {
            let Some(modified) = prover.unchanged(&made.id, made.size, made.checksum).await? else { return Ok(false) };
            if !is_listed(&file, made.size, modified) {
                return Err(gone(&prover.layout().key(&made.id)));
            }
            Ok(true)
        };
        let looks = self.made_of.iter().copied().zip(files.iter().copied()).map(look);
        Ok(futures::future::try_join_all(looks).await?.into_iter().all(|same| same))
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_host::WallMs;
    use plimsoll_ltx::IndexEntry;
    use plimsoll_model::{PageCount, PageNo, PageSize, Txid};

    use super::*;
    use crate::{Object, Placed};

    #[test]
    fn what_no_state_shares_anything_with_any_more_is_given_up() {
        let pages = 1..=600;
        let entries = pages.clone().map(|page| IndexEntry {
            page: PageNo::new(page).unwrap(),
            offset: u64::from(page),
            len: 1,
            hash: u64::from(page),
        });
        let object =
            |level, txid| Arc::new(Object { id: FileId { level, min: Txid(1), max: Txid(txid) }, size: 1 << 20 });
        let index = Index {
            object: object(0, 1),
            count: PageCount(600),
            page_size: PageSize::DEFAULT,
            lsn: None,
            checksum: 1,
            link: None,
            timestamp: WallMs(0),
            entries: Arc::new(entries.collect::<Vec<_>>().into()),
        };
        let bases = Bases::default();
        let newest = bases.on(None, &index, "memory:///").unwrap().state();
        let placed: Vec<Placed> = index.pages().collect();
        let half = newest.relocated(&object(1, 1), &placed[..500]);
        assert_eq!(bases.living().len(), 1);
        let all = newest.relocated(&object(1, 1), &placed);
        drop(newest);
        assert_eq!(bases.living().len(), 1, "half of it is shared");
        drop(half);
        assert_eq!(bases.living().len(), 0);
        assert!(all.slot(PageNo::FIRST).is_some());
    }
}
