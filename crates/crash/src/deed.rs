//! The process that is killed while it does something to a whole volume, as the command does it.

use std::{env, process};

use plimsoll_commitlog::{Context, unpin};
use plimsoll_host::{
    crash::{self, Point},
    os,
};
use plimsoll_metrics::Metrics;
use plimsoll_model::{Error, ErrorKind, Result, ResultExt as _};
use plimsoll_store::VolumeUrl;
use plimsoll_volume::{Connections, Located, Opening, Process, StrandedJournal, fork, remove};

use crate::{
    speech::Said,
    worker::{self, passing, say},
};

/// What is done, to which volume.
#[derive(Clone, Debug, clap::Args)]
pub struct Deed {
    /// What is done.
    pub what: What,
    /// The volume.
    #[arg(long)]
    pub database: String,
    /// Where a fork is made, or which checkpoint is restored.
    #[arg(long, default_value = "")]
    pub object: String,
    /// A named point at which it is killed, and at which passing of it.
    #[arg(long, value_parser = passing)]
    pub crash_at: Option<(Point, u64)>,
}

/// The commands that work on whole volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "they are named as the commands")]
pub enum What {
    Fork,
    Detach,
    Remove,
    Restore,
    /// Every stranded journal.
    Discard,
}

/// Does it, and says how that went.
pub fn perform(deed: &Deed) {
    if let Some((point, nth)) = deed.crash_at {
        crash::arm(point, nth);
    }
    say(&match act(deed) {
        Ok(()) => Said::Closed(None),
        Err(error) => Said::Failed(0, error.to_string()),
    });
}

fn act(deed: &Deed) -> Result<()> {
    let engine = Process {
        host: os::host().doing("starting", "the engine's threads")?,
        metrics: Metrics::new(),
        environment: env::vars().collect(),
        host_name: os::host_name(),
        pid: process::id(),
        connections: Connections::default(),
    };
    let opening = |typed: &str| -> Result<Opening> {
        let here = env::current_dir().doing("finding", "the current directory")?;
        Ok(Opening { url: VolumeUrl::parse_at(typed, &here)?, overrides: Vec::new(), read_only: false })
    };
    let located = engine.locate(&opening(&deed.database)?)?;
    let wait = &engine.host.tasks;
    match deed.what {
        What::Fork => {
            let child = engine.locate(&opening(&deed.object)?)?;
            let (from, to) = (located.place(&engine.host), child.place(&engine.host));
            wait.wait(fork(&from, None, &to, &*located.elsewhere)).map(drop)
        }
        What::Detach => {
            let volume = engine.open(opening(&deed.database)?)?;
            volume.detach()?;
            volume.close()
        }
        What::Remove => {
            let settings = &located.settings.settings;
            let own = Context::new(engine.host.clone(), located.own.clone(), settings.l0_retention);
            wait.wait(remove(&own, settings.holder_ttl, false, &*located.elsewhere)).map(drop)
        }
        What::Restore => restore(&deed.database, &deed.object),
        What::Discard => discard(&engine, &located),
    }
}

fn restore(database: &str, reference: &str) -> Result<()> {
    let failed = |error: rusqlite::Error| {
        Error::new(ErrorKind::Unavailable, "restoring").object(database).why(error.to_string())
    };
    let connection = worker::open(database, rusqlite::OpenFlags::default()).map_err(failed)?;
    connection.query_row("SELECT plimsoll_restore(?)", [reference], |_| Ok(())).map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}

fn discard(engine: &Process, located: &Located) -> Result<()> {
    for kept in located.dir.stranded() {
        let checkpoint = StrandedJournal::open(&*engine.host.files, &kept)?.checkpoint();
        located.dir.discard(&kept)?;
        if let Some(checkpoint) = checkpoint {
            engine.host.tasks.wait(unpin(&located.context(&engine.host), &checkpoint))?;
        }
    }
    Ok(())
}
