//! `plimsoll-bench`: the harness, and the processes that it measures.
#![allow(clippy::disallowed_methods, reason = "a measurement takes the real clock and threads")]

use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use plimsoll_bench::{
    catalogue::{Scale, benches, work},
    harness::Lab,
    job::{Job, answer},
    probe::probe,
    report::Report,
};

/// Measures Plimsoll beside what people would pick instead.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures, prints tables, and writes them with plots
    Run(Run),
    /// Lists what can be measured
    List,
    /// Does the same work again and again, for tools that count: read, overlay, commit, read-file, commit-file
    Probe { what: String, times: u64, dir: PathBuf },
    /// Does one measurement in this process
    #[command(hide = true)]
    Job { job: String },
}

#[derive(clap::Args)]
struct Run {
    /// Benches to run, all without any
    names: Vec<String>,
    /// Only cases whose name contains this, such as "EXTRA" or "10 ms". Not with --docs, whose tables are whole
    #[arg(long, conflicts_with = "docs")]
    only: Option<String>,
    /// How long it may take. At full it takes 10 GB of disk and as much memory, for databases of a gigabyte
    #[arg(long, value_enum, default_value_t = Scale::Small)]
    scale: Scale,
    /// Rounds of each case, in place of the scale's
    #[arg(long)]
    rounds: Option<u64>,
    /// Where tables and plots go
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Tables and plots also go here, for documentation
    #[arg(long)]
    docs: Option<PathBuf>,
    /// Where databases lie while they are measured: on the disk that matters
    #[arg(long, default_value = "target/bench/data")]
    data: PathBuf,
    /// The `plimsoll` command, for what only it can do
    #[arg(long)]
    plimsoll: Option<PathBuf>,
}

/// Runs benches one after the other. What one of them found is written before the next begins, and what failed in one
/// keeps nobody from the others: it is said in the tables, and at the end.
fn run(options: &Run) -> Result<()> {
    let all = benches();
    if let Some(unknown) = options.names.iter().find(|name| !all.iter().any(|bench| bench.name == **name)) {
        let known: Vec<&str> = all.iter().map(|bench| bench.name).collect();
        bail!("there is no bench '{unknown}'; there are {}", known.join(", "));
    }
    for dir in [Some(&options.out), options.docs.as_ref()].into_iter().flatten() {
        fs::create_dir_all(dir)?;
    }
    let data = std::path::absolute(&options.data)?;
    let command = options.plimsoll.as_deref().map(std::path::absolute).transpose()?;
    let mut lab = Lab::new(&data, command)?;
    let (mut cases, mut failures) = (0, 0);
    for bench in all.iter().filter(|bench| options.names.is_empty() || options.names.iter().any(|n| n == bench.name)) {
        let began = Instant::now();
        let measured = lab.run(bench, options.scale, options.rounds, options.only.as_deref());
        if measured.is_empty() {
            continue;
        }
        cases += measured.len();
        failures += measured.iter().map(|measured| measured.failures.len()).sum::<usize>();
        let report = Report::new(bench, options.scale, &measured, began.elapsed());
        println!("{}", report.text());
        fs::write(options.out.join(format!("{}.json", bench.name)), report.json()?)?;
        for dir in [Some(&options.out), options.docs.as_ref()].into_iter().flatten() {
            fs::write(dir.join(format!("{}.md", bench.name)), report.markdown())?;
            fs::write(dir.join(format!("{}.svg", bench.name)), report.svg())?;
        }
    }
    if cases == 0 {
        bail!("no case has '{}' in its name", options.only.as_deref().unwrap_or_default());
    }
    println!("tables and plots are in {}", options.out.display());
    if failures > 0 {
        bail!("{failures} measurements failed; the tables name them and hold the rest");
    }
    Ok(())
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(options) => run(&options),
        Command::List => {
            for bench in benches() {
                println!("{:10} {}", bench.name, bench.about);
            }
            Ok(())
        }
        Command::Probe { what, times, dir } => probe(&what, times, &dir).map(|words| println!("{words}")),
        Command::Job { job } => serde_json::from_str::<Job>(&job)
            .map_err(anyhow::Error::from)
            .and_then(|job| answer(&work(&job)?))
            .map(|line| println!("{line}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
