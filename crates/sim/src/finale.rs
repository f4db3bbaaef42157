//! Those who look at what is left: a reader who has never been here, and the last writer of each host.

use std::{sync::Arc, time::Duration};

use plimsoll_commitlog::status_key;
use plimsoll_host::Host;
use plimsoll_model::{Epoch, ErrorKind, Level, PageCount, PageNo};
use plimsoll_settings::Settings;
use plimsoll_volume::{Reference, Role};

use crate::{
    bucket::{Contract, EPOCH_MS},
    coverage::Event,
    handle::Handle,
    machine::Machine,
    network::{Connection, World},
    profile::Profile,
    promise::Promise,
    state::{self, FIRST},
    time::Group,
    worker::open,
};

/// Between two tries of the last writer.
const AGAIN: Duration = Duration::from_secs(1);
/// Whoever takes a volume that was let go asks one thing after the other, however many these are, and waits for nothing
/// else. The shortest time after which a silent holder is given up is 2 s.
const AT_ONCE: Duration = Duration::from_millis(100);
/// How long a sign of life may be on its way beside merging and collecting, when everything is well.
const BEATING: Duration = Duration::from_secs(10);
/// How long merging and collecting may keep a writer from letting go, once it has nothing to write.
const TIDYING: Duration = Duration::from_secs(300);
/// For how long somebody is watched who should send no request. The first time is for what is read in the background.
const QUIET: Duration = Duration::from_secs(60);
/// The reader who has never been here has all the time that it needs.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Whether nobody has taken the volume, since its store does not keep its contract. Then nothing may have been written.
pub(crate) fn is_refused(world: &World) -> bool {
    let (contract, left) = {
        let bucket = world.bucket();
        (bucket.contract, bucket.names_beside(&["probe/"]))
    };
    if matches!(contract, Contract::Vouched | Contract::Kept) || world.judge().epoch > 0 {
        return false;
    }
    if !left.is_empty() {
        world.judge().object(Promise::OneHistory, format!("a store without exclusive creates was given {left:?}"));
    }
    true
}

/// Reads all of the volume on a machine that has never seen it.
pub(crate) fn audit(world: &World, profile: &Profile, machine: &Machine, group: Group) {
    let before = world.judge().history.tag;
    let host = machine.host(world, group);
    let connection = machine.connection(world, group, PATIENCE, true);
    let settings = Arc::new(profile.settings.clone());
    let volume = match open(&connection, &host, &settings, true, false) {
        Ok(volume) => volume,
        Err(error) => {
            return world
                .judge()
                .object(Promise::NothingReachableIsDeleted, format!("a new reader cannot open the volume: {error}"));
        }
    };
    let names: Vec<String> = world.judge().pointers.checkpoints.keys().cloned().collect();
    let handle = Handle::new(world.clone(), machine.number, "audit".into(), host.files, false, volume);
    match handle.pin(true) {
        Ok(pinned) => {
            let current = world.judge().commits.contains(pinned.tag, before);
            if !current {
                handle.object(Promise::ForwardReads, &format!("a new reader sees commit {}, not {before}", pinned.tag));
            }
        }
        Err(stopped) => handle.object(
            Promise::NothingReachableIsDeleted,
            &format!("a new reader cannot read the volume: {:?}", stopped.0),
        ),
    }
    for name in names {
        let reference = Reference::Checkpoint(name);
        // Whatever is wrong is said there.
        if let Ok(found) = handle.look_back(&reference) {
            drop(handle.check_past(&reference, &found));
        }
    }
    if let Err(error) = handle.volume.clone().close() {
        handle.object(Promise::SoundAnswers, &format!("a reader cannot close: {error}"));
    }
}

/// Takes the volume on a machine, checks that everything which it ever acknowledged is there or kept aside, and makes
/// one more commit durable.
pub(crate) fn settle(world: &World, profile: &Profile, machine: &Machine, group: Group) {
    let host = machine.host(world, group);
    let connection = machine.connection(world, group, profile.request_timeout, false);
    let settings = Arc::new(Settings { takeover: true, ..profile.settings.clone() });
    let who = format!("{}.end", machine.name());
    loop {
        host.tasks.wait(host.clock.sleep(AGAIN));
        match open(&connection, &host, &settings, false, profile.wrapped) {
            Ok(volume) => {
                let files = Arc::clone(&host.files);
                let handle = Handle::new(world.clone(), machine.number, who.clone(), files, false, volume);
                if write(&handle, profile, &connection, &host) {
                    return;
                }
            }
            Err(error) => world.trace.line(&who, format_args!("open: {error}")),
        }
    }
}

/// One try; whether it is over.
fn write(handle: &Handle, profile: &Profile, connection: &Connection, host: &Host) -> bool {
    let world = &handle.world;
    // What an earlier process has left may be older than the load line allows, and goes first.
    if let Err(error) = handle.volume.sync() {
        handle.stopped("sync", &error);
        return false;
    }
    let Ok(pinned) = handle.pin(true) else { return false };
    let mut txn = match handle.volume.begin_write(&pinned.snapshot) {
        Ok(txn) => txn,
        Err(error) => {
            handle.stopped("begin", &error);
            return false;
        }
    };
    handle.resumed(pinned.tag);
    handle.strands_only_the_rest(connection, host, profile);
    let found = handle.stranded();
    let lost: Vec<_> = world.judge().stranded(connection.host).difference(&found).copied().collect();
    if !lost.is_empty() {
        handle.object(Promise::NoSilentLoss, &format!("commits {lost:?} were kept aside and are gone"));
    }
    let count = pinned.snapshot.page_count().0.max(1);
    let tag = world.judge().commits.begin(pinned.tag, &[FIRST], count);
    let mut buf = vec![0; txn.base().page_size().unwrap_or(profile.page_size).bytes()];
    state::fill(&mut buf, FIRST, tag);
    let written = txn.write(PageNo::FIRST, &buf).and_then(|()| txn.commit(PageCount(count), Level::Durable));
    match written.and_then(|receipt| receipt.wait(Level::Durable)) {
        Ok(()) => world.judge().durable(tag),
        Err(error) if error.kind() == ErrorKind::Fenced => {
            handle.stopped("the last commit", &error);
            return false;
        }
        Err(error) => handle.object(Promise::SoundAnswers, &format!("everything is well, and yet: {error}")),
    }
    if profile.settings.idle_release.is_zero() {
        gives_signs(handle, profile, host);
    } else {
        lets_go(handle, profile, connection, host);
    }
    if let Err(error) = handle.volume.release() {
        handle.object(Promise::SoundAnswers, &format!("everything is well, and yet letting go says: {error}"));
    }
    if let Err(error) = handle.volume.clone().close() {
        handle.object(Promise::SoundAnswers, &format!("everything is well, and yet closing says: {error}"));
    }
    true
}

/// A writer that holds the volume for longer than a heartbeat shows that it lives.
fn gives_signs(handle: &Handle, profile: &Profile, host: &Host) {
    let (world, span) = (&handle.world, profile.settings.heartbeat + BEATING);
    host.tasks.wait(host.clock.sleep(span));
    let held = handle.volume.status();
    let Some(epoch) = held.epoch.filter(|_| held.role == Role::Writer) else { return };
    let last = world.bucket().get(&status_key(Epoch(epoch))).map_or(0, |status| status.modified.0);
    let silent = Duration::from_millis((EPOCH_MS + u64::try_from(world.time.now().as_millis()).unwrap_or(0)) - last);
    if silent > span {
        handle.object(Promise::Politeness, &format!("it holds the volume, and gave no sign of life for {silent:?}"));
    }
}

/// A writer whose commits are all durable has nothing to write: it lets the volume go by itself, and asks for nothing more.
fn lets_go(handle: &Handle, profile: &Profile, connection: &Connection, host: &Host) {
    let (world, idle) = (&handle.world, profile.settings.idle_release);
    let wait = |time| host.tasks.wait(host.clock.sleep(time));
    let deadline = world.time.now() + idle + TIDYING;
    while handle.volume.status().role == Role::Writer {
        if world.time.now() > deadline {
            return handle.object(Promise::Politeness, &format!("it has had nothing to write for {idle:?} and longer"));
        }
        wait(AGAIN);
    }
    if handle.said().fenced || handle.volume.is_fenced() {
        return;
    }
    world.count(Event::LetGo);
    wait(QUIET);
    let before = connection.waiting.requests();
    wait(QUIET);
    let sent = connection.waiting.requests() - before;
    if sent > 0 {
        handle
            .object(Promise::Politeness, &format!("it let the volume go, and sent {sent} requests in {QUIET:?} later"));
    }
}

/// Takes the volume on a machine that has never seen it, right after another one has let it go: whoever respects a
/// holder has nothing to wait for.
pub(crate) fn take_at_once(world: &World, profile: &Profile, machine: &Machine, group: Group) {
    let host = machine.host(world, group);
    let connection = machine.connection(world, group, PATIENCE, false);
    let settings = Arc::new(Settings { takeover: false, ..profile.settings.clone() });
    let opened = open(&connection, &host, &settings, false, profile.wrapped);
    let taken = opened.and_then(|volume| {
        let handle =
            Handle::new(world.clone(), machine.number, format!("{}.next", machine.name()), host.files, false, volume);
        let snapshot = handle.volume.snapshot()?;
        drop(handle.volume.begin_write(&snapshot)?);
        let waited = connection.waiting.total();
        if waited > AT_ONCE {
            handle.object(Promise::SoundAnswers, &format!("the volume was let go, and taking it waited {waited:?}"));
        }
        world.count(Event::TakenAtOnce);
        handle.volume.clone().close()
    });
    if let Err(error) = taken {
        world.judge().object(Promise::SoundAnswers, format!("the volume was let go, and cannot be taken: {error}"));
    }
}
