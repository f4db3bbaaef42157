//! Letting a volume go, taking it, and carrying tokens from one host to another.

use std::time::Duration;

use plimsoll_model::ErrorKind;
use plimsoll_volume::{Role, Token};

use crate::{
    coverage::Event,
    handle::{Handle, Stopped},
    pointers::Carried,
    promise::Promise,
    worker::Application,
};

/// How long whoever carries a token waits.
const PATIENCE: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(10)];

impl Application {
    pub(crate) fn release(&self, handle: &Handle) -> Result<(), Stopped> {
        if handle.read_only {
            return Ok(());
        }
        let world = &handle.world;
        let owed = world.judge().owed(handle.host);
        let released = handle.volume.release().map_err(|error| {
            world.count(Event::ReleaseRefused);
            handle.stopped("release", &error)
        })?;
        if self.disk.is_dead() {
            return Ok(());
        }
        self.tell(world, &format!("released: {released:?}"));
        world.count(Event::Release);
        handle.left_behind(&owed);
        Ok(())
    }

    pub(crate) fn take_over(&self, handle: &Handle) -> Result<(), Stopped> {
        if handle.read_only {
            return Ok(());
        }
        let world = &handle.world;
        world.judge().manners.excuse(self.connection.group);
        let (held, failures) = (handle.volume.status().role == Role::Writer, world.failures(self.connection.group));
        let losses = handle.volume.take_over().map_err(|error| handle.stopped("takeover", &error))?;
        if !held && failures == world.failures(self.connection.group) && !handle.volume.is_fenced() {
            handle.accounts_for(world, &losses);
        }
        if losses.is_empty() {
            return Ok(());
        }
        self.tell(world, &format!("{losses:?}"));
        for report in &losses.known {
            world.count(Event::LossReport);
            let held = world.judge().history.held_of(report.epoch);
            if report.held > held || report.acknowledged.saturating_sub(held) > report.commits {
                let why = format!("the history holds {held} commits of the writers up to then: {report:?}");
                handle.object(Promise::NoSilentLoss, &why);
            }
        }
        Ok(())
    }

    pub(crate) fn token(&self, handle: &Handle) -> Result<(), Stopped> {
        let before = handle.pin(false)?.tag;
        let nothing = handle.world.judge().history.head() == 0;
        let token: Token = match handle.volume.token() {
            Ok(token) => token,
            // Nobody has ever written to it.
            Err(error) if error.kind() == ErrorKind::Unsupported && nothing => return Ok(()),
            Err(error) => return Err(handle.stopped("token", &error)),
        };
        let after = handle.pin(false)?.tag;
        if handle.said().fenced || handle.volume.is_fenced() {
            // What it had shown before may be lost.
            return Ok(());
        }
        handle.world.count(Event::Token);
        self.tell(&handle.world, &format!("a token of commit {before}: {token:?}"));
        handle.world.judge().pointers.carry(Carried { token, tag: before, exact: before == after });
        Ok(())
    }

    pub(crate) fn carry(&self, handle: &Handle) -> Result<(), Stopped> {
        let world = &handle.world;
        let carried: Vec<Carried> = world.judge().pointers.tokens.clone();
        if carried.is_empty() {
            return Ok(());
        }
        let Carried { token, tag, exact } = *self.dice.pick(&carried);
        let outcome = handle.volume.wait_token(&token, *self.dice.pick(&PATIENCE));
        self.tell(world, &format!("carries a token of commit {tag}: {outcome:?}"));
        match outcome {
            Ok(()) => {
                world.count(Event::TokenReached);
                let pinned = handle.pin(false)?.tag;
                let fenced = handle.said().fenced || handle.volume.is_fenced();
                if !fenced && !world.judge().commits.contains(pinned, tag) {
                    let why = format!("a token of commit {tag} was reached, and commit {pinned} is read");
                    handle.object(Promise::ForwardReads, &why);
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Fenced => {
                world.count(Event::TokenLost);
                let judge = world.judge();
                let there = exact && judge.commits.contains(judge.history.tag, tag);
                drop(judge);
                if there {
                    handle.object(Promise::NoSilentLoss, &format!("commit {tag} is in the history, and yet: {error}"));
                }
                Ok(())
            }
            Err(error) => {
                if error.kind() == ErrorKind::Unavailable {
                    world.count(Event::TokenLate);
                }
                Err(handle.stopped("carrying a token", &error))
            }
        }
    }
}
