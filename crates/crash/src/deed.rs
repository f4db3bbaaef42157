//! The process that is killed while it does something to a whole volume, as the command does it.

use std::{collections::HashMap, env, process};

use plimsoll_commitlog::{Acquire, Context, PinRecord, PinnedObject, acquire, pin, unpin};
use plimsoll_host::{
    crash::{self, Point},
    os,
};
use plimsoll_metrics::Metrics;
use plimsoll_model::{Error, ErrorKind, Result, ResultExt as _, WriterId};
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
    /// A checkpoint of what a collector has announced, as who had listed it before makes one.
    Pin,
    /// Removes a checkpoint.
    Unpin,
    /// Takes a volume that nothing was written to, and lets it go, more often than records of that are kept.
    TakeTurns,
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
        What::Pin => pin_garbage(&engine, &located, &deed.object),
        What::Unpin => wait.wait(unpin(&located.context(&engine.host), &deed.object)).map(drop),
        What::TakeTurns => take_turns(&engine, &located),
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

fn pin_garbage(engine: &Process, located: &Located, name: &str) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Announced {
        objects: Vec<PinnedObject>,
    }
    let context = located.context(&engine.host);
    let wait = &engine.host.tasks;
    let mut objects = Vec::new();
    for entry in wait.wait(context.store().list("gc/", None))? {
        let record = wait.wait(context.store().get(&entry.key))?;
        let announced = record.and_then(|record| serde_json::from_slice::<Announced>(&record.bytes).ok());
        objects.extend(announced.into_iter().flat_map(|announced| announced.objects));
    }
    let record = PinRecord {
        txid: objects.iter().map(|object| object.id.max).max().unwrap_or_default(),
        created_ms: engine.host.clock.wall().0,
        note: None,
        bytes: 0,
        fork: None,
        objects,
        nonce: engine.host.chance.bits(),
    };
    wait.wait(pin(&context, name, &record, &HashMap::new())).map(drop)
}

fn take_turns(engine: &Process, located: &Located) -> Result<()> {
    let context = located.context(&engine.host);
    for turn in 0..300 {
        let ask = Acquire {
            writer: WriterId(turn),
            host_name: engine.host_name.clone(),
            pid: engine.pid,
            holder_ttl: located.settings.settings.holder_ttl,
            takeover: false,
            same_host: false,
            page_size: None,
            volume: None,
            newest: None,
            standing: None,
        };
        let unwritten = |_: &_, _, _| Err(Error::new(ErrorKind::Invalid, "taking turns").why("it was written to"));
        let wait = &engine.host.tasks;
        wait.wait(async { acquire(&context, &ask, unwritten).await?.close_unused().await })?;
    }
    Ok(())
}
