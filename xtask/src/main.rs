//! Developer commands: `cargo xtask …`. One file per command.

// These commands are programs of their own; nothing simulates them.
#![allow(clippy::disallowed_methods, reason = "the engine's clock and tasks are not for tools")]

mod bench; // measuring, beside peers
mod ceph; // a Ceph cluster to test against
mod crash; // killing what writes
mod demo; // what the project does, narrated
mod dependencies; // what may be depended on, without other tools
mod fuzz; // feeding decoders what nobody wrote
mod licences; // the licence policy, without other tools
mod lint; // format, lints, policy
mod model; // every order of events of the protocol
mod mutate; // the engine with a step left out
mod process; // running programs
mod sim; // the engine on simulated hosts
mod sqllogic; // SQLite's scripts of queries
mod suites; // foreign test suites
mod test; // every test
mod tools; // what the tests need
mod totals; // counting results
mod unfenced; // a server that cannot fence
mod workspace; // where things are

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures Plimsoll beside what people would pick instead, in turns.
    ///
    /// Without names, all of it. `--docs` measures what docs/benchmarks shows, which takes some 75 minutes of a machine that
    /// does nothing else, and 10 GB of disk and of memory; names pick some of the tables.
    Bench(bench::Bench),
    /// Starts a small Ceph cluster and tests volumes on its gateways.
    Ceph(ceph::Ceph),
    /// Kills processes that write to a volume, again and again, and checks what is left.
    Crash(crash::Crash),
    /// Shows on a temporary store what a crash and a lost host leave of a database.
    Demo(demo::Demo),
    /// Feeds every decoder what nobody wrote, for a while.
    Fuzz(fuzz::Fuzz),
    /// Checks format, lints, licences and dependencies.
    Lint(lint::Lint),
    /// Looks at every order of events of the commit protocol in small worlds, and shows what each step of it is for.
    Model(model::Model),
    /// Leaves one step of the engine out after the other, and checks that the simulation notices.
    Mutate(mutate::Mutate),
    /// Runs the engine on simulated hosts from seeds, and checks every promise.
    Sim(sim::Sim),
    /// Runs the scripts of SQLite's sqllogictest on volumes.
    Sqllogic(sqllogic::Sqllogic),
    /// Runs every test: the workspace's own, then other programs that load the extension.
    Test(test::Test),
    /// Installs what the tests need into .venv and target.
    Tools(tools::Tools),
    /// Runs SQLite's own tests with volumes in place of files.
    Suites(suites::Suites),
    /// Downloads and compiles foreign test programs into target/suites.
    SuitesFetch(suites::SuitesFetch),
    /// Builds a server that lets several creates of one name win, and checks that it is refused for writing.
    Unfenced(unfenced::Unfenced),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Bench(command) => command.run(),
        Command::Ceph(command) => command.run(),
        Command::Crash(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Fuzz(command) => command.run(),
        Command::Lint(command) => command.run(),
        Command::Model(command) => command.run(),
        Command::Mutate(command) => command.run(),
        Command::Sim(command) => command.run(),
        Command::Sqllogic(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Tools(command) => command.run(),
        Command::Suites(command) => command.run(),
        Command::SuitesFetch(command) => command.run(),
        Command::Unfenced(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
