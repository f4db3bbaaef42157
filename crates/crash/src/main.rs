//! `plimsoll-crash`: the harness, and the processes that it kills.

use std::{env, process::ExitCode};

use clap::Parser;
use plimsoll_crash::{deed, run, worker};

/// Kills processes that write to a volume, and checks what is left.
#[derive(Parser)]
enum Arguments {
    /// Runs rounds of killing and looking
    Run(run::Options),
    /// Opens a volume and writes until told to close
    #[command(hide = true)]
    Worker(worker::Job),
    /// Does something to a whole volume
    #[command(hide = true)]
    Deed(deed::Deed),
    /// Says what a reader of the volume finds
    #[command(hide = true)]
    Peek {
        #[arg(long)]
        database: String,
    },
}

fn main() -> ExitCode {
    match Arguments::parse() {
        Arguments::Worker(job) => worker::work(&job),
        Arguments::Deed(deed) => deed::perform(&deed),
        Arguments::Peek { database } => worker::peek(&database),
        Arguments::Run(options) => {
            let result = env::current_exe().map_err(|error| error.to_string()).and_then(|own| run::run(&options, own));
            if let Err(found) = result {
                eprintln!("{found}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
