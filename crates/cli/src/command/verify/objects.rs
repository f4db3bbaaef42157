//! LTX objects and their sidecars, from end to end.

use indicatif::ProgressBar;
use plimsoll_ltx::{
    Entries, FileId, Header, IndexEntry, SNAPSHOT_LEVEL,
    decode::{Page, Summary},
    page_hash,
    sidecar::Sidecar,
};
use plimsoll_model::{Error, ErrorKind, PageSize};
use plimsoll_pages::{Listed, Listing};
use plimsoll_volume::Located;

use super::findings::Findings;
use crate::{
    exit::Result,
    object_reader::stream_object,
    setup::{Setup, layout},
};

/// An object that passed every check of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    pub(crate) id: FileId,
    pub(crate) header: Header,
    pub(crate) checksum: u64,
}

/// Checks every object, and the sidecar of each that has one. Memory: one sidecar, some 24 bytes per page.
///
/// # Errors
/// Those of the store.
pub(crate) fn check(
    setup: &Setup,
    located: &Located,
    listing: &Listing,
    sidecars: &[FileId],
    plan: &[FileId],
    bar: &ProgressBar,
    found: &mut Findings,
) -> Result<Vec<Checked>> {
    let mut checked = Vec::new();
    let mut page_size: Option<PageSize> = None;
    for file in &listing.files {
        let key = layout(located).key(&file.id);
        let sidecar = if sidecars.contains(&file.id) { read_sidecar(setup, located, &file.id, found)? } else { None };
        let mut compare = Compare::with(sidecar.as_ref());
        let read = stream_object(&setup.process.host, &located.store, &key, file.size, bar, |page| {
            compare.page(&page);
            Ok(())
        });
        match read.and_then(|summary| named_as_it_is(file, &summary).map(|()| summary)) {
            Ok(summary) => {
                let header = summary.header;
                if *page_size.get_or_insert(header.page_size) != header.page_size {
                    let what = format!("its pages have {} bytes, those of other objects do not", header.page_size);
                    found.problem(&key, what, consequence(&file.id, plan));
                }
                if let Some(what) = compare.verdict(&summary) {
                    found.problem(&file.id.sidecar_key(), what, SIDECAR);
                }
                checked.push(Checked { id: file.id, header, checksum: summary.checksum });
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                found.problem(&key, error.to_string(), consequence(&file.id, plan));
            }
            // A writer that is at work merges and removes; what it made of it has been verified when it was read.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                found.note(&key, "it was merged and removed meanwhile", "it was not checked");
            }
            Err(error) => return Err(error.into()),
        }
    }
    for id in sidecars.iter().filter(|id| !listing.files.iter().any(|file| file.id == **id)) {
        found.note(&id.sidecar_key(), "its object is gone", "it is never read");
    }
    Ok(checked)
}

const SIDECAR: &str = "opening the volume is slower, or reads of it fail";

fn consequence(id: &FileId, plan: &[FileId]) -> &'static str {
    if plan.contains(id) {
        "the newest state cannot be read whole"
    } else if id.level == SNAPSHOT_LEVEL {
        "this snapshot cannot be restored; the newest state does not need it"
    } else {
        "some older states cannot be restored; the newest does not need it"
    }
}

fn named_as_it_is(file: &Listed, summary: &Summary) -> plimsoll_model::Result<()> {
    let (id, header) = (&file.id, &summary.header);
    let why = if (header.min, header.max) != (id.min, id.max) {
        format!("its header says TXIDs {} to {}", header.min, header.max)
    } else if summary.size != file.size {
        format!("it has {} bytes, its LTX file {}", file.size, summary.size)
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Corrupt, "reading LTX object").why(why))
}

fn read_sidecar(setup: &Setup, located: &Located, id: &FileId, found: &mut Findings) -> Result<Option<Sidecar>> {
    let key = id.sidecar_key();
    let Some(object) = setup.wait(located.store.get(&key))? else { return Ok(None) };
    match Sidecar::decode(object.bytes) {
        Ok(sidecar) => Ok(Some(sidecar)),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            found.note(&key, error.to_string(), "it was not checked");
            Ok(None)
        }
        Err(error) => {
            found.problem(&key, error.to_string(), SIDECAR);
            Ok(None)
        }
    }
}

/// Holds a sidecar against its object, page by page.
struct Compare<'a> {
    sidecar: Option<&'a Sidecar>,
    /// What it says of the pages to come.
    rest: Option<Entries<'a>>,
    differs: Option<u32>,
}

impl<'a> Compare<'a> {
    fn with(sidecar: Option<&'a Sidecar>) -> Self {
        Compare { sidecar, rest: sidecar.map(|sidecar| sidecar.entries.iter()), differs: None }
    }

    fn page(&mut self, page: &Page<'_>) {
        let Some(rest) = &mut self.rest else { return };
        let at = page.location;
        let is = IndexEntry { page: at.page, offset: at.offset, len: at.len, hash: page_hash(page.data) };
        if rest.next() != Some(is) && self.differs.is_none() {
            self.differs = Some(at.page.get());
        }
    }

    /// What is wrong with the sidecar, if anything.
    fn verdict(&self, summary: &Summary) -> Option<String> {
        let sidecar = self.sidecar?;
        let header = &summary.header;
        if (sidecar.file_checksum, sidecar.file_bytes) != (summary.checksum, summary.size) {
            return Some("it belongs to another object of the same name".to_owned());
        }
        if let Some(page) = self.differs {
            return Some(format!("it has page {page} of its object otherwise than it is"));
        }
        let says = (&sidecar.header, sidecar.entries.len());
        (says != (header, summary.pages as usize)).then(|| "it disagrees with the header of its object".to_owned())
    }
}
