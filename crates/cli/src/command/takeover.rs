//! `plimsoll takeover URL`: takes a volume from a writer that is gone, and says what that one took with it.

use std::{
    io::{Write, stdout},
    time::Duration,
};

use plimsoll_volume::{LossReport, Losses};
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
    volume.say("plimsoll status tells whether it was taken over, and what was lost by that");
    let url = volume.status().url;
    if !volume.exists() && !volume.dir().has_journal()? {
        return Err(give_up(volume, no_volume("taking over", url)).into());
    }
    let losses = match patiently(setup, || volume.take_over()) {
        Ok(losses) => losses,
        Err(error) => return Err(give_up(volume, error).into()),
    };
    let status = volume.status();
    volume.close()?;
    bar.finish_and_clear();
    let mut out = stdout();
    if setup.json {
        let Losses { known, unknown } = &losses;
        let report = json!({
            "url": url, "epoch": status.epoch, "txid": status.txid, "losses": known, "losses_unknown": unknown
        });
        return Ok(writeln!(out, "{report}")?);
    }
    writeln!(out, "took over at TXID {}; any host may open it now", status.txid)?;
    write!(out, "{}", all_words(&losses, setup.process.host.clock.wall().0))?;
    Ok(())
}

/// What is known of those who were pushed aside.
pub(crate) fn all_words(losses: &Losses, now_ms: u64) -> String {
    if losses.is_empty() {
        return "no other host held it, so nothing was lost with one\n".to_owned();
    }
    let known: String = losses.known.iter().map(|loss| words(loss, now_ms)).collect();
    match &losses.unknown {
        None => known,
        Some(why) => format!("{known}somebody else held it, and what is lost by that is not known: {why}\n"),
    }
}

/// A loss in words that promise no more than is known.
fn words(loss: &LossReport, now_ms: u64) -> String {
    let LossReport { epoch, host, commits, bytes, window_ms, acknowledged, held, settled, alive_ms, .. } = loss;
    let alive = units::ago(now_ms, *alive_ms);
    let span = |ms| units::span(Duration::from_millis(ms));
    let said = if *commits == 0 {
        format!(
            "the history holds everything that epoch {epoch} on {host} last advertised, {alive}, and up to commit {held}"
        )
    } else {
        let most = if *settled { "" } else { "at most " };
        format!(
            "epoch {epoch} on {host} last advertised {most}{} ({} at most) that the history does not hold: \
             {} to {acknowledged}, made within {}; that was {alive}",
            units::counted(*commits, "acknowledged commit"),
            units::bytes(*bytes),
            held + 1,
            span(*window_ms),
        )
    };
    let synced = match loss.synced_ms {
        Some(at) => {
            format!("its newest sync is of {}; what it acknowledged after that is lost with it", units::ago(now_ms, at))
        }
        None => "what it acknowledged since is not counted".to_owned(),
    };
    let line = match (loss.line_bytes, loss.line_ms) {
        (Some(bytes), Some(ms)) => {
            format!(": no more than {} made within {} in all, by its load line", units::bytes(bytes), span(ms))
        }
        _ => String::new(),
    };
    format!("{said}\n{synced}{line}\nif that host comes back, it keeps them aside: plimsoll stranded ls\n")
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
            synced_ms: Some(4000),
            line_bytes: Some(65536),
            line_ms: Some(30_000),
        };
        let text = words(&loss, 6000);
        assert!(text.contains("2 acknowledged commits (2 KiB at most)"), "{text}");
        assert!(text.contains("8 to 9, made within 1.5 s") && text.contains("that was 5.0 s ago"), "{text}");
        assert!(text.contains("its newest sync is of 2.0 s ago"), "{text}");
        assert!(text.contains("no more than 64 KiB made within 30 s in all"), "{text}");
        assert!(!text.contains("advertised at most"), "{text}");
        let unsettled = words(&LossReport { settled: false, ..loss.clone() }, 6000);
        assert!(unsettled.contains("advertised at most 2 acknowledged commits"), "{unsettled}");
        let none = words(&LossReport { commits: 0, held: 9, ..loss.clone() }, 6000);
        assert!(none.contains("holds everything") && none.contains("after that is lost"), "{none}");
        assert!(all_words(&Losses::default(), 6000).contains("nothing was lost"));
        let all =
            all_words(&Losses { known: vec![loss.clone(), loss.clone()], unknown: Some("no answer".into()) }, 6000);
        assert_eq!(all.matches("2 acknowledged commits").count(), 2, "{all}");
        assert!(all.ends_with("not known: no answer\n") && !all.contains("nothing was lost"), "{all}");
        let old = words(&LossReport { synced_ms: None, line_bytes: None, line_ms: None, ..loss }, 6000);
        assert!(old.contains("since is not counted\n"), "{old}");
    }
}
