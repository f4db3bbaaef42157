use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Counts up, so that every second coin falls the other way.
struct Counting(AtomicU64);

impl Chance for Counting {
    fn bits(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

fn chance(from: u64) -> Counting {
    Counting(AtomicU64::new(from))
}

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk
}

const PATH: &str = "/d/file";

#[test]
fn what_was_synced_survives_and_the_rest_may_go() {
    let disk = disk();
    let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"kept", 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(b"lost", 4).unwrap();
    // The first number drawn says that nothing unsynced stays.
    disk.power_loss(&chance(0));
    assert_eq!(disk.read(Path::new(PATH)).unwrap(), b"kept");
    assert!(file.sync().is_err(), "the file was open when the power went");
}

#[test]
fn a_write_tears_between_sectors_only() {
    let disk = disk();
    let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    file.set_len(2048).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(&[1; 2048], 0).unwrap();
    disk.power_loss(&chance(2));
    let sectors: Vec<u8> = disk.read(Path::new(PATH)).unwrap().chunks(512).map(|sector| sector[0]).collect();
    assert_eq!(sectors, [0, 1, 0, 1]);
}

#[test]
fn a_name_is_lost_without_a_sync_of_its_directory() {
    let disk = disk();
    let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    file.sync().unwrap();
    // The second number drawn is odd: the name does not stay.
    disk.power_loss(&chance(0));
    assert_eq!(disk.list(Path::new("/d")).unwrap(), Vec::<String>::new());
}

#[test]
fn writes_whose_sync_failed_look_fine_until_the_power_goes() {
    let disk = disk();
    let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(b"gone", 0).unwrap();
    disk.fail_syncs(1, 0);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(disk.read(Path::new(PATH)).unwrap(), b"gone");
    disk.power_loss(&chance(1));
    assert_eq!(disk.read(Path::new(PATH)).unwrap(), b"");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = disk();
    let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    disk.set_capacity(Some(6));
    file.write_all_at(b"four", 0).unwrap();
    assert_eq!(file.write_all_at(b"four", 4).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!((disk.used(), disk.read(Path::new(PATH)).unwrap().as_slice()), (6, b"fourfo".as_slice()));
}

#[test]
fn locks_are_free_after_a_kill_and_an_old_holder_does_not_free_the_new_ones() {
    let disk = disk();
    let old = disk.try_lock(Path::new(PATH)).unwrap().expect("free");
    assert!(disk.try_lock(Path::new(PATH)).unwrap().is_none());
    disk.kill();
    let _new = disk.try_lock(Path::new(PATH)).unwrap().expect("free after the kill");
    drop(old);
    assert!(disk.try_lock(Path::new(PATH)).unwrap().is_none());
}

#[test]
fn a_process_that_dies_between_two_changes_makes_neither_half() {
    let disk = disk();
    let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    disk.die_after(1);
    file.write_all_at(b"one", 0).unwrap();
    assert!(file.write_all_at(b"two", 3).is_err() && disk.is_dead() && disk.list(Path::new("/d")).is_err());
    disk.kill();
    assert_eq!(disk.read(Path::new(PATH)).unwrap(), b"one");
}

#[test]
fn a_removed_directory_may_come_back_in_part_until_the_one_above_is_synced() {
    let made = |synced: bool| {
        let disk = SimDisk::new();
        let dir = Path::new("/a/b");
        disk.create_dir_all(dir).unwrap();
        for name in ["1", "2", "3", "4"] {
            disk.open(&dir.join(name), OpenMode::Create).unwrap().sync().unwrap();
        }
        disk.sync_dir(dir).unwrap();
        disk.remove_dir_all(dir).unwrap();
        assert!(disk.list(dir).is_err());
        if synced {
            disk.sync_dir(Path::new("/a")).unwrap();
        }
        disk
    };
    let left: Vec<usize> = (0..20)
        .map(|seed| {
            let disk = made(false);
            disk.power_loss(&chance(seed));
            disk.list(Path::new("/a/b")).map_or(0, |names| names.len())
        })
        .collect();
    assert!(left.iter().any(|left| (1..4).contains(left)), "{left:?}");
    let disk = made(true);
    disk.power_loss(&chance(1));
    assert!(disk.list(Path::new("/a/b")).is_err());
}

#[test]
fn removed_content_is_forgotten_once_nothing_can_bring_it_back() {
    let disk = disk();
    let contents = || disk.state().inodes.len();
    let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[1; 1000], 0).unwrap();
    disk.remove(Path::new(PATH)).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    let mut byte = [0];
    assert_eq!((contents(), file.read_at(&mut byte, 999).unwrap(), byte), (1, 1, [1]), "it is open");
    drop(file);
    assert_eq!(contents(), 0);
    // Without a sync of the folder the power may bring it back, but not that of all who were ever there.
    for number in 0..1000 {
        let path = format!("/d/{number}");
        disk.open(Path::new(&path), OpenMode::CreateNew).unwrap();
        disk.remove(Path::new(&path)).unwrap();
    }
    assert!((1..=100).contains(&contents()), "{}", contents());
}

#[test]
fn of_a_file_that_nobody_syncs_only_the_last_megabyte_may_go() {
    let disk = disk();
    let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    for at in 0..3_u64 << 10 {
        file.write_all_at(&[7; 1024], at << 10).unwrap();
    }
    disk.power_loss(&chance(0));
    let bytes = disk.read(Path::new(PATH)).unwrap();
    assert_eq!(bytes.len(), 2 << 20);
    assert!(bytes.iter().all(|byte| *byte == 7));
}

#[test]
fn a_small_file_that_is_replaced_is_the_old_or_the_new_one_whenever_the_power_goes() {
    let path = Path::new(PATH);
    let (old, new) = (vec![1; 3000], vec![2; 2000]);
    for drawn in 0..8 {
        let disk = disk();
        disk.replace(path, &old).unwrap();
        disk.power_loss(&chance(drawn));
        assert_eq!(disk.read(path).unwrap(), old, "once it was made it stays, {drawn}");
        disk.replace(path, &new).unwrap();
        disk.power_loss(&chance(drawn));
        assert_eq!(disk.read(path).unwrap(), new, "{drawn}");
    }
}

#[test]
fn a_failure_counts_when_it_strikes_and_not_when_it_is_armed() {
    let disk = disk();
    let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[1; 100], 0).unwrap();
    disk.fail_syncs(1, 0);
    disk.fail_writes(1);
    disk.fail_reads(1);
    disk.set_capacity(Some(150));
    let struck = |disk: &SimDisk| {
        let counts = disk.counts();
        [counts.full, counts.failed_syncs, counts.failed_writes, counts.failed_reads]
    };
    assert_eq!(struck(&disk), [0; 4]);
    assert!(file.sync().is_err() && file.write_all_at(&[2; 10], 0).is_err() && file.read_at(&mut [0; 10], 0).is_err());
    file.write_all_at(&[2; 10], 0).unwrap();
    assert_eq!(struck(&disk), [0, 1, 1, 1]);
    assert!(file.write_all_at(&[3; 100], 100).is_err());
    assert_eq!(struck(&disk), [1; 4]);
}
