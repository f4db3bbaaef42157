//! Journals that were kept aside: read, made a state of again, and given up.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use plimsoll_commitlog::{Context, is_bygone, parse_epoch_key, unpin};
use plimsoll_host::Host;
use plimsoll_journal::Journal;
use plimsoll_model::{Epoch, Error, ErrorKind, PageNo, Txid};
use plimsoll_volume::{Base, Reference, Stranded, StrandedJournal};

use crate::{
    coverage::Event,
    handle::{Handle, Stopped},
    network::Connection,
    profile::Profile,
    promise::Promise,
    state::{self, FIRST, State, Tag},
    worker::{Application, store},
};

/// What a journal's commits make of the state that they stand on.
struct Outcome {
    state: State,
    /// The commits, as their pages say.
    tags: Vec<Tag>,
}

impl Application {
    /// Looks at a journal that was kept aside, makes the state of it that would have been, and now and then discards it.
    pub(crate) fn aside(&self, handle: &Handle) -> Result<(), Stopped> {
        let all = handle.volume.dir().stranded();
        if all.is_empty() {
            return Ok(());
        }
        let kept = self.dice.pick(&all).clone();
        let mut journal = StrandedJournal::open(&*handle.files, &kept).map_err(|error| self.unread(handle, &error))?;
        let context = self.own(&handle.world);
        self.host.tasks.wait(journal.settle(&context)).map_err(|error| handle.stopped("settling", &error))?;
        if self.disk.is_dead() {
            return Ok(());
        }
        if journal.is_of_removed() {
            if handle.world.judge().pointers.is_open() {
                handle.object(Promise::NoSilentLoss, "a stranded journal is said to be of a volume that was removed");
            }
            return Ok(());
        }
        if let Some(base) = journal.base() {
            self.export(handle, &journal, base)?;
        }
        if self.dice.once_in(3) { self.discard(handle, &kept, &journal) } else { Ok(()) }
    }

    /// Somebody else of this host may have discarded it a moment ago.
    fn unread(&self, handle: &Handle, error: &Error) -> Stopped {
        if error.kind() == ErrorKind::NotFound {
            return Stopped(error.kind());
        }
        handle.stopped("reading a stranded journal", error)
    }

    fn export(&self, handle: &Handle, journal: &StrandedJournal, base: Base) -> Result<(), Stopped> {
        let world = &handle.world;
        let listed: Vec<u64> = journal.commits().map(|commit| commit.lsn).collect();
        let Some(before) = world.judge().history.state_at(base.txid) else {
            handle.object(Promise::NoSilentLoss, &format!("a stranded journal stands on {base:?}, which never was"));
            return Ok(());
        };
        let outcome = match replayed(journal, before) {
            Ok(outcome) => outcome,
            Err(error) => {
                if error.kind() == ErrorKind::NotFound {
                    handle
                        .object(Promise::NoSilentLoss, &format!("no state can be made of a stranded journal: {error}"));
                }
                return Err(handle.stopped("exporting", &error));
            }
        };
        self.tell(world, &format!("exports {listed:?} on {base:?}: commits {:?}", outcome.tags));
        if outcome.tags.is_empty() {
            return Ok(());
        }
        world.count(Event::Exported);
        if let Some(why) = self.differs(handle, &listed, base, &outcome) {
            handle.object(Promise::NoSilentLoss, &format!("a stranded journal on {base:?}: {why}"));
        }
        let reference = Reference::Txid(Txid(base.txid));
        if base.txid > 0
            && let Ok(found) = handle.look_back(&reference)
        {
            handle.check_past(&reference, &found)?;
        }
        Ok(())
    }

    /// What is wrong with the state that was made of stranded commits.
    fn differs(&self, handle: &Handle, listed: &[u64], base: Base, outcome: &Outcome) -> Option<String> {
        let judge = handle.world.judge();
        let mut before = judge.history.tag_at(base.txid).unwrap_or(0);
        if judge.commits.get(before).map_or(0, |commit| commit.depth) != base.lsn {
            return Some(format!("its sync holds commit {before}"));
        }
        for (tag, lsn) in outcome.tags.iter().zip(listed) {
            let Some(commit) = judge.commits.get(*tag) else { return Some(format!("commit {tag} was never made")) };
            if commit.depth != *lsn || !judge.commits.contains(*tag, before) {
                return Some(format!("commit {tag} is listed as {lsn}, and comes after {before}"));
            }
            if judge.commits.contains(judge.history.tag, *tag) {
                return Some(format!("commit {tag} is in the history"));
            }
            before = *tag;
        }
        let expected = judge.state(before);
        let same = expected.as_deref() == Some(&outcome.state) && outcome.tags.len() == listed.len();
        (!same).then(|| format!("the state after commit {before} should be {expected:?}, it is {:?}", outcome.state))
    }

    fn discard(&self, handle: &Handle, kept: &Stranded, journal: &StrandedJournal) -> Result<(), Stopped> {
        let world = &handle.world;
        let Some(tags) = handle.tags_in(&kept.path) else { return Ok(()) };
        self.tell(world, &format!("discards {}: {tags:?}", kept.name()));
        // From here on nothing is promised of them, however far this gets.
        world.judge().discarded(handle.host, &tags);
        handle.volume.dir().discard(kept).map_err(|error| handle.stopped("discarding", &error))?;
        if let Some(name) = journal.checkpoint() {
            let removed = self.host.tasks.wait(unpin(&self.own(world), &name));
            removed.map_err(|error| handle.stopped("discarding", &error))?;
        }
        if self.disk.is_dead() {
            return Ok(());
        }
        world.count(Event::Discarded);
        if handle.volume.dir().stranded().contains(kept) {
            handle.object(Promise::SoundAnswers, &format!("{} was discarded and is still there", kept.name()));
        }
        Ok(())
    }
}

impl Handle {
    /// Everything is well: each journal of this host that is kept aside lists what the history lacks, and no more, since the
    /// writer after its own has said what it found. That is so if its own was in the history, and a newer one has acknowledged
    /// something. It lists all that is there where nobody can know: its writer died before it knew that it was in the history,
    /// or so many have written since that what they found is forgotten.
    pub(crate) fn strands_only_the_rest(&self, connection: &Connection, host: &Host, profile: &Profile) {
        let store = store(connection, host, true);
        let context = Context::new(host.clone(), Arc::clone(&store), profile.settings.l0_retention);
        for kept in self.volume.dir().stranded() {
            let (Ok(mut journal), Some(tags)) = (StrandedJournal::open(&*self.files, &kept), self.tags_in(&kept.path))
            else {
                continue;
            };
            let Some(epoch) = journal.epoch() else { continue };
            if host.tasks.wait(journal.settle(&context)).is_err() || journal.is_of_removed() {
                continue;
            }
            let epochs = host.tasks.wait(store.list("epoch/", None)).unwrap_or_default();
            let newest = epochs.iter().filter_map(|entry| parse_epoch_key(&entry.key)).max().unwrap_or(Epoch::ZERO);
            if journal.base().is_none() && (!journal.was_in_history() || is_bygone(Epoch(epoch), newest)) {
                continue;
            }
            let listed: BTreeSet<u64> = journal.commits().map(|commit| commit.lsn).collect();
            let judge = self.world.judge();
            if !judge.history.has_gone_on_after(epoch) {
                continue;
            }
            let wrong = |tag: &&Tag| {
                let lsn = judge.commits.get(**tag).map_or(0, |commit| commit.depth);
                listed.contains(&lsn) == judge.commits.contains(judge.history.tag, **tag)
            };
            let wrong = tags.iter().find(wrong).copied();
            let held = wrong.is_some_and(|tag| judge.commits.contains(judge.history.tag, tag));
            drop(judge);
            self.world.count(Event::AsideChecked);
            if let Some(tag) = wrong {
                let (base, holds) = (journal.base(), if held { "holds" } else { "lacks" });
                let why = format!(
                    "of a stranded journal of epoch {epoch} on {base:?} commits {listed:?} are said to be missing, and the \
                     history {holds} commit {tag}"
                );
                self.object(Promise::NoSilentLoss, &why);
            }
        }
    }

    /// Commits in a journal; `None` if some cannot be read now.
    fn tags_in(&self, path: &std::path::Path) -> Option<BTreeSet<Tag>> {
        let (reader, replay) = Journal::inspect(&*self.files, path).ok()?;
        let mut tags = BTreeSet::new();
        for commit in replay.commits {
            let Some((page, place)) = commit.pages.first() else { continue };
            let mut buf = vec![0; commit.page_size.bytes()];
            reader.read(*place, *page, &mut buf).ok()?;
            tags.extend(state::read(&buf, page.get()));
        }
        Some(tags)
    }
}

/// Does to a state what the commits of a journal did.
fn replayed(journal: &StrandedJournal, before: State) -> plimsoll_model::Result<Outcome> {
    let outcome = RefCell::new(Outcome { state: before, tags: Vec::new() });
    journal.apply(
        |page: PageNo, data| {
            let tag = state::read(data, page.get()).ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, "exporting").why(format!("page {page} is as nobody wrote it"))
            })?;
            let mut outcome = outcome.borrow_mut();
            outcome.state.write(page.get(), tag);
            if page.get() == FIRST {
                outcome.tags.push(tag);
            }
            Ok(())
        },
        |count, _| {
            let mut outcome = outcome.borrow_mut();
            outcome.state = outcome.state.after([], count.0);
            Ok(())
        },
    )?;
    Ok(outcome.into_inner())
}
