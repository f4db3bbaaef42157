//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use plimsoll_model::Level;
use serde::Serialize;

use crate::exit;

/// Keeps a SQLite database's durable state at a URL in an object store.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Sets a setting, before environment and file; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
    /// Reads settings from this file instead of plimsoll.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints data as JSON; a failure, on stderr, as {"error": {"kind", "message", "exit"}}
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Logs to stderr what is done; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colours and drawings: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// What names a state, after the URL.
const REFERENCE_HELP: &str = "A volume's URL; with @ and a checkpoint, a TXID or a time behind it, an earlier state. Times: '5 minutes ago', \
     'an hour ago', 2026-05-01T12:00:00Z, '2026-05-01 12:00' (UTC); yesterday, 'last monday' and 2026-05-01 mean the \
     first moment of that day, UTC";

const URL_HELP: &str = "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///directory or a path";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes an empty database; it is durable when this returns
    Create {
        #[arg(help = URL_HELP)]
        url: String,
        /// Bytes per page, for ever: a power of two from 512 to 65536
        #[arg(long, value_name = "BYTES", default_value_t = 4096)]
        page_size: u32,
    },
    /// Shows who holds a volume, what it has in the store, and how much is at risk
    ///
    /// Only reads: takes no epoch, writes nothing. The load of a holder elsewhere is what it last said of
    /// itself; that of this host is read from its journal.
    Status {
        #[arg(help = URL_HELP)]
        url: String,
        /// Looks again every second, until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Runs SQL: one argument, stdin, or an interactive shell
    ///
    /// With an earlier state, `URL@REFERENCE`, it only reads.
    Sql {
        #[arg(help = REFERENCE_HELP)]
        url: String,
        /// SQL, of any number of statements
        statement: Option<String>,
        /// What each commit has survived when it returns: buffered, journaled or durable
        #[arg(long, value_name = "LEVEL")]
        durability: Option<Level>,
        /// Reads what is in the store, as a follower, and never writes
        #[arg(long)]
        read_only: bool,
    },
    /// Makes what this host's journal holds durable
    Sync {
        #[arg(help = URL_HELP)]
        url: String,
    },
    /// Makes an earlier state the newest again, as a new commit that changes only what differs
    ///
    /// The history stays, so this can be undone in the same way. Open connections see it as one transaction.
    Restore {
        #[arg(help = REFERENCE_HELP)]
        url: String,
        /// The name of a checkpoint
        checkpoint: Option<String>,
        /// The state right after this TXID, as far as the store can still reproduce it
        #[arg(long, value_name = "TXID")]
        txid: Option<u64>,
        /// The newest state that is not younger: 2026-05-01T12:00:00Z, '2026-05-01 12:00' (UTC), or '5 minutes ago'
        #[arg(long, value_name = "TIME")]
        time: Option<String>,
        /// Does not make a checkpoint of the state before, which then can be had again only for a while
        #[arg(long)]
        no_checkpoint: bool,
    },
    /// Makes everything of this host durable and lets the volume go, so that another host may open it at once
    ///
    /// A process of this host that holds it is asked to let go; what one that died left in the journal is synced.
    Release {
        #[arg(help = URL_HELP)]
        url: String,
    },
    /// Takes a volume from a writer that is gone, without waiting, and says what that one took with it
    ///
    /// What was lost is told by what the other writer last advertised. If it is alive after all, it is fenced: its
    /// next sync fails, and its last commits are kept aside on its host.
    Takeover {
        #[arg(help = URL_HELP)]
        url: String,
    },
    /// Releases every volume that this host has a journal of: with unsynced commits, or an epoch that is still open
    ///
    /// A process that died before it had a journal leaves an epoch at most, which `plimsoll release` closes; otherwise
    /// others take the volume after holder_ttl_ms.
    ///
    /// Goes on after a failure, and says at the end what failed. Run again, it does what is left.
    Drain {
        /// Only volumes at or below these URLs
        prefixes: Vec<String>,
        /// Looks here instead of where the settings say
        #[arg(long, value_name = "DIR")]
        state_dir: Option<String>,
        /// Volumes that are drained at the same time
        #[arg(long, value_name = "COUNT", default_value_t = 16)]
        jobs: usize,
    },
    /// Shows, exports or discards commits of this host that another writer went on without
    Stranded {
        #[command(subcommand)]
        command: StrandedCommand,
    },
    /// Copies an existing database file into a volume, as one commit; it is durable when this returns
    ///
    /// The file may be in use: a consistent state of it is copied, also in WAL mode.
    Import {
        /// A SQLite database file
        file: PathBuf,
        #[arg(help = URL_HELP)]
        url: String,
        /// Replaces the content of a volume that exists; its page size must be the file's
        #[arg(long)]
        replace: bool,
    },
    /// Copies the newest durable state into a plain database file
    ///
    /// Every object is checked on the way. Commits that are only in this host's journal are not part of it:
    /// `plimsoll sync` first.
    Export {
        #[arg(help = REFERENCE_HELP)]
        url: String,
        /// The file to make
        file: PathBuf,
        /// Replaces a file that exists
        #[arg(long)]
        force: bool,
        /// The state right after this TXID, as far as the store can still reproduce it
        #[arg(long, value_name = "TXID")]
        at: Option<u64>,
    },
    /// Merges all levels, takes a snapshot, and removes what is not needed any more
    Compact {
        #[arg(help = URL_HELP)]
        url: String,
        /// Only says what would be removed as things are; changes nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Names states, which are then kept until the names are removed
    Checkpoint {
        #[command(subcommand)]
        command: CheckpointCommand,
    },
    /// Makes a volume that starts as a state of another one, without copying its data
    ///
    /// The fork reads what it has not replaced from the other volume, which keeps it until the fork is removed or
    /// detached. Takes as long for a large database as for a small one. What this host
    /// has acknowledged before is synced first, and is part of the newest state; of what a process on another host has
    /// not synced, it is said how much that is.
    Fork {
        /// A volume, or as URL@STATE a state of it: a checkpoint, a TXID or a time
        url: String,
        /// Where the fork is to be, which may be another bucket or store
        new_url: String,
        /// Copies everything at once, so that the fork stands by itself
        #[arg(long)]
        detach: bool,
    },
    /// Copies what a fork still reads from other volumes, so that these need not keep it any more
    ///
    /// Takes the volume for that. A program that has it open copies while it goes on, with `SELECT plimsoll_detach()`,
    /// and sees in `SELECT plimsoll_status()` how far it is. `plimsoll status` says what is still read from others.
    Detach {
        #[arg(help = URL_HELP)]
        url: String,
    },
    /// Removes a volume, unless forks read from it or somebody holds it for writing
    Rm {
        #[arg(help = URL_HELP)]
        url: String,
        /// Also if forks read from it, which breaks them
        #[arg(long)]
        force: bool,
    },
    /// Shows what a volume's objects are kept for, in bytes
    Du {
        #[arg(help = URL_HELP)]
        url: String,
    },
    /// Reads and checks every object from end to end, then the database itself
    Verify {
        #[arg(help = URL_HELP)]
        url: String,
    },
    /// Lists the volumes below a prefix, or the objects of one volume
    ///
    /// Folders that are no volume are looked into; what is in a volume is not listed to find it.
    Ls {
        /// A URL that volumes are below; also a whole bucket, as s3://bucket
        prefix: String,
        /// Lists the objects of one volume, by level
        #[arg(long)]
        objects: bool,
    },
    /// Shows each setting with its value and where that came from
    Config {
        /// A URL, whose parameters count as well
        url: Option<String>,
        /// Prints the documentation of all settings instead
        #[arg(long)]
        markdown: bool,
    },
    /// Prints a completion script for a shell
    Completions { shell: Shell },
}

/// Commits of this host that another writer went on without.
#[derive(Debug, Subcommand)]
pub(crate) enum StrandedCommand {
    /// Lists journals that were kept aside, with what they hold and which state they stand on
    Ls {
        #[arg(help = URL_HELP)]
        url: String,
    },
    /// Lists the commits of one
    Show {
        #[arg(help = URL_HELP)]
        url: String,
        /// Its name, as listed; not needed if there is one only
        name: Option<String>,
    },
    /// Shows which rows and pages its commits changed
    ///
    /// Row by row, as - removed, ~ changed and + added, with their keys and values. Of a table whose rows cannot be
    /// told it is said why, and how many of its pages differ. Needs room for the database twice below state_dir.
    Diff {
        #[arg(help = URL_HELP)]
        url: String,
        /// Its name, as listed; not needed if there is one only
        name: Option<String>,
        /// What the state with its commits is compared with: the one that they were made on, or the newest
        #[arg(long, value_enum, default_value = "base", value_name = "STATE")]
        against: Against,
        /// How many rows are shown of each table and kind of change
        #[arg(long, value_name = "COUNT", default_value_t = 20, conflicts_with = "all")]
        rows: u64,
        /// Shows every row that differs
        #[arg(long)]
        all: bool,
    },
    /// Writes the state that its commits would have led to into a plain database file
    ///
    /// Needs the state that they were made on. A checkpoint keeps it for stranded_retention_ms.
    Export {
        #[arg(help = URL_HELP)]
        url: String,
        /// The file to make
        file: PathBuf,
        /// Its name, as listed; not needed if there is one only
        name: Option<String>,
        /// Replaces a file that exists
        #[arg(long)]
        force: bool,
    },
    /// Removes one for ever
    Discard {
        #[arg(help = URL_HELP)]
        url: String,
        /// Its name, as listed
        name: String,
    },
}

/// What a state with stranded commits is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Against {
    Base,
    Newest,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// Names the newest state
    ///
    /// What this host has acknowledged is synced first and is part of it. What another host holds and has not
    /// synced yet is not: there, use `SELECT plimsoll_checkpoint(name)`.
    Create {
        #[arg(help = URL_HELP)]
        url: String,
        /// 1 to 128 letters, digits, dots, underscores and dashes; without it one is made from the time
        name: Option<String>,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Lists checkpoints and forks, and what would be garbage without them
    Ls {
        #[arg(help = URL_HELP)]
        url: String,
    },
    /// Removes a checkpoint, or what a fork that is gone has left behind
    Rm {
        #[arg(help = URL_HELP)]
        url: String,
        name: String,
        /// Also that of a fork that still reads from here, which breaks the fork
        #[arg(long)]
        force: bool,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_setting_may_contain_equals_signs() {
        assert_eq!(key_value("log=a=b"), Ok(("log".into(), "a=b".into())));
        assert!(key_value("log").is_err());
    }
}
