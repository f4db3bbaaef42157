//! A campaign on several threads, with a line of progress each second and a summary.

use std::{
    env, io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    campaign::{Campaign, Mode, Tally},
    power,
    proxy::{Proxy, Weather},
    random::Random,
    server::Server,
};

/// Where volumes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// Directories.
    File,
    /// An S3 server, started for the run.
    S3,
}

/// How long, where, and what.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Processes to kill. Without it and without --seconds, 1000
    #[arg(long)]
    pub rounds: Option<u64>,
    /// Longest that it runs
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Decides what is done and when it is killed; the default is another one each time
    #[arg(long)]
    pub seed: Option<u64>,
    /// Where volumes are
    #[arg(long, value_enum, default_value = "file")]
    pub store: Store,
    /// With --store s3: of so many requests that change an object, the answer to one gets lost in the network
    #[arg(long)]
    pub losing_answers: Option<u64>,
    /// What happens to the host of a killed process
    #[arg(long, value_enum, default_value = "mixed")]
    pub mode: Mode,
    /// The hosts' disks lose power instead, and what was not synced is gone: needs FUSE. With --store file, half of
    /// the volumes are on the disk that loses power, too
    #[arg(long)]
    pub power: bool,
    /// Volumes at a time
    #[arg(long, default_value_t = 2)]
    pub jobs: u64,
}

fn line(tally: &Tally) -> String {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "{} killed ({} opening, {} closing, {} at a point, {} by failed syncs), {} without power, {} closed, {} checked, {} acknowledged, \
         {} lost, {} stranded",
        of(&tally.rounds) - of(&tally.closed),
        of(&tally.in_opening),
        of(&tally.in_closing),
        of(&tally.at_points),
        of(&tally.by_failed_syncs),
        of(&tally.power_losses),
        of(&tally.closed),
        of(&tally.checks),
        of(&tally.acked),
        of(&tally.lost),
        of(&tally.stranded),
    )
}

/// Runs it with `program` as the worker.
///
/// # Errors
/// What was found to be wrong, or what kept it from running.
pub fn run(options: &Options, program: PathBuf) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = options.seed.unwrap_or_else(|| Random::new(now.as_nanos() as u64).below(1_000_000));
    if options.power && !power::fuse()? {
        return Err("there is no FUSE here, and --power is about nothing else".to_owned());
    }
    let rounds = options.rounds.or(options.seconds.is_none().then_some(1000));
    let server = match options.store {
        Store::File => None,
        Store::S3 => Some(Server::start().map_err(words)?),
    };
    let proxy = match (&server, options.losing_answers) {
        (Some(server), Some(every)) => {
            let proxy = Proxy::start(server.address()).map_err(words)?;
            proxy.set(Weather::LosingAnswers(every));
            Some(proxy)
        }
        _ => None,
    };
    let address = proxy.as_ref().map(Proxy::address).or_else(|| server.as_ref().map(Server::address));
    let dir = tempfile::Builder::new().prefix("plimsoll-crash-").tempdir_in(env::temp_dir()).map_err(words)?.keep();
    println!("seed {seed}, in {}", dir.display());
    let tally = Tally::default();
    let started = Instant::now();
    let go_on = || {
        !tally.failed.load(Ordering::Relaxed)
            && rounds.is_none_or(|most| tally.rounds.load(Ordering::Relaxed) < most)
            && options.seconds.is_none_or(|most| started.elapsed() < Duration::from_secs(most))
    };
    let found = thread::scope(|scope| {
        let lanes: Vec<_> = (0..options.jobs)
            .map(|lane| {
                let campaign = Campaign {
                    program: program.clone(),
                    dir: dir.join(lane.to_string()),
                    seed: seed.wrapping_add(lane),
                    mode: options.mode,
                    power: options.power,
                    server: address,
                };
                let (tally, go_on) = (&tally, &go_on);
                scope.spawn(move || campaign.run(tally, go_on))
            })
            .collect();
        let mut shown = Instant::now();
        while lanes.iter().any(|lane| !lane.is_finished()) {
            thread::sleep(Duration::from_millis(50));
            if shown.elapsed() >= Duration::from_secs(1) {
                shown = Instant::now();
                println!("{:>4} s: {}", started.elapsed().as_secs(), line(&tally));
            }
        }
        lanes
            .into_iter()
            .filter_map(|lane| lane.join().unwrap_or_else(|_| Err("a thread of the harness panicked".to_owned())).err())
            .collect::<Vec<String>>()
    });
    println!("{} s: {}", started.elapsed().as_secs(), line(&tally));
    if let Some(proxy) = proxy {
        println!("{} answers lost in the network", proxy.lost().iter().sum::<u64>());
    }
    if found.is_empty() {
        std::fs::remove_dir_all(&dir).map_err(words)?;
        println!("nothing found");
        return Ok(());
    }
    Err(found.join("\n"))
}
