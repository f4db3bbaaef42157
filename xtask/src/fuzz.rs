//! `cargo xtask fuzz`: feeds every decoder what nobody wrote, guided by what of our code an input reaches.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    process,
    workspace::{cargo, root, target},
};

#[derive(clap::Args)]
pub(crate) struct Fuzz {
    /// Only targets whose names contain this.
    #[arg(default_value = "")]
    target: String,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What chance starts from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Afterwards, keeps those inputs in `crates/fuzz/corpus` that reach what no other reaches.
    #[arg(long)]
    keep: bool,
    /// Without guidance, by the mutations that run with every test.
    #[arg(long, conflicts_with = "keep")]
    plain: bool,
    /// Feeds one file, and nothing else.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keep", "plain"])]
    input: Option<PathBuf>,
}

/// A target, as `plimsoll-fuzz --prepare` names it.
struct Prepared {
    name: String,
    bytes_max: String,
    /// Sound inputs, words of the format, and what is found.
    dir: PathBuf,
}

impl Fuzz {
    /// # Errors
    /// An input breaks a decoder. It is kept in `target/fuzz`, and its name is printed.
    pub(crate) fn run(self) -> Result<()> {
        if let Some(input) = &self.input {
            return process::run(plain(&self.target).arg("--input").arg(input));
        }
        if self.plain {
            let (seconds, seed) = (self.seconds.to_string(), self.seed.to_string());
            return process::run(plain(&self.target).args(["--seconds", &seconds, "--seed", &seed]));
        }
        let dir = target().join("fuzz");
        let prepared = process::output(plain(&self.target).arg("--prepare").arg(&dir))?;
        build()?;
        let mut bad = Vec::new();
        for line in prepared.lines() {
            let Some((name, bytes_max)) = line.split_once(' ') else { continue };
            let target = Prepared { name: name.to_owned(), bytes_max: bytes_max.to_owned(), dir: dir.join(name) };
            if !self.feed(&target)? {
                bad.push(target.name);
            } else if self.keep {
                keep(&target)?;
            }
        }
        if !bad.is_empty() {
            bail!("there are inputs that break {}", bad.join(", "));
        }
        Ok(())
    }

    /// Runs one target; whether all inputs are fine.
    fn feed(&self, target: &Prepared) -> Result<bool> {
        let found = target.dir.join("found");
        fs::create_dir_all(&found).with_context(|| format!("creating {}", found.display()))?;
        let mut command = guided(target);
        command.arg(&found).args(target.sources());
        command.args([format!("-max_total_time={}", self.seconds), format!("-seed={}", self.seed)]);
        command.arg(format!("-artifact_prefix={}/bad-", target.dir.display()));
        command.arg(format!("-dict={}", target.dir.join("words.dict").display()));
        // An input is decoded in microseconds; this is for what does not end at all.
        command.args(["-timeout=120", "-rss_limit_mb=4096", "-print_final_stats=1"]);
        let output = command.output().with_context(|| format!("starting {}", process::line(&command)))?;
        let words = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            println!("{}: {}", target.name, summary(&words));
        } else {
            println!("{words}\n{}: see above; the same in {}", target.name, target.dir.display());
        }
        Ok(output.status.success())
    }
}

impl Prepared {
    /// What there is to begin with.
    fn sources(&self) -> Vec<PathBuf> {
        let dirs = [corpus(&self.name), self.dir.join("sound")];
        dirs.into_iter().filter(|dir| dir.is_dir()).collect()
    }
}

fn corpus(target: &str) -> PathBuf {
    root().join("crates/fuzz/corpus").join(target)
}

/// Without libFuzzer, for the workspace's compiler as it is.
fn plain(target: &str) -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(root()).args(["run", "--quiet", "--locked", "--bin", "plimsoll-fuzz", "--"]);
    command.arg(target);
    command
}

/// Builds the targets with counters in our crates. What they depend on is that of every other build.
fn build() -> Result<()> {
    let mut command = Command::new(cargo());
    command.current_dir(root()).env("RUSTC_WORKSPACE_WRAPPER", root().join("tools/guided_rustc"));
    command.args(["build", "--quiet", "--locked", "--workspace"]);
    process::run(command.args(["--bin", "plimsoll-fuzz-guided", "--features", "plimsoll-fuzz/guided"]))
}

fn guided(prepared: &Prepared) -> Command {
    let mut command = Command::new(target().join("debug/plimsoll-fuzz-guided"));
    command.current_dir(root()).env("PLIMSOLL_FUZZ_TARGET", &prepared.name);
    command.arg(format!("-max_len={}", prepared.bytes_max));
    command
}

/// What libFuzzer says at its end, in a line.
fn summary(words: &str) -> String {
    let status = words.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: ")).unwrap_or_default();
    let after = |word: &str| status.split(word).nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("?");
    let runs =
        words.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")).unwrap_or("?").trim();
    format!("{runs} inputs; {} branches of our code reached, by {} inputs", after(" cov: "), after(" corp: "))
}

/// Of all that was found, keeps what reaches more than sound inputs do. Inputs with a name of their own stay.
fn keep(target: &Prepared) -> Result<()> {
    let (chosen, corpus) = (target.dir.join("chosen"), corpus(&target.name));
    if chosen.exists() {
        fs::remove_dir_all(&chosen).with_context(|| format!("removing {}", chosen.display()))?;
    }
    copy(&target.dir.join("sound"), &chosen, |_| true)?;
    copy(&corpus, &chosen, |name| !is_found(name))?;
    let mut merge = guided(target);
    // Branches only: how often each was taken would keep ten times as many.
    merge
        .args(["-set_cover_merge=1", "-use_counters=0"])
        .arg(&chosen)
        .arg(target.dir.join("found"))
        .args(target.sources());
    process::output(&mut merge)?;
    if corpus.exists() {
        for (path, name) in files(&corpus)? {
            if is_found(&name) {
                fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
    }
    copy(&chosen, &corpus, is_found)
}

/// Whether libFuzzer has named a file: by its hash.
fn is_found(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn files(dir: &Path) -> Result<Vec<(PathBuf, String)>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let files = entries.map(|entry| {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((path, name))
    });
    files.collect()
}

fn copy(from: &Path, to: &Path, chosen: impl Fn(&str) -> bool) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for (path, name) in files(from)?.into_iter().filter(|(_, name)| chosen(name)) {
        fs::copy(&path, to.join(&name)).with_context(|| format!("copying {}", path.display()))?;
    }
    Ok(())
}
