//! What hosts do first, each at about a given time, so that a run begins in the middle of something rare.

use std::{sync::Arc, time::Duration};

use plimsoll_model::{Level, Txid};
use plimsoll_volume::Reference;

use crate::{
    handle::{Handle, Stopped},
    network::Doom,
    worker::{Application, Kept},
};

/// What a host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Takes the volume, by force.
    Take,
    /// Commits, as `buffered` or `durable`.
    Write(Level),
    /// Merges and collects.
    Merge,
    /// Looks for something newer.
    Look,
    /// Makes a checkpoint of the state after a sync.
    Pin(u64),
    /// Dies when such a request of its takes effect: one whose name contains this.
    Die(&'static str),
    /// Reads the state after a sync.
    Past(u64),
    /// Announces that the volume is removed, and comes no further.
    NearlyRemove,
    /// Nothing.
    Rest,
}

/// From when to when somebody begins with it, in milliseconds since the beginning, and what.
pub(crate) type Cue = (u64, u64, Act);

/// The cues of each host.
pub(crate) type Scene = &'static [&'static [Cue]];

/// An older writer begins the history of a new volume after a newer one has taken it, and merges. Much later a third one
/// collects that, right after the second one has looked and right before it syncs.
pub(crate) const NEWBORN: Scene = &[
    &[
        (0, 100, Act::Take),
        (700, 1_500, Act::Write(Level::Buffered)),
        (1_700, 2_200, Act::Merge),
        (18_000, 18_000, Act::Rest),
    ],
    &[(300, 500, Act::Take), (13_300, 16_200, Act::Write(Level::Durable)), (18_000, 18_000, Act::Rest)],
    &[(12_600, 13_000, Act::Take), (12_600, 13_000, Act::Merge), (18_000, 18_000, Act::Rest)],
];

/// The fence of the second host is on its way for so long that a third one has taken the volume, written, merged and
/// collected when it arrives.
pub(crate) const LATE_FENCE: Scene = &[
    &[(0, 100, Act::Take), (100, 300, Act::Write(Level::Durable)), (20_000, 20_000, Act::Rest)],
    &[
        (500, 800, Act::Look),
        (900, 1_100, Act::Take),
        (7_500, 9_000, Act::Write(Level::Durable)),
        (9_000, 10_000, Act::Write(Level::Durable)),
        (20_000, 20_000, Act::Rest),
    ],
    &[
        (1_500, 1_700, Act::Take),
        (1_700, 1_900, Act::Write(Level::Durable)),
        (1_900, 2_100, Act::Write(Level::Durable)),
        (2_100, 2_300, Act::Write(Level::Durable)),
        (2_300, 2_500, Act::Write(Level::Durable)),
        (2_500, 2_800, Act::Merge),
        (5_500, 6_000, Act::Write(Level::Durable)),
        (6_000, 6_300, Act::Merge),
        (20_000, 20_000, Act::Rest),
    ],
];

/// A collector has announced what it is about to remove, and its decision is on its way for long. Another one has called
/// that off, and somebody has named a state that is made of it, when the decision arrives.
pub(crate) const LATE_DECISION: Scene = &[
    &[
        (0, 100, Act::Take),
        (100, 300, Act::Write(Level::Durable)),
        (300, 500, Act::Write(Level::Durable)),
        (500, 700, Act::Write(Level::Durable)),
        (700, 900, Act::Write(Level::Durable)),
        (900, 1_100, Act::Write(Level::Durable)),
        (1_300, 1_500, Act::Merge),
        (4_400, 4_600, Act::Write(Level::Durable)),
        (4_800, 5_000, Act::Merge),
        (13_000, 13_000, Act::Rest),
    ],
    &[(5_600, 5_900, Act::Take), (6_000, 6_300, Act::Merge), (13_000, 13_000, Act::Rest)],
    &[(7_500, 8_500, Act::Pin(2)), (13_000, 13_000, Act::Rest)],
];

/// A state is named between a collector's first look at the pins and its announcement, so it takes that back.
pub(crate) const MEETING: Scene =
    &[LATE_DECISION[0], &[(13_000, 13_000, Act::Rest)], &[(5_300, 6_500, Act::Pin(2)), (13_000, 13_000, Act::Rest)]];

/// A writer has said what it has acknowledged and not synced when another one takes the volume from it. Often somebody was about to
/// remove the volume in between.
pub(crate) const ACCOUNT: Scene = &[
    &[
        (0, 100, Act::Take),
        (100, 300, Act::Write(Level::Durable)),
        (300, 900, Act::Write(Level::Buffered)),
        (900, 1_500, Act::Write(Level::Buffered)),
        (8_000, 8_000, Act::Rest),
    ],
    &[(3_000, 4_000, Act::Take), (8_000, 8_000, Act::Rest)],
    &[(2_000, 5_000, Act::NearlyRemove), (8_000, 8_000, Act::Rest)],
];

/// The first host dies once its second sync is in the store. The second one had looked before that, and its fence is on its
/// way to the same name for so long that the third one has taken the volume, written, merged and collected when it arrives.
/// Then the first one comes back, and wants to know what became of its sync.
pub(crate) const STRAY_FENCE: Scene = &[
    &[
        (0, 100, Act::Take),
        (100, 300, Act::Write(Level::Durable)),
        (600, 700, Act::Die("create ltx/0/0000000000000002")),
        (1_300, 1_400, Act::Write(Level::Durable)),
    ],
    &[(750, 850, Act::Take), (14_000, 14_000, Act::Rest)],
    &[
        (1_700, 1_900, Act::Take),
        (1_900, 2_100, Act::Write(Level::Durable)),
        (2_200, 2_500, Act::Merge),
        (7_000, 7_500, Act::Write(Level::Durable)),
        (7_600, 8_000, Act::Merge),
        (14_000, 14_000, Act::Rest),
    ],
];

/// A sync of the first host is on its way for so long that the second one has taken the volume, put its fence where that was
/// to go, merged and collected when it arrives. Then somebody asks for the state of that number.
pub(crate) const STRAY: Scene = &[
    &[
        (0, 100, Act::Take),
        (100, 300, Act::Write(Level::Durable)),
        (300, 500, Act::Write(Level::Durable)),
        (500, 700, Act::Merge),
        (800, 1_000, Act::Write(Level::Buffered)),
        (14_000, 14_000, Act::Rest),
    ],
    &[
        (1_500, 1_700, Act::Take),
        (1_700, 1_900, Act::Write(Level::Durable)),
        (1_900, 2_100, Act::Write(Level::Durable)),
        (2_200, 2_500, Act::Merge),
        (5_000, 5_500, Act::Write(Level::Durable)),
        (5_600, 6_000, Act::Merge),
        (14_000, 14_000, Act::Rest),
    ],
    &[(10_000, 12_000, Act::Past(3)), (14_000, 14_000, Act::Rest)],
];

/// Syncs are older than their retention when a new writer wants to merge them, cannot, since what it reads of them comes
/// damaged, and collects.
pub(crate) const UNMERGED: Scene = &[
    &[
        (0, 100, Act::Take),
        (100, 300, Act::Write(Level::Durable)),
        (300, 500, Act::Write(Level::Durable)),
        (500, 700, Act::Write(Level::Durable)),
        (9_000, 9_000, Act::Rest),
    ],
    &[
        (4_000, 4_200, Act::Take),
        (4_200, 4_500, Act::Write(Level::Durable)),
        (5_200, 5_800, Act::Merge),
        (9_000, 9_000, Act::Rest),
    ],
    &[(9_000, 9_000, Act::Rest)],
];

/// Two hosts want to write while a third one does, and again when that one has been silent for long.
pub(crate) const POLITE: Scene = &[
    &[(0, 100, Act::Write(Level::Durable)), (2_000, 2_500, Act::Write(Level::Durable)), (20_000, 20_000, Act::Rest)],
    &[
        (1_000, 5_000, Act::Write(Level::Durable)),
        (14_000, 15_000, Act::Write(Level::Durable)),
        (20_000, 20_000, Act::Rest),
    ],
    &[(3_000, 9_000, Act::Write(Level::Durable)), (20_000, 20_000, Act::Rest)],
];

impl Application {
    /// Plays this host's part, if the run has only begun.
    pub(crate) fn play(&self, handle: &Arc<Handle>, receipts: &mut Vec<Kept>) -> Result<(), Stopped> {
        let Some(cues) = self.profile.scene.get(self.connection.host) else { return Ok(()) };
        for (from, to, act) in *cues {
            let at = Duration::from_millis(self.dice.between(*from, *to));
            let now = self.world.time.now();
            if now > at + Duration::from_secs(3) {
                continue;
            }
            self.sleep(at.saturating_sub(now));
            match act {
                Act::Take => self.take_over(handle)?,
                Act::Write(level) => self.write_at(handle, receipts, *level)?,
                Act::Merge => drop(handle.volume.compact().map_err(|error| handle.stopped("compact", &error))?),
                Act::Look => handle.refresh()?,
                Act::Pin(txid) => self.checkpoint_of(handle, Some(Txid(*txid)))?,
                Act::Die(request) => self.world.doom(self.connection.group, Doom::Dies, request),
                Act::Past(txid) => {
                    let reference = Reference::Txid(Txid(*txid));
                    let found = handle.look_back(&reference)?;
                    handle.check_past(&reference, &found)?;
                }
                Act::NearlyRemove => self.nearly_remove(handle),
                Act::Rest => {}
            }
        }
        Ok(())
    }
}
