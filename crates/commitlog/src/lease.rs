//! Being the writer: syncs, signs of life, letting go.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{join, try_join},
};
use plimsoll_host::{
    Mono, WallMs,
    crash::{self, Point},
};
use plimsoll_ltx::FileId;
use plimsoll_model::{
    Epoch, Error, ErrorKind, Lsn, PageCount, PageSize, Result, Stamp, Txid, WriterId,
    step::{Step, taken},
    way::{Way, went},
};
use plimsoll_store::Body;

use crate::{
    Context, FenceInfo, Fenced, Head, Inherited, LineRecord, LoadRecord, Mark, StatusRecord, VolumeRecord, Watermarks,
    aftermath::aftermath,
    create::{create_ltx, insist},
    key::status_key,
    record,
    standing::{Rival, rival},
    tail::newest_since,
    verdict::{Whose, holds, is_late},
};

/// Who holds a lease.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) writer: WriterId,
    pub(crate) host_name: String,
    pub(crate) epoch: Epoch,
    /// The bytes of its record.
    pub(crate) record: Vec<u8>,
    /// How long others respect its last sign of life.
    pub(crate) holder_ttl: Duration,
    /// See [`Lease::taken_from`].
    pub(crate) taken_from: Option<Epoch>,
}

/// What a lease begins with.
pub(crate) struct Begun {
    /// The fence; `None` for a volume without syncs.
    pub(crate) fenced: Option<Fenced>,
    /// What an earlier process of the same writer had said last, if it had not let go.
    pub(crate) unjudged: Option<StatusRecord>,
    /// When the look was sent that found its epoch the newest.
    pub(crate) looked: Mono,
}

/// The right to write a volume, until somebody takes it. Every method may be called while others are under way.
pub struct Lease {
    context: Context,
    holder: Holder,
    volume: VolumeRecord,
    fenced: Option<Fenced>,
    state: Mutex<State>,
    /// Held during a sync: they are made one after the other.
    syncing: futures::lock::Mutex<()>,
    /// Held while the status is written, so that a late sign of life does not undo a closing one.
    reporting: futures::lock::Mutex<()>,
}

struct State {
    /// The newest sync: our fence or what we put on it.
    head: Option<Head>,
    inherited: Option<Inherited>,
    /// See [`Lease::go_on_from`].
    replayed: Option<Lsn>,
    /// See [`Lease::accounts_for`].
    took_from: Option<Epoch>,
    /// What an earlier process of this writer had said last, until it is known what became of its journal.
    unjudged: Option<StatusRecord>,
    /// When the last request that showed no higher epoch was sent.
    looked: Mono,
    /// When the record of the epoch was written, by the store's clock.
    recorded: Option<WallMs>,
    /// That record is gone, or is another writer's.
    gone: bool,
    /// A sync that was asked for and whose outcome is not known.
    pending: Option<Pending>,
    /// It was said, or may have been said, that this lease is over. Signs of life would take it back.
    closing: bool,
    over: Option<Over>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    txid: Txid,
    stamp: Stamp,
    checksum: u64,
}

/// Why a lease is no more.
#[derive(Clone)]
enum Over {
    Fenced(FenceInfo),
    Closed,
}

/// One batch of commits, encoded.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The one after the head's.
    pub txid: Txid,
    /// As in the body's header: this lease's writer and epoch, and the last commit contained.
    pub stamp: Stamp,
    /// As at the body's end.
    pub checksum: u64,
    /// Pages of the volume after it.
    pub page_count: PageCount,
    /// Bytes per page.
    pub page_size: PageSize,
    /// The object. Cheap to clone.
    pub body: Body,
}

/// What became of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It is in the history, and stays.
    Durable,
    /// It is not known to be, and this lease is over.
    Fenced(FenceInfo),
}

/// What a heartbeat found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Beat {
    /// There is no newer writer.
    Holding,
    /// There is, and this lease is over.
    Fenced(FenceInfo),
}

/// What a sign of life says.
#[derive(Clone, Debug, Default)]
pub struct StatusReport {
    /// How far commits have got.
    pub watermarks: Watermarks,
    /// What is acknowledged and not yet durable.
    pub load: LoadRecord,
    /// How much of that there may be by now. `None`: as when the volume was taken.
    pub line: Option<LineRecord>,
    /// What does not succeed, and why. What is longer than [`TROUBLE_BYTES_MAX`] is cut off.
    pub trouble: Option<String>,
}

/// Of the words about what does not succeed in a sign of life: records stay small.
pub const TROUBLE_BYTES_MAX: usize = 1000;

impl Lease {
    pub(crate) fn new(context: Context, holder: Holder, volume: VolumeRecord, begun: Begun) -> Self {
        let Begun { fenced, unjudged, looked } = begun;
        let took_from = holder.taken_from;
        Lease {
            context,
            holder,
            volume,
            fenced,
            state: Mutex::new(State {
                head: fenced.map(|fenced| fenced.head),
                inherited: fenced.map(|fenced| fenced.inherited),
                replayed: None,
                took_from,
                unjudged,
                looked,
                recorded: None,
                gone: false,
                pending: None,
                closing: false,
                over: None,
            }),
            syncing: futures::lock::Mutex::new(()),
            reporting: futures::lock::Mutex::new(()),
        }
    }

    /// The epoch that this lease is.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.holder.epoch
    }

    /// What the volume was once the epoch was there.
    #[must_use]
    pub fn volume(&self) -> &VolumeRecord {
        &self.volume
    }

    /// The fence that this lease began with; `None` for a volume that had no sync.
    #[must_use]
    pub fn fence(&self) -> Option<Fenced> {
        self.fenced
    }

    /// The newest epoch of another writer that had not let go when this lease was taken, and that nobody has accounted for.
    /// Others before it may wait for that, too: see [`toll`](crate::toll()).
    #[must_use]
    pub fn taken_from(&self) -> Option<Epoch> {
        self.holder.taken_from
    }

    /// This writer holds the volume, and has found out what those before it took with them. Until its next sign of life that is
    /// left to whoever comes next.
    pub fn accounts_for(&self) {
        self.state().took_from = None;
    }

    /// The newest sync: the fence, or what was put on it; `None` before the first sync of a volume.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.state().head
    }

    /// What the fence was put on: the state that this writer continues. `None` while the volume has no sync, and
    /// then the first one of this lease begins the history.
    #[must_use]
    pub fn inherited(&self) -> Option<Inherited> {
        self.state().inherited
    }

    /// The last commit that this lease knows to be in the history.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.head().and_then(|head| head.stamp).map(|stamp| stamp.lsn).unwrap_or_default()
    }

    /// Whether this lease is known to be over because of another writer: nothing more may be acknowledged. What the history
    /// holds may not be known yet.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self.state().over, Some(Over::Fenced(_))) && taken(Step::EndFenced)
    }

    /// Makes a sync the newest of the history, or finds out that somebody else has.
    ///
    /// One request when all is well. After an error the outcome is unknown, and so it is when the future is
    /// dropped: ask again with the same sync until there is an outcome.
    ///
    /// # Errors
    /// `Unavailable` and others from the store: unknown, ask again. `Corrupt`: the object that has our name is
    /// damaged. `Fenced`, `Closed`: this lease is over. `Invalid`: a sync that does not continue the head, or another
    /// one than the one whose outcome is unknown.
    pub async fn create_next(&self, sync: Sync) -> Result<Outcome> {
        let _syncing = self.syncing.lock().await;
        self.intend(&sync)?;
        if self.is_silent() && taken(Step::Look) && !self.look_before().await? {
            return Ok(Outcome::Fenced(self.fenced(None, None).await));
        }
        let id = FileId::sync(sync.txid);
        crash::here(Point::SyncCreate);
        let whose = create_ltx(&self.context, &id, sync.body.clone(), sync.stamp, sync.checksum).await?;
        crash::here(Point::SyncCreated);
        let answered = self.context.now();
        let late = is_late(self.state().looked, answered, self.fresh_for());
        if let Whose::Theirs(winner) = whose {
            went(Way::SyncTheirs);
            return Ok(Outcome::Fenced(self.fenced(winner, Some(late)).await));
        }
        if (whose == Whose::Gone || late) && taken(Step::Look) {
            if !self.look_after(sync.txid).await? {
                went(if whose == Whose::Gone { Way::VanishedFenced } else { Way::LateSyncFenced });
                return Ok(Outcome::Fenced(self.fenced(None, None).await));
            }
            went(Way::LateSyncHolds);
        }
        if whose == Whose::Gone {
            return Err(Error::new(ErrorKind::Unavailable, "creating")
                .object(self.context.object(&self.context.layout().key(&id)))
                .why("an object of that name was there and has vanished")
                .hint("ask again"));
        }
        let mut state = self.state();
        // A heartbeat may have found a newer writer meanwhile.
        if let Some(Over::Fenced(info)) = &state.over {
            return Ok(Outcome::Fenced(info.clone()));
        }
        let Sync { txid, stamp, checksum, page_count, page_size, .. } = sync;
        state.head = Some(Head { txid, stamp: Some(stamp), checksum, page_count, page_size });
        state.inherited.get_or_insert(Inherited { txid: Txid::ZERO, stamp: None });
        state.pending = None;
        Ok(Outcome::Durable)
    }

    /// Says that this writer is alive, and looks for a newer one. Two requests at once.
    ///
    /// # Errors
    /// Those of the store: nothing is known then. `Closed`: this lease is over.
    pub async fn heartbeat(&self, report: &StatusReport) -> Result<Beat> {
        let reporting = self.reporting.lock().await;
        match self.over() {
            Some(Over::Fenced(info)) => return Ok(Beat::Fenced(info)),
            Some(Over::Closed) => return Err(self.closed("sending a sign of life")),
            None if self.state().closing => return Err(self.closed("sending a sign of life")),
            None => {}
        }
        if self.is_silent() && !self.look_before().await? {
            return Ok(Beat::Fenced(self.fenced(None, None).await));
        }
        let sent = self.context.now();
        let (reported, alone) = join(self.report(report, false), self.is_alone()).await;
        drop(reporting);
        if reported.is_ok() {
            crash::here(Point::AliveSaid);
        }
        if !alone? {
            return Ok(Beat::Fenced(self.fenced(None, None).await));
        }
        self.looked(sent);
        reported?;
        Ok(Beat::Holding)
    }

    /// Lets go: the next writer need not wait. Only once everything acknowledged is durable.
    ///
    /// # Errors
    /// Those of the store: the lease is over only if this succeeded, and otherwise others wait for `holder_ttl`.
    /// `Fenced`, `Closed`: it was over. `Invalid`: the outcome of a sync is unknown.
    pub async fn close(&self, report: &StatusReport) -> Result<()> {
        const DOING: &str = "closing";
        let _syncing = self.syncing.lock().await;
        let _reporting = self.reporting.lock().await;
        self.alive(DOING)?;
        if self.state().pending.is_some() {
            return Err(self.invalid(DOING, "the outcome of a sync is not known yet").hint("finish the sync first"));
        }
        // There may be another volume by now, or none.
        if self.is_silent() && !self.look_before().await? {
            if self.state().closing {
                // Asked again after no answer: who has it now was let in, and nothing of ours was pending.
                self.state().over = Some(Over::Closed);
                return Ok(());
            }
            self.fenced(None, None).await;
            return self.alive(DOING);
        }
        // Whoever waits for the answer may give up, and the store take it all the same.
        self.state().closing = true;
        crash::here(Point::EpochClose);
        self.report(report, true).await?;
        crash::here(Point::EpochClosed);
        self.state().over = Some(Over::Closed);
        Ok(())
    }

    /// Asks again which of this writer's commits the history holds, for a [`FenceInfo`] that is not settled.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn aftermath(&self) -> Result<FenceInfo> {
        let in_history = self.head().is_some();
        let found = aftermath(&self.context, self.holder.epoch, self.durable(), in_history).await?;
        let mut state = self.state();
        if let Some(Over::Fenced(known)) = &mut state.over {
            let known_better = known.settled && !found.settled;
            let (winner, gone) = (known.winner, known.gone);
            if !known_better {
                *known = FenceInfo { winner, gone, ..found };
            }
            return Ok(known.clone());
        }
        Ok(found)
    }

    /// From now on signs of life say what was replayed: everything up to this commit, zero if nothing was. A token of a commit that was not
    /// synced yet, and a list of what was lost, rest on that. To be called before anything is synced: the commits of an
    /// earlier process are told by it from those of this one. One request if that process had not let go.
    ///
    /// # Errors
    /// Those of the store: nothing may be synced then.
    pub async fn go_on_from(&self, lsn: Lsn) -> Result<()> {
        let report = {
            let mut state = self.state();
            state.replayed = Some(lsn);
            if state.unjudged.is_none() {
                return Ok(());
            }
            let mut report = self.begins_with(&state);
            let durable = report.watermarks.durable;
            let appended = Mark { lsn: lsn.max(durable.lsn), ..report.watermarks.appended };
            report.watermarks = Watermarks { appended, journaled: appended, durable };
            report.load.commits = appended.lsn.0 - durable.lsn.0;
            if report.load.commits == 0 {
                report.load = LoadRecord::default();
            }
            report
        };
        insist(&self.context, || self.report(&report, false).boxed()).await?;
        crash::here(Point::WentOn);
        self.state().unjudged = None;
        Ok(())
    }

    /// Whether an earlier process of this writer had acknowledged commits of which nobody has said yet what became of
    /// them. A lease that is given up now is not closed, lest they are thought to be safe.
    #[must_use]
    pub fn owes_an_account(&self) -> bool {
        let state = self.state();
        let StatusReport { watermarks, .. } = self.begins_with(&state);
        watermarks.appended.lsn > watermarks.durable.lsn
    }

    /// Lets go without having done anything.
    ///
    /// # Errors
    /// As [`Lease::close`].
    pub async fn close_unused(&self) -> Result<()> {
        let report = self.begins_with(&self.state());
        self.close(&report).await
    }

    /// The first sign of life, which also says what was inherited.
    pub(crate) async fn introduce(&self) -> Result<()> {
        let report = self.begins_with(&self.state());
        insist(&self.context, || self.report(&report, false).boxed()).await
    }

    /// What there is to say before the first commit. What an earlier process of this writer had acknowledged may be in its
    /// journal: who has taken the volume from that process answers for it.
    fn begins_with(&self, state: &State) -> StatusReport {
        let lsn = state.inherited.and_then(|inherited| inherited.stamp).map(|stamp| stamp.lsn).unwrap_or_default();
        let now = self.context.host.clock.wall().0;
        let mark = Mark { lsn, ms: now };
        let nothing = Watermarks { appended: mark, journaled: mark, durable: mark };
        let Some(before) = state.unjudged.as_ref().filter(|before| before.watermarks.appended.lsn > lsn) else {
            return StatusReport { watermarks: nothing, ..StatusReport::default() };
        };
        let Watermarks { appended, journaled, .. } = before.watermarks;
        let journaled = if journaled.lsn > lsn { journaled } else { mark };
        let oldest = before.alive_ms.saturating_sub(before.load.age_ms);
        let load = LoadRecord {
            commits: appended.lsn.0 - lsn.0,
            // At most: some of it may have become durable since.
            bytes: before.load.bytes,
            age_ms: now.saturating_sub(oldest),
        };
        StatusReport { watermarks: Watermarks { appended, journaled, durable: mark }, load, ..StatusReport::default() }
    }

    /// Before anything but a sync is written, or anything removed: makes sure that the volume is still this writer's. No
    /// request, unless it was silent for so long that the volume may have been removed and made again meanwhile.
    ///
    /// # Errors
    /// `Fenced`, `Closed`: it is not. Those of the store.
    pub async fn still_mine(&self, doing: &'static str) -> Result<()> {
        self.alive(doing)?;
        if !self.is_silent() || self.look_before().await? {
            return Ok(());
        }
        if self.state().closing {
            // Who takes it now was let in: nothing of ours was pending, and nobody is to hear that anything was lost.
            return Err(self.closed(doing));
        }
        Err(self.fenced(None, None).await.error(&self.context, doing, self.holder.epoch))
    }

    async fn report(&self, report: &StatusReport, closed: bool) -> Result<()> {
        let (replayed, took_from) = {
            let state = self.state();
            (state.replayed, state.took_from)
        };
        let record = StatusRecord {
            inherited: self.inherited().filter(|_| taken(Step::Inherit)),
            replayed,
            took_from,
            closed,
            ..status_record(&self.context, &self.holder, report)
        };
        self.context.store.put(&status_key(self.holder.epoch), record::encode(&record).into()).await
    }

    /// Notes a sync before it is asked for, so that whatever is found under its name can be told from it.
    fn intend(&self, sync: &Sync) -> Result<()> {
        const DOING: &str = "syncing";
        self.alive(DOING)?;
        let mut state = self.state();
        let next = state.head.map_or(Txid(1), |head| head.txid.next());
        let wanted = Pending { txid: sync.txid, stamp: sync.stamp, checksum: sync.checksum };
        let why = if sync.txid != next {
            format!("TXID {} does not continue the head: the next one is {next}", sync.txid)
        } else if (sync.stamp.writer, sync.stamp.epoch) != (self.holder.writer, self.holder.epoch) {
            format!("its stamp ({}) is not of epoch {}", sync.stamp, self.holder.epoch)
        } else if state.pending.is_some_and(|pending| pending != wanted) && taken(Step::SameBytes) {
            format!("the outcome of another sync with TXID {next} is not known yet")
        } else {
            state.pending = Some(wanted);
            return Ok(());
        };
        Err(self.invalid(DOING, why))
    }

    /// Whoever has not looked for so long looks as if nobody held the volume, and has to look before he counts on
    /// anything. Never longer than what the retention allows.
    fn fresh_for(&self) -> Duration {
        self.context.fresh_for().min(self.holder.holder_ttl)
    }

    /// Whether others may have taken this writer for gone: then the volume may have been removed and made anew, and
    /// what it writes would be in another one.
    fn is_silent(&self) -> bool {
        is_late(self.state().looked, self.context.now(), self.fresh_for())
    }

    /// A look before anything is written by a writer that was silent for long; whether the volume is still its own.
    async fn look_before(&self) -> Result<bool> {
        let sent = self.context.now();
        let alone = self.is_alone().await?;
        if alone {
            self.looked(sent);
        }
        went(if alone { Way::SilentHolds } else { Way::SilentFenced });
        Ok(alone)
    }

    /// Whether there is no newer epoch, and this one's record is still there.
    async fn is_alone(&self) -> Result<bool> {
        let seen = self.state().recorded;
        let rival = rival(&self.context, self.holder.epoch, &self.holder.record, seen).await?;
        let mut state = self.state();
        match rival {
            Rival::None(recorded) => state.recorded = Some(recorded),
            Rival::Newer => {}
            Rival::Gone => state.gone = true,
        }
        Ok(matches!(rival, Rival::None(_)))
    }

    /// A look after a late answer: whether our object is the newest, and nobody has a higher epoch.
    async fn look_after(&self, txid: Txid) -> Result<bool> {
        let sent = self.context.now();
        let epoch = self.holder.epoch;
        let (alone, head) = try_join(self.is_alone(), newest_since(&self.context, txid)).await?;
        if alone {
            self.looked(sent);
        }
        Ok(holds((epoch, txid), if alone { epoch } else { epoch.next() }, head))
    }

    /// A look that showed no newer epoch. Before the first sync it renews nothing: there was nothing to fence, so an
    /// *older* writer may have begun the history, merged it and had the name deleted that we are about to create.
    fn looked(&self, sent: Mono) {
        let mut state = self.state();
        if state.head.is_some() || !taken(Step::FirstSync) {
            state.looked = state.looked.max(sent);
        }
    }

    /// Ends the lease and finds out what the history holds, as far as the store answers. `taken`: the name of the
    /// next sync is somebody else's, with that stamp, and whether that was answered late.
    async fn fenced(&self, winner: Option<Stamp>, taken: Option<bool>) -> FenceInfo {
        let epoch = self.holder.epoch;
        // First of all: nothing more may be acknowledged.
        let known = {
            let mut state = self.state();
            let floor = state.head.and_then(|head| head.stamp).map(|stamp| stamp.lsn).unwrap_or_default();
            // Somebody has put his sync where ours was to go: that is the end of ours. But late, what has that name may be a
            // stray of somebody newer, and ours was there before; and an earlier process of this writer may have synced
            // commits that are in our journal too.
            let other = winner.is_none_or(|winner| winner.writer != self.holder.writer);
            let older = winner.is_none_or(|winner| winner.epoch < epoch);
            let settled = other && taken.is_some_and(|late| !late || older);
            let info =
                FenceInfo { epoch, gone: state.gone, holder: None, winner, held: floor, settled, inherited: None };
            match &state.over {
                Some(Over::Fenced(known)) => known.clone(),
                _ => {
                    state.over = Some(Over::Fenced(info.clone()));
                    info
                }
            }
        };
        self.aftermath().await.unwrap_or(known)
    }

    fn alive(&self, doing: &'static str) -> Result<()> {
        match self.over() {
            Some(Over::Fenced(info)) => Err(info.error(&self.context, doing, self.holder.epoch)),
            Some(Over::Closed) => Err(self.closed(doing)),
            None => Ok(()),
        }
    }

    fn over(&self) -> Option<Over> {
        self.state().over.clone()
    }

    fn closed(&self, doing: &'static str) -> Error {
        Error::new(ErrorKind::Closed, doing)
            .object(self.context.store.url())
            .why(format!("epoch {} was closed", self.holder.epoch))
            .hint("open it again")
    }

    fn invalid(&self, doing: &'static str, why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Invalid, doing).object(self.context.store.url()).why(why)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a writer says that has found nothing yet.
pub(crate) fn status_record(context: &Context, holder: &Holder, report: &StatusReport) -> StatusRecord {
    StatusRecord {
        alive_ms: context.host.clock.wall().0,
        epoch: holder.epoch,
        writer: holder.writer,
        host: holder.host_name.clone(),
        watermarks: report.watermarks,
        load: report.load,
        line: report.line.or_else(|| context.line()),
        inherited: None,
        replayed: None,
        took_from: holder.taken_from,
        trouble: report
            .trouble
            .as_ref()
            .map(|trouble| trouble[..trouble.floor_char_boundary(TROUBLE_BYTES_MAX)].to_owned()),
        closed: false,
    }
}
