//! Some pages of a [view](crate::View) that follow each other: what views share.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use plimsoll_ltx::{FileId, GROUP_PAGES, PageTable};
use plimsoll_model::PageNo;

use crate::{Object, Slot};

/// Pages per part. 512 pages are 2 MiB of a database, and 12 KiB of memory once they are laid out.
pub(crate) const PART_PAGES: usize = GROUP_PAGES as usize;

type Slots = [Option<Slot>; PART_PAGES];

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct Part {
    /// What it is laid out from, the newest last; nothing if somebody has written to it since.
    pieces: Vec<Piece>,
    slots: OnceLock<Box<Slots>>,
    /// The objects that these are in, once somebody has asked: most parts never change between two times.
    objects: OnceLock<Box<[FileId]>>,
}

/// What an object has of a part: at least one page.
#[derive(Clone)]
struct Piece {
    object: Arc<Object>,
    table: Arc<PageTable>,
    group: u32,
}

impl Part {
    pub(crate) fn empty() -> Part {
        Part { pieces: Vec::new(), slots: OnceLock::from(nothing()), objects: OnceLock::new() }
    }

    /// The part with what an object has of it, which is not laid out before somebody asks, unless what is below was
    /// written to page by page.
    pub(crate) fn onto(below: Option<&Part>, object: &Arc<Object>, table: &Arc<PageTable>, group: u32) -> Part {
        let piece = Piece { object: Arc::clone(object), table: Arc::clone(table), group };
        match below.map(|below| (&below.pieces[..], below.slots.get())) {
            Some(([], Some(written))) => {
                let mut slots = written.clone();
                piece.put(&mut slots);
                Part { pieces: Vec::new(), slots: OnceLock::from(slots), objects: OnceLock::new() }
            }
            below => {
                let pieces = below.map_or(&[][..], |(pieces, _)| pieces).iter().cloned().chain([piece]).collect();
                Part { pieces, slots: OnceLock::new(), objects: OnceLock::new() }
            }
        }
    }

    /// Where a page of this part is.
    #[inline]
    pub(crate) fn slot(&self, page: PageNo) -> Option<&Slot> {
        self.slots.get_or_init(|| lay_out(&self.pieces))[page.index() % PART_PAGES].as_ref()
    }

    /// The objects that its pages are in.
    pub(crate) fn objects(&self) -> &[FileId] {
        let named = |slots: &Slots| {
            let objects: HashSet<FileId> = slots.iter().flatten().map(|slot| slot.object().id).collect();
            objects.into_iter().collect()
        };
        self.objects.get_or_init(|| match (&self.pieces[..], self.slots.get()) {
            ([only], _) => Box::new([only.object.id]),
            (_, Some(slots)) => named(slots),
            // Nobody wants the pages.
            (_, None) => named(&lay_out(&self.pieces)),
        })
    }

    /// The same one unless others share it. Its slots are about to change.
    pub(crate) fn changing(part: &mut Arc<Part>) -> &mut Slots {
        let part = Arc::make_mut(part);
        part.objects.take();
        part.slots.get_or_init(|| lay_out(&part.pieces));
        part.pieces.clear();
        part.slots.get_mut().expect("BUG: slots that were laid out are gone")
    }
}

impl Piece {
    fn put(&self, slots: &mut Slots) {
        for entry in self.table.group(self.group) {
            let slot = Slot::new(Arc::clone(&self.object), entry.offset, u64::from(entry.len), entry.hash);
            if let Some(slot) = slot {
                slots[entry.page.index() % PART_PAGES] = Some(slot);
            }
        }
    }
}

fn lay_out(pieces: &[Piece]) -> Box<Slots> {
    let mut slots = nothing();
    pieces.iter().for_each(|piece| piece.put(&mut slots));
    slots
}

fn nothing() -> Box<Slots> {
    Box::new([const { None }; PART_PAGES])
}
