//! `cargo xtask model`: checks the whole protocol, then shows what each step of it is for.

use std::process::ExitCode;

use clap::Parser;
use plimsoll_model_check::{Bounds, Outcome, Step, Worlds, check};

/// Looks at every order of events in small worlds.
#[derive(Parser)]
#[command(name = "cargo xtask model")]
struct Arguments {
    /// Only the world in which this step is left out.
    #[arg(long, value_name = "STEP")]
    without: Option<Step>,
    /// Larger worlds than those of the tests. Takes hours, and gigabytes of memory.
    #[arg(long)]
    full: bool,
    /// One world of the bounds that follow.
    #[arg(long)]
    own: bool,
    #[command(flatten)]
    bounds: Bounds,
    /// Threads that look.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut fine = true;
    if arguments.own {
        let outcome = check(arguments.bounds, arguments.without, arguments.threads);
        println!("{:?}: {outcome}", arguments.bounds);
        return if is_whole(&outcome) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if arguments.without.is_none() {
        for (name, bounds) in if arguments.full { Worlds::full() } else { Worlds::small() } {
            let outcome = check(bounds, None, arguments.threads);
            println!("{name}: {outcome}");
            fine &= is_whole(&outcome);
        }
    }
    let steps = arguments.without.map_or(Step::QUICK.to_vec(), |step| vec![step]);
    for step in steps {
        let outcome = check(Bounds::for_step(step), Some(step), arguments.threads);
        println!("\nwithout {step:?}: {outcome}");
        match &outcome.broken {
            Some(story) => print!("{story}"),
            None => println!("no counterexample within these bounds"),
        }
        fine &= outcome.broken.is_some();
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_whole(outcome: &Outcome) -> bool {
    if let Some(story) = &outcome.broken {
        print!("{story}");
    }
    for event in &outcome.missing {
        println!("  in this world it does not happen that {event}");
    }
    outcome.broken.is_none()
}
