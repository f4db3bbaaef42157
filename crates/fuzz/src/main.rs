//! `cargo xtask fuzz`: feeds targets until the time is over, or something is wrong.

#![allow(clippy::disallowed_methods, reason = "nothing here is simulated")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use plimsoll_fuzz::{ALL, Budget, Target, run};

/// Feeds every decoder what nobody wrote.
#[derive(Parser)]
#[command(name = "cargo xtask fuzz")]
struct Arguments {
    /// Only targets whose names contain this.
    #[arg(default_value = "")]
    target: String,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What chance starts from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Feeds one file, and nothing else.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Writes a file of each format into this folder, for the tests that bytes at rest do not change.
    #[arg(long, value_name = "FOLDER")]
    golden: Option<PathBuf>,
    /// Writes what each target begins with into a folder of this one, and prints its name and its longest input.
    #[arg(long, value_name = "FOLDER")]
    prepare: Option<PathBuf>,
    /// Where to put what is found.
    #[arg(long, default_value = "target/fuzz")]
    dir: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut fine = ALL.iter().any(|target| target.name.contains(&arguments.target));
    if !fine {
        let names: Vec<&str> = ALL.iter().map(|target| target.name).collect();
        eprintln!("no target is called {}; there are {}", arguments.target, names.join(", "));
    }
    for target in ALL.iter().filter(|target| target.name.contains(&arguments.target)) {
        if let Some(folder) = &arguments.golden {
            for (number, seed) in (target.seeds)().iter().enumerate().filter(|_| target.read.is_some()) {
                let path = folder.join(format!("{}-{number}", target.name));
                if let Err(error) = fs::write(&path, seed) {
                    eprintln!("writing {}: {error}", path.display());
                    fine = false;
                }
            }
            continue;
        }
        if let Some(folder) = &arguments.prepare {
            match prepare(target, &folder.join(target.name)) {
                Ok(()) => println!("{} {}", target.name, target.bytes_max),
                Err(error) => {
                    eprintln!("preparing {}: {error}", target.name);
                    fine = false;
                }
            }
            continue;
        }
        if let Some(path) = &arguments.input {
            match fs::read(path) {
                Ok(input) => (target.feed)(&input),
                Err(error) => {
                    eprintln!("reading {}: {error}", path.display());
                    fine = false;
                }
            }
            continue;
        }
        let budget =
            Budget { mutations: None, time: Some(Duration::from_secs(arguments.seconds)), seed: arguments.seed };
        match run(target, budget, Some(&arguments.dir.join(target.name))) {
            Ok(report) => println!("{}: {report}", target.name),
            Err(why) => {
                eprintln!("{why}");
                fine = false;
            }
        }
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Sound inputs, and the words of the format as libFuzzer reads them.
fn prepare(target: &Target, folder: &Path) -> io::Result<()> {
    let sound = folder.join("sound");
    fs::create_dir_all(&sound)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(sound.join(number.to_string()), seed)?;
    }
    let escaped = |word: &&[u8]| word.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let words: String = target.words.iter().map(|word| format!("\"{}\"\n", escaped(word))).collect();
    // One line at least: libFuzzer refuses a dictionary without words.
    fs::write(folder.join("words.dict"), format!("\"\\x00\"\n{words}"))
}
