//! `plimsoll du URL`: what a volume's objects are kept for.

use std::io::{Write, stdout};

use serde_json::json;

use super::checkpoint::{holding_json, used, what};
use crate::{
    exit::Result,
    setup::Setup,
    table::{number, render, table},
    units,
};

pub(crate) fn run(setup: &Setup, typed: &str) -> Result<()> {
    let located = setup.locate(typed)?;
    let usage = setup.wait(used(setup, &located))?;
    let mut out = stdout().lock();
    if setup.json {
        let pins: Vec<_> = usage.pins.iter().map(holding_json).collect();
        let report = json!({
            "url": located.store.url(), "live": usage.live, "inherited": usage.inherited, "window": usage.window, "pinned": usage.pinned,
            "garbage": usage.garbage, "pins": pins,
        });
        return Ok(writeln!(out, "{report}")?);
    }
    let mut table = table(["bytes", "kept for"], setup.color);
    let total = usage.live + usage.window + usage.pinned + usage.garbage;
    let mut row = |bytes: u64, what: String| {
        table.add_row([number(units::bytes(bytes)), what.into()]);
    };
    row(usage.live, "the newest state".to_owned());
    if usage.inherited > 0 {
        row(
            usage.inherited,
            "the newest state, in the volumes that this fork started with; not counted below".to_owned(),
        );
    }
    row(usage.window, "earlier states within the retention".to_owned());
    row(usage.pinned, "checkpoints and forks alone".to_owned());
    for holding in &usage.pins {
        let what = what(holding);
        let what = if what.is_empty() { what } else { format!(": {what}") };
        row(holding.holds, format!("  {}{what}", holding.name));
    }
    row(usage.garbage, "nothing: garbage".to_owned());
    row(total, "altogether".to_owned());
    Ok(write!(out, "{}", render(&table))?)
}
