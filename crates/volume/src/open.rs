//! From a URL and settings to a volume, on the real machine.

use std::{sync::Arc, time::Duration};

use plimsoll_commitlog::Context;
use plimsoll_host::Host;
use plimsoll_metrics::{Metrics, RequestOutcome, Server, StoreOp};
use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_pages::compact::Retention;
use plimsoll_settings::{Input, Override, Settings, Sourced, Watch, find};
use plimsoll_store::{
    Breaker, Connections, Environment, Observer, Opened, ProbeMemory, Scheme, Store, StoreOptions, VolumeUrl,
    open_observed,
};

use crate::{Config, Elsewhere, OriginStore, Place, Probing, Volume, VolumeDir, gauges};

/// How often it is looked whether the settings file has changed.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Least time for which a new volume keeps level 0: a few times as long as one request may take. With less, a
/// writer would fence itself whenever the store is slow.
const L0_RETENTION_MIN: Duration = Duration::from_mins(1);
/// Set in the environment by tests of collecting, which cannot wait that long. Names like this one are no settings.
const ANY_RETENTION: &str = "PLIMSOLL_TEST_ANY_RETENTION";

/// What all volumes of a process share.
#[derive(Clone)]
pub struct Process {
    /// Clock, chance, files, tasks.
    pub host: Host,
    /// What is counted.
    pub metrics: Metrics,
    /// Environment variables.
    pub environment: plimsoll_settings::Environment,
    /// Name of this host.
    pub host_name: String,
    /// This process.
    pub pid: u32,
    /// To the object stores.
    pub connections: Connections,
}

/// What to open, and how.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The volume.
    pub url: VolumeUrl,
    /// Values that go before file and environment.
    pub overrides: Vec<Override>,
    /// Never write.
    pub read_only: bool,
}

/// Where a volume is, in the store and on this host.
pub struct Located {
    /// The volume, without settings among its parameters.
    pub url: VolumeUrl,
    /// Its settings, and where each came from.
    pub settings: Sourced,
    /// Its objects, with those that it started with if it is a fork.
    pub store: Arc<dyn Store>,
    /// Its own objects alone.
    pub own: Arc<dyn Store>,
    /// Where other volumes are.
    pub elsewhere: Arc<Neighbours>,
    /// Its folder here, which may not exist.
    pub dir: VolumeDir,
    /// What the settings were made from.
    input: Input,
    /// The breaker of its own store.
    breaker: Breaker,
}

impl Located {
    /// The URL for others to find the volume by: with server, region and account, and without secrets.
    #[must_use]
    pub fn address(&self) -> String {
        let mut address = self.store.url().to_owned();
        let region = self.settings.settings.region.as_deref().filter(|_| self.url.scheme() == Scheme::S3);
        let region = region.map(|region| ("region", region));
        for (name, value) in self.url.param("account").map(|account| ("account", account)).into_iter().chain(region) {
            address.push(if address.contains('?') { '&' } else { '?' });
            address.push_str(&format!("{name}={value}"));
        }
        address
    }

    /// For forking it, or making a fork there.
    #[must_use]
    pub fn place(&self, host: &Host) -> Place {
        Place { context: self.context(host), address: self.address() }
    }

    /// The commit-log view of it.
    #[must_use]
    pub fn context(&self, host: &Host) -> Context {
        let settings = &self.settings.settings;
        Context::new(host.clone(), Arc::clone(&self.store), settings.l0_retention).unfenced(settings.unsafe_no_fencing)
    }

    /// How long what is kept in it.
    #[must_use]
    pub fn retention(&self) -> Retention {
        let Settings { l0_retention, retention, .. } = &self.settings.settings;
        Retention { level0: *l0_retention, snapshots: *retention }
    }
}

/// The folder that a volume has on a host with these settings.
#[must_use]
pub fn local_dir(settings: &Settings, store_url: &str, host: &Host) -> VolumeDir {
    VolumeDir::of(&settings.state_dir, store_url, Arc::clone(&host.files))
}

impl Process {
    /// Settings from `plimsoll.toml`, the environment and overrides.
    ///
    /// # Errors
    /// `Invalid` naming key, source and expected form.
    pub fn settings(&self, overrides: &[Override]) -> Result<Sourced> {
        Sourced::load(&self.input(overrides)?)
    }

    fn input(&self, overrides: &[Override]) -> Result<Input> {
        let file = find(&*self.host.files, &self.environment)?;
        Ok(Input { file, environment: self.environment.clone(), overrides: overrides.to_vec() })
    }

    /// Takes up a changed `plimsoll.toml` as long as the volume is open.
    fn watch(&self, volume: &Volume, input: Input) {
        let (mut watch, volume, host) = (Watch::new(input), volume.downgrade(), self.host.clone());
        self.host.tasks.spawn(Box::pin(async move {
            loop {
                host.clock.sleep(WATCH_EVERY).await;
                let Some(volume) = volume.upgrade() else { return };
                match watch.poll(&*host.files) {
                    Ok(None) => {}
                    Ok(Some(changed)) => {
                        let adopted = volume.adopt(&changed.settings);
                        tracing::info!(?volume, ?adopted, "the settings file has changed");
                    }
                    Err(error) => tracing::warn!(?volume, %error, "the changed settings file is not taken up"),
                }
            }
        }));
    }

    /// The store behind a URL. Sends no request.
    ///
    /// # Errors
    /// `Invalid`, `Denied` or `Unsupported` when URL, settings or credentials cannot work.
    pub fn store(&self, url: &VolumeUrl, settings: &Settings) -> Result<Arc<dyn Store>> {
        self.opened(url, settings).map(|opened| opened.store)
    }

    fn opened(&self, url: &VolumeUrl, settings: &Settings) -> Result<Opened> {
        let defaults = StoreOptions::default();
        let options = StoreOptions {
            endpoint: settings.endpoint.clone(),
            region: settings.region.clone(),
            allow_http: settings.allow_http,
            request_timeout: request_timeout(settings.sync_timeout, defaults.request_timeout),
            connections: self.connections.clone(),
            ..defaults
        };
        let observer = Arc::new(Counting(self.metrics.clone()));
        open_observed(url, &options, &Environment::of_process(), &self.host, observer)
    }

    /// From what was asked for to a store and settings. Sends no request.
    ///
    /// Parameters of the URL that are settings go before file and environment, and after the overrides.
    ///
    /// # Errors
    /// As [`Process::settings`] and [`Process::store`]; `Invalid` for a plain file where a volume is a directory.
    pub fn locate(&self, opening: &Opening) -> Result<Located> {
        let mut url = opening.url.clone().resolved();
        let (account, params) = std::mem::take(&mut url.params).into_iter().partition(|(name, _)| name == "account");
        url.params = account;
        // A setting, as other parameters are, though it is a part of where the volume is.
        let endpoint = url.endpoint().map(|endpoint| ("endpoint".to_owned(), endpoint.to_owned()));
        let overrides: Vec<Override> = params
            .iter()
            .chain(&endpoint)
            .map(|(name, value)| Override::new(name, value, "URL parameter"))
            .chain(opening.overrides.iter().cloned())
            .collect();
        let input = self.input(&overrides)?;
        let settings = Sourced::load(&input)?;
        refuse_plain_file(&url)?;
        let url = if endpoint.is_some() { url.at(settings.settings.endpoint.as_deref())? } else { url };
        let Opened { store: own, breaker } = self.opened(&url, &settings.settings)?;
        let elsewhere = Arc::new(self.elsewhere(&overrides));
        let store = Arc::new(OriginStore::new(Arc::clone(&own), Arc::clone(&elsewhere) as Arc<dyn Elsewhere>));
        let dir = local_dir(&settings.settings, own.url(), &self.host);
        Ok(Located { url, settings, store, own, elsewhere, dir, input, breaker })
    }

    /// Opens a volume.
    ///
    /// # Errors
    /// As [`Process::locate`] and [`Volume::open`].
    pub fn open(&self, opening: Opening) -> Result<Volume> {
        let read_only = opening.read_only;
        let (config, input) = self.config(&opening)?;
        let volume = Volume::open(config)?;
        if !read_only && !volume.is_recorded() {
            self.check_new(&volume.settings())?;
        }
        self.watch(&volume, input);
        Ok(volume)
    }

    /// Opens a volume that exists, for one deed that reads at once what it needs: see [`Volume::open_unread`]. If this
    /// host has a journal of it, as [`Process::open`].
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn open_unread(&self, opening: Opening) -> Result<Volume> {
        let (config, _) = self.config(&opening)?;
        if VolumeDir::at(config.dir.clone(), Arc::clone(&config.host.files)).has_journal()? {
            return self.open(opening);
        }
        Ok(Volume::open_unread(config))
    }

    fn config(&self, opening: &Opening) -> Result<(Config, Input)> {
        let Located { url, settings, own: store, elsewhere, dir, input, breaker, .. } = self.locate(opening)?;
        let settings = settings.settings;
        let memory = ProbeMemory::new(settings.state_dir.join("stores"));
        let metrics = self.metrics.volume(store.url());
        gauges::watch(&metrics, breaker);
        let fencing = Probing {
            url,
            store: Arc::clone(&store),
            memory,
            host: self.host.clone(),
            trusted: settings.unsafe_no_fencing,
        };
        let config = Config {
            store,
            host: self.host.clone(),
            dir: dir.path().to_owned(),
            host_name: self.host_name.clone(),
            pid: self.pid,
            read_only: opening.read_only,
            settings: Arc::new(settings),
            metrics,
            fencing: Arc::new(fencing),
            elsewhere,
        };
        Ok((config, input))
    }

    /// Whether a volume may be made with these settings, some of which hold for it as long as it exists.
    ///
    /// # Errors
    /// `Invalid` naming the one that cannot be used.
    pub fn check_new(&self, settings: &Settings) -> Result<()> {
        if settings.l0_retention >= L0_RETENTION_MIN || self.environment.contains_key(ANY_RETENTION) {
            return Ok(());
        }
        let (asked, least) = (settings.l0_retention.as_millis(), L0_RETENTION_MIN.as_millis());
        Err(Error::new(ErrorKind::Invalid, "making a volume with")
            .object("l0_retention_ms")
            .why(format!("it is {asked}; expected {least} or more, since the volume keeps to it on every host"))
            .hint("leave it out; a volume that exists keeps to what it was made with"))
    }

    /// Finds other volumes from here, with the same settings and credentials.
    fn elsewhere(&self, overrides: &[Override]) -> Neighbours {
        // A URL that names another server says so itself.
        let own = |name: &str| matches!(name, "endpoint" | "region");
        let overrides = overrides.iter().filter(|setting| !own(&setting.name)).cloned().collect();
        Neighbours { process: self.clone(), overrides }
    }

    /// Serves metrics where `metrics_listen` says, until the process ends; nothing if it is unset.
    ///
    /// # Errors
    /// When the address is in use, is not this host's, or needs more rights.
    pub fn serve_metrics(&self, settings: &Settings) -> Result<()> {
        let Some(address) = settings.metrics_listen else { return Ok(()) };
        let server = self.host.tasks.wait(Server::bind(address, self.metrics.clone()))?;
        self.host.tasks.spawn(Box::pin(async move { match server.run().await {} }));
        Ok(())
    }
}

/// How long one request may take: no longer than a commit waits for all of its requests, where 0 waits forever.
fn request_timeout(sync_timeout: Duration, longest: Duration) -> Duration {
    if sync_timeout.is_zero() { longest } else { sync_timeout.min(longest) }
}

/// A volume is a directory. A file of that name is most likely an ordinary SQLite database.
fn refuse_plain_file(url: &VolumeUrl) -> Result<()> {
    if url.dir().is_some_and(|path| path.is_file()) {
        return Err(Error::new(ErrorKind::Invalid, "opening the volume")
            .object(url.canonical())
            .why("there is a plain file of that name, where a volume is a directory")
            .hint("to make a volume of an existing database, run: plimsoll import <file> <url>"));
    }
    Ok(())
}

/// Other volumes, opened with the same settings and credentials as one that was located.
pub struct Neighbours {
    process: Process,
    overrides: Vec<Override>,
}

impl Elsewhere for Neighbours {
    fn store(&self, url: &str) -> Result<Arc<dyn Store>> {
        let url = VolumeUrl::parse(url)?;
        let meant = url.canonical();
        let opening = Opening { url, overrides: self.overrides.clone(), read_only: true };
        let own = self.process.locate(&opening)?.own;
        if own.url() == meant {
            return Ok(own);
        }
        // What is found there, or not, would be taken for what was meant.
        Err(Error::new(ErrorKind::Invalid, "looking for another volume at")
            .object(meant)
            .why(format!("with the settings of this host that is {}", own.url()))
            .hint("unset the endpoint in the settings file and the environment, and name it in URLs"))
    }
}

struct Counting(Metrics);

impl Observer for Counting {
    fn request(&self, op: &'static str, outcome: &'static str, seconds: f64) {
        // The store tells kinds of reading apart that are one kind of request.
        let op = if op.starts_with("get") { "get" } else { op };
        let op = StoreOp::ALL.into_iter().find(|known| known.name() == op);
        let outcome = if outcome == "ok" { "success" } else { outcome };
        let outcome = RequestOutcome::ALL.into_iter().find(|known| known.name() == outcome);
        if let (Some(op), Some(outcome)) = (op, outcome) {
            self.0.store_request(op, outcome, Duration::try_from_secs_f64(seconds).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sync_timeout_ms = 0` once gave every request to an S3 server up before it was sent.
    #[test]
    fn waiting_forever_still_leaves_each_request_its_time() {
        let seconds = Duration::from_secs;
        assert_eq!(request_timeout(seconds(0), seconds(20)), seconds(20));
        assert_eq!(request_timeout(seconds(5), seconds(20)), seconds(5));
        assert_eq!(request_timeout(seconds(60), seconds(20)), seconds(20));
    }
}
