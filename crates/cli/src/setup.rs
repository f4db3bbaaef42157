//! What all commands share: the machine, settings, and what the terminal can do.

use std::{
    env,
    io::{IsTerminal, stderr, stdout},
    process,
    sync::{Mutex, PoisonError},
};

use plimsoll_host::os;
use plimsoll_metrics::Metrics;
use plimsoll_model::{Error, ErrorKind, ResultExt};
use plimsoll_settings::{Override, Source};
use plimsoll_store::VolumeUrl;
use plimsoll_volume::{Connections, Located, Opening, Process, Stranded, StrandedJournal, VolumeDir, split_reference};

use crate::{
    args::{Color, Global},
    exit::Result,
    logging,
    opened::Opened,
    units,
};

/// Where values of `--set` come from, in messages.
const SET: &str = "--set";

/// What all commands share.
pub(crate) struct Setup {
    pub(crate) process: Process,
    pub(crate) overrides: Vec<Override>,
    /// Print data as JSON.
    pub(crate) json: bool,
    /// Stdout takes colours and drawings.
    pub(crate) color: bool,
    /// Stderr is a terminal, so progress may be shown there.
    pub(crate) progress: bool,
    /// Volumes that the command is about, with what had been stranded of them.
    seen: Mutex<Vec<(Seen, Vec<Stranded>)>>,
}

/// A volume that the command is about.
struct Seen {
    url: String,
    dir: VolumeDir,
}

impl Setup {
    /// # Errors
    /// Settings that cannot be used.
    pub(crate) fn new(global: &Global) -> Result<Setup> {
        // What is not Unicode is no setting of ours.
        let mut environment: plimsoll_settings::Environment = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        if let Some(file) = &global.config {
            if !file.exists() {
                return Err(Error::new(ErrorKind::Invalid, "reading the settings file")
                    .object(file.display().to_string())
                    .why("there is no such file")
                    .hint("--config names it")
                    .into());
            }
            environment.insert("PLIMSOLL_CONFIG".to_owned(), file.to_string_lossy().into_owned());
        }
        let color = match global.color {
            Color::Auto => stdout().is_terminal() && environment.get("NO_COLOR").is_none_or(String::is_empty),
            Color::Always => true,
            Color::Never => false,
        };
        let process = Process {
            host: os::host().doing("starting", "the engine's threads")?,
            metrics: Metrics::new(),
            environment,
            host_name: os::host_name(),
            pid: process::id(),
            connections: Connections::default(),
        };
        let overrides = global.set.iter().map(|(name, value)| Override::new(name, value, SET)).collect();
        let setup = Setup {
            process,
            overrides,
            json: global.json,
            color,
            progress: stderr().is_terminal(),
            seen: Mutex::default(),
        };
        setup.start_reporting(global)?;
        Ok(setup)
    }

    fn start_reporting(&self, global: &Global) -> Result<()> {
        let sourced = self.process.settings(&self.overrides)?;
        logging::start(&sourced, global.verbose)?;
        match self.process.serve_metrics(&sourced.settings) {
            // The address is in a settings file or the environment, most likely of a server that has it already.
            Err(error) if !matches!(sourced.source("metrics_listen"), Some(Source::Override(_))) => {
                tracing::info!(%error, "metrics are not served");
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// The URL that was typed; a path is taken from the current directory.
    ///
    /// # Errors
    /// `Invalid`; also if it names a state, which a command that takes one has split off.
    pub(crate) fn url(&self, typed: &str) -> Result<VolumeUrl> {
        if let (place, Some(state)) = split_reference(typed) {
            return Err(Error::new(ErrorKind::Invalid, "reading the URL")
                .object(typed)
                .why(format!("this command takes no state of {place}, as @{state} behind a URL would be"))
                .hint("a @ in a name is written as %40, in a URL: file:///directory instead of a path")
                .into());
        }
        let here = env::current_dir().doing("finding", "the current directory")?;
        Ok(VolumeUrl::parse_at(typed, &here)?)
    }

    /// The store and the settings of what was typed, without a request.
    ///
    /// # Errors
    /// As [`Process::locate`].
    pub(crate) fn locate(&self, typed: &str) -> Result<Located> {
        let opening = Opening { url: self.url(typed)?, overrides: self.overrides.clone(), read_only: true };
        let located = self.process.locate(&opening)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.iter().all(|(before, _)| before.dir.path() != located.dir.path()) {
            let seen_now = Seen { url: located.store.url().to_owned(), dir: located.dir.clone() };
            seen.push((seen_now, located.dir.stranded()));
        }
        Ok(located)
    }

    /// Says which commits of this host were set aside since a command began, because another writer went on without
    /// them. For whatever it did besides, it may have succeeded.
    pub(crate) fn tell_stranded(&self) {
        for (Seen { url, dir }, before) in self.seen.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            for kept in dir.stranded().iter().filter(|kept| !before.contains(kept)) {
                let journal = StrandedJournal::open(&*self.process.host.files, kept).ok();
                let commits = journal.as_ref().map_or_else(
                    || "commits".to_owned(),
                    |journal| units::counted(journal.commits().count() as u64, "commit"),
                );
                let what = match journal.is_some_and(|journal| journal.is_of_removed()) {
                    true => format!("the volume that {commits} of this host were made on is gone"),
                    false => format!("another writer went on without {commits} of this host"),
                };
                eprintln!("plimsoll: {what}; they are kept as {}: plimsoll stranded ls {url}", kept.name());
            }
        }
    }

    /// A place below which volumes are, which may be a whole bucket, and some place in it for what counts there.
    ///
    /// # Errors
    /// As [`Process::locate`].
    pub(crate) fn parent(&self, typed: &str) -> Result<(VolumeUrl, Located)> {
        let here = env::current_dir().doing("finding", "the current directory")?;
        let mut parent = VolumeUrl::parse_parent(typed, &here)?;
        let opening = Opening { url: parent.below("any")?, overrides: self.overrides.clone(), read_only: true };
        let any = self.process.locate(&opening)?;
        parent.params.clone_from(&any.url.params);
        let parent = if parent.endpoint().is_some() { parent.at(any.url.endpoint())? } else { parent };
        Ok((parent, any))
    }

    /// Opens a volume for writing. `adjust` says which settings suit the command unless the user has set them.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub(crate) fn open(&self, typed: &str, adjust: &[(&str, &str)]) -> Result<Opened> {
        let overrides = self.adjusted(&self.locate(typed)?, adjust);
        let opening = Opening { url: self.url(typed)?, overrides, read_only: false };
        Ok(Opened::by(|| self.process.open(opening))?)
    }

    /// As [`Setup::open`], for one deed that reads what it needs by itself.
    ///
    /// # Errors
    /// As [`Process::open_unread`].
    pub(crate) fn open_unread(&self, typed: &str, adjust: &[(&str, &str)]) -> Result<Opened> {
        let overrides = self.adjusted(&self.locate(typed)?, adjust);
        let opening = Opening { url: self.url(typed)?, overrides, read_only: false };
        Ok(Opened::by(|| self.process.open_unread(opening))?)
    }

    /// The overrides of the command line, after those of `adjust` that replace nothing but a default.
    pub(crate) fn adjusted(&self, located: &Located, adjust: &[(&str, &str)]) -> Vec<Override> {
        let unset = |name: &str| matches!(located.settings.source(name), Some(Source::Default));
        let own = adjust.iter().filter(|(name, _)| unset(name));
        let own = own.map(|(name, value)| Override::new(*name, *value, "default of this command"));
        own.chain(self.overrides.iter().cloned()).collect()
    }

    /// Waits for a future, on this thread.
    pub(crate) fn wait<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        self.process.host.tasks.wait(future)
    }
}

/// The error for a URL at which there is no volume, though this host may have something of one that was there.
pub(crate) fn no_volume_but(setup: &Setup, doing: &'static str, url: &str, dir: &VolumeDir) -> Error {
    let gone = || Error::new(ErrorKind::NotFound, doing).object(url);
    // What cannot be looked at, or is damaged, may be there all the same.
    if dir.has_journal().unwrap_or(true) {
        let commits = match plimsoll_journal::Journal::inspect(&*setup.process.host.files, &dir.journal()) {
            Ok((_, replay)) => units::counted(replay.commits.len() as u64, "commit"),
            Err(_) => "commits".to_owned(),
        };
        return gone()
            .why(format!(
                "there is no volume at this URL any more, but {commits} of this host's journal of it, durable or not, in {}",
                dir.journal().display()
            ))
            .hint(format!(
                "check that this is the right store, and that it is there; if the volume is gone for good, \
                 plimsoll release {url} sets them aside, and plimsoll stranded ls and export get at them"
            ));
    }
    match dir.stranded().len() {
        0 => no_volume(doing, url),
        kept => gone()
            .why(format!(
                "there is no volume at this URL any more; this host keeps {} of it aside",
                units::counted(kept as u64, "journal")
            ))
            .hint(format!("plimsoll stranded ls {url} lists them, plimsoll stranded export {url} gets at them")),
    }
}

/// The error for a URL at which nothing was ever written.
pub(crate) fn no_volume(doing: &'static str, url: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotFound, doing)
        .object(url)
        .why("there is no volume at this URL")
        .hint("check the URL, or make one: plimsoll create <url>")
}

/// The commit-log view of a located volume.
pub(crate) fn context(setup: &Setup, located: &Located) -> plimsoll_commitlog::Context {
    located.context(&setup.process.host)
}

/// How the store names LTX objects.
pub(crate) fn layout(located: &Located) -> plimsoll_ltx::Layout {
    if located.store.s3_layout() { plimsoll_ltx::Layout::S3 } else { plimsoll_ltx::Layout::Other }
}
