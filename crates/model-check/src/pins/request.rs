//! What changes the store, and may reach it after its sender has died.

/// An announcement's name: its collector's epoch, and which of its announcements it is.
pub(super) type Key = (u8, u8);

/// Something that a collector asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Request {
    Announce {
        key: Key,
        objects: u8,
    },
    Decide {
        key: Key,
        by: u8,
        go: bool,
    },
    /// Objects go one after the other, in any order that matters: the store may stop half-way.
    Remove {
        objects: u8,
    },
    /// The announcement, the decision beside it, or one after the other.
    Tidy {
        key: Key,
        announcement: bool,
        decision: bool,
    },
}

/// What a create was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    /// There now, and ours.
    Ours,
    Taken,
}

/// What lies in the store, but for the pin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) epoch: u8,
    pub(super) objects: u8,
    pub(super) pinned: bool,
    pub(super) announced: Vec<(Key, u8)>,
    /// Who decided, and what.
    pub(super) decided: Vec<(Key, u8, bool)>,
}

impl Store {
    pub(super) fn announcement(&self, key: Key) -> Option<u8> {
        self.announced.iter().find(|(other, _)| *other == key).map(|(_, objects)| *objects)
    }

    pub(super) fn decision(&self, key: Key) -> Option<bool> {
        self.decided.iter().find(|(other, ..)| *other == key).map(|(.., go)| *go)
    }

    /// What comes of a request, and what is left to do of it.
    pub(super) fn apply(&mut self, request: &Request) -> (Outcome, Option<Request>) {
        match *request {
            Request::Announce { key, objects } => {
                if self.announcement(key).is_none() {
                    self.announced.push((key, objects));
                    self.announced.sort_unstable();
                }
                (Outcome::Ours, None)
            }
            Request::Decide { key, by, go } => {
                if self.decision(key).is_none() {
                    self.decided.push((key, by, go));
                    self.decided.sort_unstable();
                }
                let ours = self.decided.contains(&(key, by, go));
                (if ours { Outcome::Ours } else { Outcome::Taken }, None)
            }
            Request::Remove { objects } => {
                let first = objects & objects.wrapping_neg();
                self.objects &= !first;
                let rest = objects & !first;
                (Outcome::Ours, (rest != 0).then_some(Request::Remove { objects: rest }))
            }
            Request::Tidy { key, announcement, decision } => {
                if announcement {
                    self.announced.retain(|(other, _)| *other != key);
                } else {
                    self.decided.retain(|(other, ..)| *other != key);
                }
                let rest = announcement && decision;
                (Outcome::Ours, rest.then_some(Request::Tidy { key, announcement: false, decision }))
            }
        }
    }
}

impl Request {
    pub(super) fn words(&self) -> String {
        match self {
            Request::Announce { objects, .. } => format!("announces {}", names(*objects)),
            Request::Decide { key, go: true, .. } => format!("decides for what collector {} announced", key.0),
            Request::Decide { key, go: false, .. } => format!("decides against what collector {} announced", key.0),
            Request::Remove { objects } => format!("removes {}", names(objects & objects.wrapping_neg())),
            Request::Tidy { key, announcement: true, .. } => format!("removes the announcement of collector {}", key.0),
            Request::Tidy { key, .. } => format!("removes the decision about what collector {} announced", key.0),
        }
    }
}

pub(super) fn names(objects: u8) -> &'static str {
    match objects {
        0 => "nothing",
        1 => "what the pin names",
        2 => "the other object",
        _ => "both objects",
    }
}
