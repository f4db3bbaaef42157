//! A process is killed at each named point of the engine, and both this host and another go on from what is left.

#![allow(clippy::disallowed_methods, reason = "real time and real processes are what this is about")]

mod support;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use plimsoll_crash::{
    child::{Child, Silence},
    ledger::{Ledger, Loss},
    speech::Said,
};
use plimsoll_host::crash::Point;
use support::{PATIENCE, SEED, Volume, Worker, copy, first_words, kill, listen, listen_to};

/// Longer than any point takes to be reached on a busy machine.
const REACHED: Duration = Duration::from_secs(300);

/// What leads to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A new volume is written to.
    Writing,
    /// A new volume is written to, and closed.
    Closing,
    /// A killed process left a journal, and its host opens the volume again.
    Reopening,
    /// A process died that had announced what it was going to collect, and its host writes again.
    AfterACollector,
    /// What a process announces to go is pinned by another one, which gives that up and dies before it can say so.
    PinnedMeanwhile,
    /// A process died that had decided what it was going to collect, and somebody pins that.
    PinnedTooLate,
    /// Many writers had the volume before.
    AfterMany,
    /// Another host went on, and the first one comes back with its journal.
    Returning,
}

/// How to get to a point, and which passing of it is the one. `None`: it is passed by what is done to whole volumes,
/// which has tests of its own.
fn way(point: Point) -> Option<(Way, u64)> {
    Some(match point {
        Point::JournalWrite | Point::JournalTorn | Point::JournalWritten => (Way::Writing, 40),
        Point::JournalSync | Point::JournalSynced => (Way::Writing, 25),
        // The first one is made when the journal is.
        Point::SegmentMade | Point::SegmentNamed => (Way::Writing, 2),
        Point::SyncCreate | Point::SyncCreated | Point::SyncDone | Point::WatermarkMoved => (Way::Writing, 4),
        Point::CacheKept | Point::JournalReleased => (Way::Writing, 3),
        Point::CacheMapped => (Way::Writing, 60),
        Point::AliveSaid => (Way::Writing, 4),
        Point::MergeCreate | Point::MergeCreated | Point::Merged => (Way::Writing, 2),
        Point::CollectHalf => (Way::Writing, 3),
        Point::ObjectWritten | Point::ObjectNamed => (Way::Writing, 12),
        Point::SegmentRetired | Point::SidecarPut => (Way::Writing, 1),
        Point::CollectAnnounced | Point::CollectDelete | Point::Collected | Point::CollectDone => (Way::Writing, 2),
        Point::PinCreated | Point::PinKept => (Way::Writing, 3),
        Point::CollectWithdrawn => (Way::PinnedMeanwhile, 1),
        Point::PinGivenUp => (Way::PinnedTooLate, 1),
        Point::BygoneForgotten => (Way::AfterMany, 1),
        Point::CollectCancelled => (Way::AfterACollector, 1),
        Point::IdentityDrawn | Point::VolumeMade => (Way::Writing, 1),
        Point::EpochClose | Point::EpochClosed | Point::JournalDropped => (Way::Closing, 1),
        Point::JournalFound | Point::JournalMended | Point::EpochMarked | Point::Holding => (Way::Reopening, 1),
        Point::EpochTake | Point::EpochTaken | Point::Greet | Point::Greeted => (Way::Reopening, 1),
        Point::Introduced | Point::WentOn => (Way::Reopening, 1),
        Point::FencePublish | Point::FencePublished => (Way::Reopening, 1),
        Point::BaseKept | Point::StrandJournal | Point::StrandMoved => (Way::Returning, 1),
        Point::RestoreCommitted | Point::ForkPinned | Point::ForkMade | Point::DiscardDropped => return None,
        Point::DetachCopied | Point::DetachMarking | Point::DetachMarked | Point::DetachTold => return None,
        Point::RemovalMarked | Point::RemovalDecided | Point::RemovalTold | Point::RemovalEmptied => return None,
    })
}

/// Objects go early, so that there is something to collect.
const SETTINGS: [(&str, &str); 2] = [("L0_RETENTION_MS", "400"), ("RETENTION_MS", "800")];
const ARGUMENTS: [&str; 0] = [];

fn worker(host: &str, generation: u64) -> Worker<'_> {
    Worker { host, generation, settings: &SETTINGS, arguments: &ARGUMENTS, ..Worker::default() }
}

/// A volume in which a process died at a point.
struct Scene {
    volume: Volume,
    ledger: Ledger,
    point: Point,
    way: Way,
    generation: u64,
    /// Checkpoints, and the transactions that they are of.
    kept: Vec<(String, u64)>,
}

/// Every writer makes checkpoints, which have to outlive it.
const CHECKPOINTS: &str = "--checkpoint-every=25";

impl Scene {
    fn at(point: Point, (way, nth): (Way, u64)) -> Scene {
        let mut scene = Scene {
            volume: Volume::in_directory(),
            ledger: Ledger::new(SEED, None),
            point,
            way,
            generation: 1,
            kept: Vec::new(),
        };
        if way == Way::AfterACollector {
            scene.die_at(Point::CollectAnnounced, 1);
        }
        if matches!(way, Way::Reopening | Way::Returning) {
            scene.leave_a_journal();
        }
        if way == Way::Returning {
            scene.take_over();
        }
        if way == Way::AfterMany {
            scene.deed("take-turns", "").unwrap_or_else(|silence| panic!("{point:?}: {silence:?}"));
        }
        if way == Way::PinnedTooLate {
            scene.die_at(Point::CollectDelete, 1);
            assert_eq!(scene.deed("pin", &format!("--crash-at={}", point.name())), Err(Silence::Gone));
            return scene;
        }
        scene.die_at(point, nth);
        scene
    }

    /// What a process does to the whole volume, from another host.
    fn deed(&self, what: &str, more: &str) -> Result<(), Silence> {
        let mut arguments = vec!["deed".to_owned(), what.to_owned(), format!("--database={}", self.volume.database)];
        arguments.push("--object=too-late".to_owned());
        arguments.extend((!more.is_empty()).then(|| more.to_owned()));
        let child = Child::start(&self.volume.launch(arguments, &self.volume.host("deeds"), &SETTINGS, false)).unwrap();
        let said = child.next(Instant::now() + PATIENCE)?;
        assert_eq!(said, Said::Closed(None), "{:?}: {what}", self.point);
        Ok(())
    }

    fn die_at(&mut self, point: Point, nth: u64) {
        let arm = format!("--crash-at={}:{nth}", point.name());
        let pinned = format!("--pinned-at={}:2", Point::CollectAnnounced.name());
        let arguments = [&*arm, CHECKPOINTS, &*pinned];
        let child = self.volume.start(&Worker {
            takeover: self.way == Way::Returning,
            arguments: if self.way == Way::PinnedMeanwhile { &arguments } else { &arguments[..2] },
            ..worker("one", self.generation)
        });
        self.die(child);
    }

    /// With commits in it that no sync has, on top of some that one has.
    fn leave_a_journal(&mut self) {
        let arguments = ["--transactions=30"];
        let child = self.volume.start(&Worker { arguments: &arguments, ..worker("one", 1) });
        let closed = |said: &Said| matches!(said, Said::Closed(_));
        listen(&child, &mut self.ledger, 1, PATIENCE, closed).unwrap();
        let settings = [("SYNC_INTERVAL_MS", "600000"), ("SYNC_BACKLOG_BYTES", "0"), ("MAX_LOSS_WINDOW_MS", "900000")];
        let arguments = ["--synchronous=FULL"];
        let child = self.volume.start(&Worker { settings: &settings, arguments: &arguments, ..worker("one", 2) });
        listen_to(&child, &mut self.ledger, 2, 45);
        kill(child, &mut self.ledger, 2);
        self.generation = 3;
    }

    fn take_over(&mut self) {
        let generation = self.generation;
        let child = self.volume.start(&Worker { takeover: true, ..worker("two", generation) });
        let found = first_words(&child).unwrap();
        self.ledger.check(&found, Loss::Host).unwrap();
        listen_to(&child, &mut self.ledger, generation, found.n + 20);
        self.close(&child, generation);
        self.generation += 1;
    }

    fn too_late(&self) -> PathBuf {
        Path::new(&self.volume.database).join("pins/too-late.json")
    }

    fn close(&mut self, child: &Child, generation: u64) {
        child_closes(child, &mut self.ledger, generation).unwrap_or_else(|error| panic!("{:?}: {error}", self.point));
    }

    /// Listens to the process until it dies at the point.
    fn die(&mut self, mut child: Child) {
        let (point, generation) = (self.point, self.generation);
        let deadline = Instant::now() + REACHED;
        loop {
            match child.next(deadline) {
                Ok(Said::Found(found)) => {
                    self.ledger.check(&found, Loss::Process).unwrap_or_else(|error| panic!("{point:?}: {error}"));
                }
                Ok(Said::Committed(n, level)) => {
                    self.ledger.hear(&Said::Committed(n, level), generation).unwrap();
                    if n == 30 && self.way == Way::Closing {
                        child.tell_to_close();
                    }
                }
                Ok(Said::Kept(name, n)) => self.kept.push((name, n)),
                Ok(said @ (Said::Closed(_) | Said::Failed(..))) => panic!("{point:?} was not passed: {said:?}"),
                Ok(said) => self.ledger.hear(&said, generation).unwrap_or_else(|error| panic!("{point:?}: {error}")),
                Err(Silence::Gone) => break,
                Err(Silence::NotYet) => panic!("{point:?} was not passed in time"),
            }
        }
        assert!(child.was_killed(), "{point:?}: it ended in another way");
        self.generation += 1;
    }

    /// A host opens what is left, finds what it has to, and goes on.
    fn goes_on(&self, host: &str, loss: Loss) {
        let point = self.point;
        let mut ledger = self.ledger.clone();
        let wrong = |error: String| -> ! { panic!("{point:?}, {loss:?}: {error}") };
        let arguments = ["--transactions=4"];
        // The host that came back is not the last one that held the volume.
        let takeover = loss == Loss::Host || self.way == Way::Returning;
        let child = self.volume.start(&Worker { takeover, arguments: &arguments, ..worker(host, self.generation) });
        let found = first_words(&child).unwrap_or_else(|error| wrong(error));
        ledger.check(&found, loss).unwrap_or_else(|error| wrong(error));
        if self.way == Way::Returning && loss == Loss::Process {
            assert_eq!(found.stranded.len(), 1, "{point:?}: what the history went on without is kept");
        }
        let closed = |said: &Said| matches!(said, Said::Closed(_));
        listen(&child, &mut ledger, self.generation, PATIENCE, closed).unwrap_or_else(|error| wrong(error));
        let stored = self.volume.peek().unwrap_or_else(|error| wrong(error));
        ledger.check_stored(&stored).unwrap_or_else(|error| wrong(error));
        assert_eq!(stored.n, ledger.line().acked, "{point:?}, {loss:?}: it closed with everything in the store");
        if matches!(self.way, Way::PinnedMeanwhile | Way::PinnedTooLate) {
            // Of the pin that does not hold there is a record, and it can be removed.
            assert!(self.too_late().exists(), "{point:?}, {loss:?}");
            self.deed("unpin", "").unwrap_or_else(|silence| panic!("{point:?}, {loss:?}: {silence:?}"));
            assert!(!self.too_late().exists(), "{point:?}, {loss:?}");
        }
        for (name, n) in self.kept.iter().rev().take(2) {
            let past = self.volume.peek_at(name).unwrap_or_else(|error| wrong(error));
            ledger.is_a_state(&past).unwrap_or_else(|error| wrong(error));
            assert_eq!(past.n, *n, "{point:?}, {loss:?}: {name}");
        }
    }
}

fn child_closes(child: &Child, ledger: &mut Ledger, generation: u64) -> Result<(), String> {
    child.tell_to_close();
    listen(child, ledger, generation, PATIENCE, |said| matches!(said, Said::Closed(_)))
}

/// Of all points with such a way, every `of`-th from the `part`-th.
fn die_at_each(wanted: impl Fn(Way) -> bool, part: usize, of: usize) {
    let points =
        Point::ALL.iter().filter_map(|point| Some((*point, way(*point)?))).filter(|(_, (way, _))| wanted(*way));
    for (point, how) in points.skip(part).step_by(of) {
        let scene = Scene::at(point, how);
        let left = tempfile::tempdir().unwrap();
        let backup = left.path().join("left");
        copy(scene.volume.dir.path(), &backup);
        scene.goes_on("other", Loss::Host);
        copy(&backup, scene.volume.dir.path());
        scene.goes_on("one", Loss::Process);
    }
}

#[test]
fn killed_at_any_point_of_writing_nothing_acknowledged_is_lost() {
    die_at_each(|way| way == Way::Writing, 0, 2);
}

#[test]
fn killed_at_any_other_point_of_writing_nothing_acknowledged_is_lost() {
    die_at_each(|way| way == Way::Writing, 1, 2);
}

#[test]
fn killed_at_any_point_of_opening_and_closing_nothing_acknowledged_is_lost() {
    die_at_each(|way| way != Way::Writing, 0, 2);
}

#[test]
fn killed_at_any_other_point_of_opening_and_closing_nothing_acknowledged_is_lost() {
    die_at_each(|way| way != Way::Writing, 1, 2);
}
