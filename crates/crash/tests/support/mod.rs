//! A volume, and processes that write to it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use plimsoll_crash::{
    child::{Child, Launch, Silence},
    ledger::{Ledger, Loss},
    profile::Profile,
    server,
    speech::{Advertised, Found, Said},
};

/// Longer than anything takes that does not hang, also with thirty processes waiting for each core. Every wait ends when
/// what it is for is said, or the process is gone.
pub const PATIENCE: Duration = Duration::from_secs(240);
pub const SEED: u64 = 4711;

pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_plimsoll-crash"))
}

pub struct Volume {
    pub dir: tempfile::TempDir,
    pub database: String,
    pub endpoint: Option<SocketAddr>,
}

/// How a worker is started.
#[derive(Clone, Default)]
pub struct Worker<'a> {
    pub host: &'a str,
    pub generation: u64,
    pub takeover: bool,
    pub settings: &'a [(&'a str, &'a str)],
    pub arguments: &'a [&'a str],
}

impl Volume {
    pub fn in_directory() -> Volume {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("store").display().to_string();
        Volume { dir, database, endpoint: None }
    }

    pub fn on_server(name: &str, endpoint: SocketAddr) -> Volume {
        Volume { dir: tempfile::tempdir().unwrap(), database: server::url(name), endpoint: Some(endpoint) }
    }

    pub fn host(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn errors(&self) -> PathBuf {
        self.dir.path().join("errors")
    }

    pub fn launch(&self, arguments: Vec<String>, state: &Path, settings: &[(&str, &str)], takeover: bool) -> Launch {
        let mut variables = Profile::with(settings).settings;
        variables.push(("PLIMSOLL_STATE_DIR".to_owned(), state.display().to_string()));
        variables.push(("PLIMSOLL_TAKEOVER".to_owned(), takeover.to_string()));
        variables.extend(self.endpoint.into_iter().flat_map(server::variables));
        Launch { program: program(), arguments, variables, errors: self.errors() }
    }

    pub fn launch_worker(&self, worker: &Worker<'_>) -> Launch {
        let arguments = [
            "worker".to_owned(),
            format!("--database={}", self.database),
            format!("--seed={SEED}"),
            format!("--generation={}", worker.generation),
        ];
        let arguments = arguments.into_iter().chain(worker.arguments.iter().map(|word| (*word).to_owned())).collect();
        self.launch(arguments, &self.host(worker.host), worker.settings, worker.takeover)
    }

    pub fn start(&self, worker: &Worker<'_>) -> Child {
        Child::start(&self.launch_worker(worker)).unwrap()
    }

    /// What a reader without local state finds.
    pub fn peek(&self) -> Result<Found, String> {
        let state = tempfile::tempdir().unwrap();
        self.peek_from(state.path())
    }

    /// What a checkpoint is of.
    pub fn peek_at(&self, checkpoint: &str) -> Result<Found, String> {
        let state = tempfile::tempdir().unwrap();
        let database = format!("file:{}?checkpoint={checkpoint}", self.database);
        let arguments = vec!["peek".to_owned(), format!("--database={database}")];
        first_words(&Child::start(&self.launch(arguments, state.path(), &[], false)).unwrap())
    }

    pub fn peek_from(&self, state: &Path) -> Result<Found, String> {
        let arguments = vec!["peek".to_owned(), format!("--database={}", self.database)];
        first_words(&Child::start(&self.launch(arguments, state, &[], false)).unwrap())
    }
}

/// Makes `to` the same as `from`.
pub fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    // Not `fs::copy`: holes of sparse files stay small this way.
    let status = std::process::Command::new("cp").args(["-a", "--sparse=always"]).args([from, to]).status();
    assert!(status.unwrap().success());
}

/// What a process found, or why it could not open the volume.
pub fn first_words(child: &Child) -> Result<Found, String> {
    match child.next(Instant::now() + PATIENCE) {
        Ok(Said::Found(found)) => Ok(found),
        Ok(Said::Failed(_, error)) => Err(error),
        other => panic!("instead of what it found, it said {other:?}"),
    }
}

/// Listens on behalf of a ledger until `enough`, or until a failure, whose text is returned.
pub fn listen(
    child: &Child,
    ledger: &mut Ledger,
    generation: u64,
    patience: Duration,
    mut enough: impl FnMut(&Said) -> bool,
) -> Result<(), String> {
    let deadline = Instant::now() + patience;
    loop {
        match child.next(deadline) {
            Ok(Said::Found(found)) => drop(ledger.check(&found, Loss::Process).unwrap()),
            Ok(said) => {
                ledger.hear(&said, generation)?;
                if enough(&said) {
                    return Ok(());
                }
            }
            Err(Silence::NotYet) => return Err("nothing more was said in time".to_owned()),
            Err(Silence::Gone) => return Err("the process is gone".to_owned()),
        }
    }
}

/// Listens until transaction `n` is acknowledged.
pub fn listen_to(child: &Child, ledger: &mut Ledger, generation: u64, n: u64) {
    listen(child, ledger, generation, PATIENCE, |said| matches!(said, Said::Committed(done, _) if *done >= n)).unwrap();
}

pub fn is_status(wanted: impl Fn(&Advertised) -> bool) -> impl Fn(&Said) -> bool {
    move |said| matches!(said, Said::Status(status) if wanted(status))
}

/// Kills a process, and takes note of everything that it had said until then.
pub fn kill(child: Child, ledger: &mut Ledger, generation: u64) {
    for said in child.kill() {
        // What failed in its last moments was not acknowledged.
        let _ = ledger.hear(&said, generation);
    }
}

/// Listens until transaction `n` is acknowledged, whatever fails before.
pub fn listen_past_failures(child: &Child, ledger: &mut Ledger, generation: u64, n: u64) {
    let deadline = Instant::now() + PATIENCE;
    while ledger.line().acked < n {
        let said = child.next(deadline).unwrap();
        if !matches!(said, Said::Failed(..)) {
            ledger.hear(&said, generation).unwrap();
        }
    }
}
