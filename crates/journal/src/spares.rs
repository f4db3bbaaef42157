//! Makes segments: from released files where there are some, ahead of need where there is time.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use plimsoll_host::{
    Chance, Dir, File, Files, OpenMode,
    crash::{self, Point},
};
use plimsoll_model::{
    Error, ErrorKind, Result, ResultExt, WriterId,
    step::{Step, taken},
};

use crate::{
    Position,
    config::Config,
    header::Header,
    room::make_room,
    segment::{Segment, fresh_name, gone_is_fine, live_name, spare_name},
};

/// A failure to make or to give up a segment.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether the journal has not changed by it, so that the same may be tried again.
    pub(crate) harmless: bool,
}

impl Failure {
    fn harmless(error: Error) -> Self {
        Failure { error, harmless: true }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { error, harmless: false }
    }
}

type Outcome<T> = std::result::Result<T, Failure>;

const DOING: &str = "making a journal segment";

pub(crate) struct Spares {
    pub(crate) dir: PathBuf,
    /// The same, open: a process that has no descriptor left can still sync names.
    pub(crate) open_dir: Option<Arc<dyn Dir>>,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) chance: Arc<dyn Chance>,
    pub(crate) config: Config,
    /// The identity that the journal has, not the one that the caller proposed.
    pub(crate) writer: WriterId,
    /// Released files, waiting under their spare names.
    pub(crate) free: Vec<PathBuf>,
    /// The segment after the active one, if it was made ahead.
    pub(crate) ready: Option<Arc<Segment>>,
    /// The newest segment that was handed out.
    pub(crate) newest: u32,
}

impl Spares {
    /// Makes segment `seq` ahead of need, unless that has been done.
    pub(crate) fn make_ready(&mut self, seq: u32, base: Position, fill: u64) -> Outcome<()> {
        if self.newest < seq && self.ready.is_none() {
            self.ready = Some(self.make(seq, base, fill)?);
        }
        Ok(())
    }

    /// Hands out segment `seq`. If it was not made ahead, it has zeros up to `fill`. Its header and name are synced.
    pub(crate) fn take(&mut self, seq: u32, base: Position, fill: u64) -> Outcome<Arc<Segment>> {
        let segment = match self.ready.take() {
            Some(ready) => ready,
            None => self.make(seq, base, fill)?,
        };
        assert!(
            (segment.header.seq, segment.header.base) == (seq, base),
            "BUG: a segment made ready for another place"
        );
        self.newest = seq;
        Ok(segment)
    }

    /// Gives up a segment that holds nothing anybody needs. Its name is gone for good on return, so
    /// that segments disappear in order also when the power fails.
    pub(crate) fn retire(&mut self, segment: &Segment) -> Outcome<()> {
        const DOING: &str = "releasing a journal segment";
        let path = &segment.path;
        if self.free.len() < self.config.spare_segments {
            let spare = self.dir.join(spare_name(segment.header.seq));
            self.files.rename(path, &spare).doing(DOING, path.display()).map_err(Failure::harmless)?;
            crash::here(Point::SegmentRetired);
            self.sync_dir()?;
            self.free.push(spare);
            return Ok(());
        }
        gone_is_fine(self.files.remove(path)).doing(DOING, path.display()).map_err(Failure::harmless)?;
        Ok(self.sync_dir()?)
    }

    pub(crate) fn sync_dir(&self) -> Result<()> {
        if !taken(Step::SyncNames) {
            return Ok(());
        }
        let synced = match &self.open_dir {
            Some(dir) => dir.sync(),
            None => self.files.sync_dir(&self.dir),
        };
        synced.doing("syncing the journal's directory", self.dir.display())
    }

    fn make(&mut self, seq: u32, base: Position, fill: u64) -> Outcome<Arc<Segment>> {
        while let Some(spare) = self.free.pop() {
            let file = match self.files.open(&spare, OpenMode::Write) {
                // Somebody has made room on the disk: there are other files.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.doing(DOING, spare.display()),
            };
            let made =
                file.map_err(Failure::harmless).and_then(|file| self.make_from(&spare, file, true, seq, base, fill));
            if made.as_ref().is_err_and(|failure| failure.harmless) {
                // What became of it is known. Otherwise it is a name for opening the journal to look at.
                self.free.push(spare);
            }
            return made;
        }
        let fresh = self.dir.join(fresh_name(seq));
        let file = self.files.open(&fresh, OpenMode::Create).doing(DOING, fresh.display()).map_err(Failure::harmless);
        let made = file.and_then(|file| self.make_from(&fresh, file, false, seq, base, fill));
        if made.is_err() {
            // Only to give the space back; opening the journal removes it as well.
            let _ = self.files.remove(&fresh);
        }
        made
    }

    fn make_from(
        &self,
        path: &Path,
        file: Arc<dyn File>,
        recycled: bool,
        seq: u32,
        base: Position,
        fill: u64,
    ) -> Outcome<Arc<Segment>> {
        let header = Header {
            recycled,
            seq,
            salt: self.chance.bits(),
            base,
            capacity: self.config.segment_bytes,
            volume: self.config.volume,
            writer: self.writer,
        };
        if header.base.0.checked_add(header.capacity).is_none() {
            return Err(Failure::harmless(
                Error::new(ErrorKind::Full, DOING)
                    .object(path.display().to_string())
                    .why("the journal's positions are used up")
                    .hint("let everything become durable, then start a new journal"),
            ));
        }
        let prepared = || {
            if !recycled {
                // What a crash left here must not be taken for frames of this segment.
                file.set_len(0)?;
            }
            let filled = make_room(&*file, header.capacity, fill.min(header.capacity))?;
            file.write_all_at(&header.encode(), 0)?;
            Ok(filled)
        };
        let filled = prepared().doing(DOING, path.display()).map_err(Failure::harmless)?;
        // From here on it is not known what of it is on the disk.
        file.sync().doing(DOING, path.display())?;
        crash::here(Point::SegmentMade);
        let live = self.dir.join(live_name(seq));
        self.files.rename(path, &live).doing(DOING, path.display()).map_err(Failure::harmless)?;
        crash::here(Point::SegmentNamed);
        self.sync_dir()?;
        Ok(Segment::new(live, file, header, filled))
    }
}
