//! Settings that change while the volume is open.

use std::{fs, time::Duration};

use plimsoll_host::os;
use plimsoll_metrics::Metrics;
use plimsoll_model::{ErrorKind, Level};
use plimsoll_store::VolumeUrl;
use plimsoll_volume::{Connections, Opening, Process};

use crate::world::{World, put, settings};

#[test]
fn a_shorter_interval_holds_for_what_is_pending_already() {
    let world = World::new(1);
    let volume = world.machine("a").open(&[("sync_interval_ms", "60000")]);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    world.run_for(1000);
    assert_eq!(volume.status().durable.lsn, 0);
    let adopted = volume.adopt(&settings(&[("sync_interval_ms", "100"), ("hydrate", "true")]));
    assert_eq!(adopted.taken, ["sync_interval_ms"]);
    assert_eq!(adopted.kept, ["hydrate"], "read only when a volume is opened");
    world.run_for(200);
    assert_eq!(volume.status().durable.lsn, 1);
}

#[test]
fn a_changed_load_line_and_journal_policy_hold_for_the_next_commit() {
    let world = World::new(2);
    let mut machine = world.machine("a");
    let lazy = ("sync_interval_ms", "60000");
    let volume = machine.open(&[lazy, ("journal_sync_policy", "manual")]);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    volume.adopt(&settings(&[
        lazy,
        ("journal_sync_policy", "immediate"),
        ("max_dirty_bytes", "3000"),
        ("on_load_line", "fail"),
    ]));
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    assert_eq!(volume.status().journaled.lsn, 2);
    assert_eq!(volume.status().load.max_dirty_bytes, 3000);
    let refused = (3..9).find_map(|mark| put(&volume, &[(1, mark)], 1, Level::Buffered).err()).unwrap();
    assert_eq!(refused.kind(), ErrorKind::Full);
    machine.lose_power();
    assert!(machine.open(&[]).head().0 >= 2);
}

#[test]
fn a_changed_settings_file_is_taken_up_while_the_volume_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plimsoll.toml");
    fs::write(&file, "sync_interval_ms = 60000\n").unwrap();
    let environment = [
        ("PLIMSOLL_CONFIG".to_owned(), file.display().to_string()),
        ("PLIMSOLL_STATE_DIR".to_owned(), dir.path().join("state").display().to_string()),
    ];
    let process = Process {
        host: os::host().unwrap(),
        metrics: Metrics::new(),
        environment: environment.into(),
        host_name: "a".into(),
        pid: 1,
        connections: Connections::default(),
    };
    let url = VolumeUrl::parse("memory:///a-changed-settings-file").unwrap();
    let volume = process.open(Opening { url, overrides: Vec::new(), read_only: false }).unwrap();
    assert_eq!(volume.settings().sync_interval, Duration::from_secs(60));
    fs::write(&file, "sync_interval_ms = 50\n").unwrap();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(100));
        if volume.settings().sync_interval == Duration::from_millis(50) {
            volume.close().unwrap();
            return;
        }
    }
    panic!("still {:?} after ten seconds", volume.settings().sync_interval);
}
