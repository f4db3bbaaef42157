use plimsoll_model::{ErrorKind, Level};

use crate::world::{Machine, World, marks, put};

const LAZY: (&str, &str) = ("sync_interval_ms", "60000");

/// What a scrape of a machine's process shows.
fn shown(machine: &Machine, name: &str) -> f64 {
    labelled(machine, name, "")
}

fn labelled(machine: &Machine, name: &str, label: &str) -> f64 {
    let text = machine.metrics.encode();
    let start = format!("plimsoll_{name}{{");
    let line = text.lines().find(|line| line.starts_with(&start) && line.contains(label));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// A scrape once showed them at risk for as long as the process lived.
#[test]
fn commits_that_were_synced_and_let_go_are_at_risk_no_longer() {
    let world = World::new(1);
    let machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    put(&volume, &[(2, 1)], 2, Level::Buffered).unwrap();
    assert_eq!(shown(&machine, "load_commits"), 2.0);
    volume.release().unwrap();
    for gauge in ["load_commits", "load_bytes", "load_pages", "load_age_seconds"] {
        assert_eq!(shown(&machine, gauge), 0.0, "{gauge}");
    }
    assert_eq!(labelled(&machine, "watermark_lsn", "durable"), 2.0);
}

#[test]
fn commits_that_were_stranded_are_not_shown_as_waiting_for_a_sync() {
    let world = World::new(2);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&[LAZY]);
    put(&old, &[(1, 1)], 1, Level::Durable).unwrap();
    let tail = put(&old, &[(1, 2)], 1, Level::Journaled).unwrap();
    assert_eq!(shown(&first, "load_commits"), 1.0);
    put(&second.open(&[("takeover", "true")]), &[(1, 3)], 1, Level::Durable).unwrap();
    assert_eq!(tail.wait(Level::Durable).unwrap_err().kind(), ErrorKind::Fenced);
    world.run_for(100);
    assert_eq!(shown(&first, "load_commits"), 0.0);
    assert_eq!(shown(&first, "stranded_commits_total"), 1.0);
}

#[test]
fn what_the_cache_holds_and_answers_is_shown_and_its_counts_outlive_the_volume() {
    let world = World::new(3);
    let (writer, reader) = (world.machine("writer"), world.machine("reader"));
    let volume = writer.open(&[]);
    put(&volume, &[(1, 1), (2, 2), (3, 3), (4, 4)], 4, Level::Durable).unwrap();
    let volume = reader.open(&[]);
    assert_eq!(shown(&reader, "cache_hits_total"), 0.0);
    assert_eq!(marks(&volume), [1, 2, 3, 4]);
    let (hits, misses) = (shown(&reader, "cache_hits_total"), shown(&reader, "cache_misses_total"));
    assert!(hits + misses >= 4.0, "{hits} {misses}");
    assert_eq!(shown(&reader, "hydration_ratio"), 1.0);
    assert_eq!(marks(&volume), [1, 2, 3, 4]);
    volume.close().unwrap();
    assert_eq!(shown(&reader, "cache_hits_total"), hits + 4.0);
}
