//! The handle.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, RwLock, Weak, atomic::AtomicBool},
    time::Duration,
};

use plimsoll_host::Host;
use plimsoll_model::{Error, ErrorKind, Level, Lsn, PageSize, Result};
use plimsoll_pages::{Bases, Fetcher, FetcherConfig, View};
use plimsoll_proof::Prover;
use plimsoll_settings::{Adopted, Settings};
use plimsoll_store::Store;

use crate::{
    Config, Status,
    compactor::{self, Compacted},
    event::Event,
    gauges,
    local::VolumeDir,
    losses::Losses,
    origins::OriginStore,
    receipt,
    shared::{Shared, State, Tip},
    snapshot::Snapshot,
    transaction::WriteTxn,
};

/// An open volume. Cheap to clone; every method may be called from any thread and may block.
#[derive(Clone)]
pub struct Volume {
    shared: Arc<Shared>,
}

/// How many turns of other processes to wait for, one after the other. Each takes a moment.
const TURNS_MAX: u32 = 20;

/// See [`Volume::downgrade`].
pub(crate) struct WeakVolume(Weak<Shared>);

impl WeakVolume {
    /// The volume, unless nobody has it any more or it was closed.
    pub(crate) fn upgrade(&self) -> Option<Volume> {
        let shared = self.0.upgrade().filter(|shared| !shared.state().closed)?;
        Some(Volume { shared })
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Volume({})", self.shared.url())
    }
}

impl Volume {
    /// Opens a volume: reads where its newest state is, and goes on from this host's journal if a
    /// process of this host left one behind. A volume that does not exist is made by its first write.
    ///
    /// # Errors
    /// As the store says; `Corrupt` if its objects do not make up a state, or the journal is damaged.
    pub fn open(config: Config) -> Result<Volume> {
        let volume = Volume::open_unread(config);
        volume.shared.catch_up()?;
        if !volume.shared.config.read_only && volume.shared.dir.has_journal()? {
            volume.recover()?;
        }
        Ok(volume)
    }

    /// A handle that has not asked the store for anything yet: whatever is done with it first does, so several things
    /// can be asked for at once. Not for a host with a journal of the volume, which only [`Volume::open`] goes on from.
    #[must_use]
    pub fn open_unread(config: Config) -> Volume {
        let origins = Arc::new(OriginStore::new(Arc::clone(&config.store), Arc::clone(&config.elsewhere)));
        let config = Config { store: Arc::clone(&origins) as Arc<dyn Store>, ..config };
        let fetcher = Arc::new(Fetcher::new(FetcherConfig {
            store: Arc::clone(&config.store),
            layout: config.layout(),
            host: config.host.clone(),
            read_ahead_bytes: config.settings.read_ahead_bytes,
            cache_bytes_max: config.settings.cache_bytes_max,
        }));
        let dir = VolumeDir::at(config.dir.clone(), Arc::clone(&config.host.files));
        let prover = Prover::new(Arc::clone(&config.store), config.host.clone(), Some(dir.proved()));
        let state = State {
            tip: Tip { lsn: Lsn::ZERO, count: plimsoll_model::PageCount(0), page_size: None, version: 0 },
            view: Arc::new(View::empty()),
            made_of: Vec::new(),
            writer: None,
            writing: false,
            leaving: false,
            handover: false,
            yielded: None,
            fenced: false,
            closed: false,
            ours: false,
            uuid: None,
            l0_retention: None,
            looked: None,
            listed: None,
            catching_up: None,
            synced: None,
            failed: None,
            trouble: None,
            lost: None,
            losses: Losses::default(),
            cramped: false,
        };
        let shared = Arc::new(Shared {
            settings: RwLock::new(Arc::clone(&config.settings)),
            config,
            origins,
            dir,
            state: Mutex::new(state),
            views: Mutex::new(Vec::new()),
            fetcher,
            prover,
            bases: Bases::default(),
            cache: OnceLock::new(),
            turning: tokio::sync::Mutex::new(()),
            following: tokio::sync::Mutex::new(()),
            caught_up: Event::default(),
            hydrating: AtomicBool::new(false),
            hydrated: Mutex::default(),
            detaching: Mutex::default(),
        });
        gauges::register(&shared);
        Volume { shared }
    }

    /// Commits of this host that are not in the store yet are part of what its readers see.
    fn recover(&self) -> Result<()> {
        let shared = &self.shared;
        // Whoever only opens the volume does not ask the process that has it to let go.
        match shared.config.host.tasks.wait(shared.take_left(shared.settings().takeover, false)) {
            Ok(_) => Ok(()),
            // Another process of this host has the journal, or another host the volume: read what is synced.
            Err(error) if error.kind() == ErrorKind::Held => {
                shared.note_trouble(&error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Bytes per page; `None` while nothing was ever written.
    #[must_use]
    pub fn page_size(&self) -> Option<PageSize> {
        self.shared.state().tip.page_size
    }

    /// Whether there is a volume at the URL: it was created or written, by whomever, as far as this handle knows.
    #[must_use]
    pub fn exists(&self) -> bool {
        let state = self.shared.state();
        state.uuid.is_some() || state.tip.page_size.is_some()
    }

    /// Whether there is a record of the volume: what only Litestream has written has none.
    pub(crate) fn is_recorded(&self) -> bool {
        self.shared.state().uuid.is_some()
    }

    /// Whether another writer has taken the volume from this handle. It never writes again, and from then on its
    /// snapshots are of the winner's history, which need not go on from what this handle has shown before.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.shared.state().fenced
    }

    /// How long level 0 is kept by what is collected from here: as the volume's own record says, or longer if this
    /// host is set to that.
    #[must_use]
    pub fn l0_retention(&self) -> Duration {
        self.shared.retention().level0
    }

    /// The last commit that new snapshots see.
    #[must_use]
    pub fn head(&self) -> Lsn {
        self.shared.state().tip.lsn
    }

    /// Pins the newest state. A follower first catches up if it has not looked for a while.
    ///
    /// # Errors
    /// `Closed`; for a follower that never read anything, as the store says.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut state = self.shared.state();
        // Nothing newer than its own commits can be known to a writer.
        if state.writer.is_none() {
            drop(state);
            self.shared.catch_up()?;
            state = self.shared.state();
        }
        if state.closed {
            drop(state);
            return Err(self.shared.closed_error());
        }
        Ok(Snapshot::pin(&self.shared, &state))
    }

    /// As [`Volume::begin_write`] for whoever has no patience of his own: he is not refused for the sake of another process
    /// of this host, which has asked for the volume and may be gone. While it is that one's turn this waits: a quarter of
    /// a second from when the volume was handed over to it, so that it loses nothing by that.
    ///
    /// # Errors
    /// As [`Volume::begin_write`]; `Held` also if that comes about twenty times, one after the other.
    pub fn begin_write_in_turn(&self, base: &Snapshot) -> Result<WriteTxn> {
        let Host { clock, tasks, .. } = &self.shared.config.host;
        let mut turns = 0;
        loop {
            let handed_over = || self.shared.state().yielded;
            let (turn, before) = (handed_over(), self.shared.others_have());
            let begun = self.begin_write(base);
            let Err(error) = &begun else { return begun };
            let rest = self.shared.others_have();
            // Nobody's turn any more may mean that it has just ended: the process that asks can have stood still meanwhile.
            let was_refused_for_one = !rest.is_zero() || !before.is_zero() || turn != handed_over();
            if error.kind() != ErrorKind::Held || !was_refused_for_one || turns == TURNS_MAX {
                return begun;
            }
            turns += 1;
            tasks.wait(clock.sleep(rest));
        }
    }

    /// Starts the one write transaction of the volume, taking it for writing if need be. If it is just being let go, waits
    /// for the end of that.
    ///
    /// # Errors
    /// `Conflict`: `base` is not the newest state. `Held`: another transaction, process or host is
    /// writing. `Fenced`: another host took over. `Invalid`: the volume was opened read-only.
    pub fn begin_write(&self, base: &Snapshot) -> Result<WriteTxn> {
        let shared = &self.shared;
        let conflict = || {
            Error::new(ErrorKind::Conflict, "starting a write transaction on")
                .object(shared.url().to_owned())
                .why("somebody committed since the transaction began to read")
                .hint("roll back and start again")
        };
        let held = || {
            Error::new(ErrorKind::Held, "starting a write transaction on")
                .object(shared.url().to_owned())
                .why("another transaction of this process is writing")
        };
        let writer = {
            let state = shared.state();
            match &state.writer {
                // Whoever takes it waits for who lets it go.
                Some(_) if state.closed || state.is_leaving() => None,
                other => other.clone(),
            }
        };
        let writer = match writer {
            Some(writer) => writer,
            None => shared.config.host.tasks.wait(shared.take()).inspect_err(|error| shared.note_trouble(error))?,
        };
        let mut state = shared.state();
        if state.closed {
            // While it was being taken. Whoever closes it lets it go.
            drop(state);
            return Err(shared.closed_error());
        }
        if state.is_leaving() {
            drop(state);
            return self.begin_write(base);
        }
        if state.writing || !state.writer.as_ref().is_some_and(|current| Arc::ptr_eq(current, &writer)) {
            return Err(held());
        }
        if base.version() != state.tip.version {
            return Err(conflict());
        }
        state.writing = true;
        let base = Snapshot::pin(shared, &state);
        drop(state);
        Ok(WriteTxn::new(base, writer))
    }

    /// Blocks until everything up to `lsn` has reached `level`, triggering whatever that takes.
    ///
    /// # Errors
    /// As [`Receipt::wait`](crate::Receipt::wait).
    pub fn wait(&self, lsn: Lsn, level: Level) -> Result<()> {
        let writer = self.shared.state().writer.clone();
        match writer {
            Some(writer) => receipt::wait(&self.shared, &writer, Lsn::ZERO..=lsn, level),
            None => {
                let (read, fenced) = {
                    let state = self.shared.state();
                    (state.view.lsn, state.fenced)
                };
                if fenced {
                    return Err(self.shared.fenced_error());
                }
                // Without a writer, what is seen is what the store holds.
                if lsn <= read {
                    return Ok(());
                }
                Err(Error::new(ErrorKind::Invalid, "waiting for a commit of")
                    .object(self.shared.url().to_owned())
                    .why(format!("commit {lsn} was not made here, the newest read is {read}")))
            }
        }
    }

    /// Makes everything durable, also what another process of this host left in the journal.
    ///
    /// # Errors
    /// As [`Volume::wait`]; `Held` if another process or host has the volume.
    pub fn sync(&self) -> Result<Lsn> {
        let shared = &self.shared;
        if shared.config.read_only {
            return Ok(self.head());
        }
        let follows = shared.state().writer.is_none();
        if follows && shared.dir.has_journal()? {
            // Opening passed it over because somebody else had it then.
            shared.config.host.tasks.wait(shared.take_left(shared.settings().takeover, true))?;
        }
        let lsn = self.head();
        self.wait(lsn, Level::Durable)?;
        Ok(lsn)
    }

    /// Merges every level, takes a snapshot if there is anything newer than the last, and collects
    /// what is not needed any more. Takes the volume for writing if need be.
    ///
    /// # Errors
    /// `Held`, `Fenced`, or as the store says. What was done until then stays done.
    pub fn compact(&self) -> Result<Compacted> {
        let shared = &self.shared;
        shared.config.host.tasks.wait(async {
            let writer = shared.take().await?;
            compactor::everything(shared, &writer).await
        })
    }

    /// Reads whatever is newer, now.
    ///
    /// # Errors
    /// As the store says.
    pub fn refresh(&self) -> Result<()> {
        if self.shared.state().writer.is_some() {
            return Ok(());
        }
        self.shared.config.host.tasks.wait(self.shared.catch_up_now())
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.shared.settings()
    }

    /// Takes up changed settings as far as they may change while the volume is open, and says which did.
    pub fn adopt(&self, settings: &Settings) -> Adopted {
        self.shared.adopt(settings)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A handle that does not keep anything alive.
    pub(crate) fn downgrade(&self) -> WeakVolume {
        WeakVolume(Arc::downgrade(&self.shared))
    }

    /// Watermarks, load, role and position.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.shared)
    }

    /// The volume's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.shared.url()
    }

    /// The volume's folder on this host.
    #[must_use]
    pub fn dir(&self) -> &VolumeDir {
        &self.shared.dir
    }

    /// Makes everything acknowledged durable, closes the epoch and lets go of local locks. Waits at most `close_timeout_ms`
    /// for that, then five seconds each for a small merge that is under way and for the end of the epoch. A taking of the
    /// volume that another thread has begun counts towards `close_timeout_ms`; if it takes longer, the volume is let go
    /// when it has ended.
    ///
    /// # Errors
    /// Says what is not durable and where it is kept: in the journal, or aside since another writer took the volume.
    pub fn close(self) -> Result<()> {
        self.shared.config.host.tasks.wait(self.shared.close())
    }
}
