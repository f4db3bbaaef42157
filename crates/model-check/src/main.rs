//! `cargo xtask model`: checks the whole protocol, then shows what each step of it is for.

use std::process::ExitCode;

use clap::{Parser, ValueEnum as _};
use plimsoll_model_check::{
    Bounds, Outcome, PinBounds, PinStep, RemovalStep, Step, Worlds, check, check_pins, check_removal,
};

/// Looks at every order of events in small worlds.
#[derive(Parser)]
#[command(name = "cargo xtask model")]
struct Arguments {
    /// Only the world in which this step is left out.
    #[arg(long, value_name = "STEP")]
    without: Option<Step>,
    /// Only the world of pins in which this step is left out.
    #[arg(long, value_name = "STEP", conflicts_with = "without")]
    pins_without: Option<PinStep>,
    /// The largest worlds as well. Takes hours, and gigabytes of memory.
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
    let threads = arguments.threads;
    if arguments.without.is_none() && arguments.pins_without.is_none() {
        let mut worlds = Worlds::small();
        worlds.extend(Worlds::larger());
        if arguments.full {
            worlds.extend(Worlds::full());
        }
        for (name, bounds) in worlds {
            let outcome = check(bounds, None, threads);
            println!("{name}: {outcome}");
            fine &= is_whole(&outcome);
        }
        for bounds in PinBounds::WORLDS {
            let outcome = check_pins(bounds, None, threads);
            println!("pins, {} collectors: {outcome}", bounds.collectors);
            fine &= is_whole(&outcome);
        }
        let outcome = check_removal(None, threads);
        println!("removal: {outcome}");
        fine &= is_whole(&outcome);
    }
    let (steps, pin_steps) = match (arguments.without, arguments.pins_without) {
        (Some(step), _) => (vec![step], Vec::new()),
        (None, Some(step)) => (Vec::new(), vec![step]),
        (None, None) => (Step::value_variants().to_vec(), PinStep::value_variants().to_vec()),
    };
    for step in steps {
        fine &= is_missed(&format!("{step:?}"), &check(Bounds::for_step(step), Some(step), threads));
    }
    for step in pin_steps {
        fine &= is_missed(&format!("{step:?}"), &check_pins(PinBounds::for_step(step), Some(step), threads));
    }
    if arguments.without.is_none() && arguments.pins_without.is_none() {
        for step in RemovalStep::value_variants() {
            fine &= is_missed(&format!("{step:?}"), &check_removal(Some(*step), threads));
        }
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_missed(step: &str, outcome: &Outcome) -> bool {
    println!("\nwithout {step}: {outcome}");
    match &outcome.broken {
        Some(story) => print!("{story}"),
        None => println!("no counterexample within these bounds"),
    }
    outcome.broken.is_some()
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
