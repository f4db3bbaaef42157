//! Who pins: creates the pin, reads the announcements, lists the objects; then the pin holds, or is removed.

use super::{
    PINNED, PinStep, Protocol,
    request::{Key, Store},
};

/// How far it has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Has listed a state, and is about to pin it.
    #[default]
    Listed,
    Created,
    /// Has listed the announcements, and reads one after the other.
    Reading(Vec<Key>),
    /// None names its object.
    Unannounced,
    /// Its object was there.
    There,
    Kept,
    GivingUp,
    GivenUp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Maker {
    pub(super) phase: Phase,
}

impl Maker {
    pub(super) fn go_on(&mut self, store: &mut Store, protocol: &Protocol) {
        let announcements_first = protocol.takes(PinStep::AnnouncementsFirst);
        self.phase = match std::mem::take(&mut self.phase) {
            Phase::Listed => {
                store.pinned = protocol.takes(PinStep::PinFirst);
                if announcements_first { Phase::Created } else { objects(store, Phase::There) }
            }
            Phase::Created | Phase::There if !announcements_first && !protocol.takes(PinStep::ReadAnnouncements) => {
                Phase::Unannounced
            }
            Phase::Created if !protocol.takes(PinStep::ReadAnnouncements) => Phase::Unannounced,
            Phase::There if announcements_first => keep(store),
            Phase::Created | Phase::There => Phase::Reading(store.announced.iter().map(|(key, _)| *key).collect()),
            Phase::Reading(mut keys) => match keys.pop() {
                None => Phase::Unannounced,
                Some(key) if store.announcement(key).is_some_and(|objects| objects & PINNED != 0) => Phase::GivingUp,
                Some(_) => Phase::Reading(keys),
            },
            Phase::Unannounced if !announcements_first || !protocol.takes(PinStep::ListObjects) => keep(store),
            Phase::Unannounced => objects(store, Phase::There),
            Phase::GivingUp => {
                store.pinned = false;
                Phase::GivenUp
            }
            ended @ (Phase::Kept | Phase::GivenUp) => ended,
        };
    }

    pub(super) fn words(&self, after: &Phase) -> String {
        let did = match &self.phase {
            Phase::Listed => "has listed a state, and creates the pin",
            Phase::Created => "lists the announcements",
            Phase::Reading(keys) if keys.is_empty() => "has read the announcements",
            Phase::Reading(_) => "reads an announcement",
            Phase::Unannounced | Phase::There => "looks whether its object is there",
            Phase::GivingUp => "removes the pin",
            Phase::Kept | Phase::GivenUp => "is done",
        };
        let then = if *after == Phase::Kept { ": the pin holds" } else { "" };
        format!("{did}{then}")
    }
}

fn objects(store: &Store, there: Phase) -> Phase {
    if store.objects & PINNED == 0 { Phase::GivingUp } else { there }
}

fn keep(store: &mut Store) -> Phase {
    store.pinned = true;
    Phase::Kept
}
