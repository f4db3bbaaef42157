//! `plimsoll completions SHELL`.

use std::io::{Write, stdout};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{args::Args, exit::Result};

pub(crate) fn run(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    generate(shell, &mut Args::command(), "plimsoll", &mut script);
    Ok(stdout().write_all(&script)?)
}
