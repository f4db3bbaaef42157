//! `plimsoll takeover URL`: takes a volume from a writer that is gone, and says what that one took with it.

use std::io::{Write, stdout};

use plimsoll_volume::LossReport;
use serde_json::json;

use super::{
    copying::{PATIENCE, give_up},
    patience::patiently,
};
use crate::{
    exit::Result,
    progress,
    setup::{Setup, no_volume},
    units,
};

pub(crate) fn run(setup: &Setup, typed: &str) -> Result<()> {
    let bar = progress::waiting(setup, "taking over");
    let volume = setup.open(typed, PATIENCE)?;
    let url = volume.status().url;
    if volume.page_size().is_none() && !volume.dir().has_journal()? {
        return Err(give_up(volume, no_volume("taking over", url)).into());
    }
    let loss = match patiently(setup, || volume.take_over()) {
        Ok(loss) => loss,
        Err(error) => return Err(give_up(volume, error).into()),
    };
    let status = volume.status();
    volume.close()?;
    bar.finish_and_clear();
    let mut out = stdout();
    if setup.json {
        let report = json!({ "url": url, "epoch": status.epoch, "txid": status.txid, "loss": loss });
        return Ok(writeln!(out, "{report}")?);
    }
    writeln!(out, "took over at TXID {}; any host may open it now", status.txid)?;
    match &loss {
        None => writeln!(out, "nobody held it, so nothing was lost")?,
        Some(loss) => write!(out, "{}", words(loss, setup.process.host.clock.wall().0))?,
    }
    Ok(())
}

/// A loss in words that promise no more than is known.
pub(crate) fn words(loss: &LossReport, now_ms: u64) -> String {
    let LossReport { epoch, host, commits, bytes, window_ms, acknowledged, held, settled, alive_ms, .. } = loss;
    let alive = units::ago(now_ms, *alive_ms);
    if *commits == 0 {
        return format!(
            "the history holds everything that epoch {epoch} on {host} had advertised, up to commit {held}; \
             what it acknowledged after its last sign of life, {alive}, is not known\n"
        );
    }
    let most = if *settled { "" } else { "at most " };
    format!(
        "epoch {epoch} on {host} last advertised {most}{} ({} at most) that the history does not hold: \
         {} to {acknowledged}, made within {}\n\
         that was {alive}; what it acknowledged later is not counted\n\
         if that host comes back, it keeps them aside: plimsoll stranded ls\n",
        units::counted(*commits, "acknowledged commit"),
        units::bytes(*bytes),
        held + 1,
        units::span(std::time::Duration::from_millis(*window_ms)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_with_what_is_not_known() {
        let loss = LossReport {
            epoch: 3,
            host: "h1".into(),
            writer: "ab".into(),
            commits: 2,
            bytes: 2048,
            window_ms: 1500,
            acknowledged: 9,
            held: 7,
            settled: true,
            alive_ms: 1000,
        };
        let text = words(&loss, 6000);
        assert!(text.contains("2 acknowledged commits (2 KiB at most)"), "{text}");
        assert!(text.contains("8 to 9, made within 1.5 s") && text.contains("that was 5.0 s ago"), "{text}");
        assert!(text.contains("later is not counted"), "{text}");
        let none = words(&LossReport { commits: 0, held: 9, ..loss }, 6000);
        assert!(none.contains("holds everything") && none.contains("is not known"), "{none}");
    }
}
