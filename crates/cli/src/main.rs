//! The command line: `plimsoll COMMAND URL`.
//!
//! Data goes to stdout, words to stderr. Each command has a file below `command`; what they share
//! is in [`setup`](crate::setup::Setup).

mod args; // what can be typed
mod command; // what each command does
mod exit; // exit codes
mod gauge; // the load line, drawn
mod interrupt; // being told to end
mod journal_tail; // what this host holds and the store does not
mod logging; // tracing to stderr
mod object_reader; // an object as a stream
mod opened; // a volume that is let go at the end
mod progress; // bars on a terminal
mod scratch; // files for a while
mod setup; // what all commands share
mod table; // rows and columns
mod units; // numbers for people
mod value; // SQLite's values

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Args, exit::Failure, setup::Setup};

fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.global.json;
    let outcome = Setup::new(&args.global).and_then(|setup| command::run(&setup, args.command));
    interrupt::give_way();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure, json),
    }
}

fn report(failure: &Failure, json: bool) -> ExitCode {
    if failure.is_silent() {
        // It was said.
    } else if json {
        eprintln!("{}", failure.json());
    } else {
        eprintln!("plimsoll: {failure}");
    }
    failure.exit().into()
}
