//! How large the world is.

use crate::{Scene, Step};

/// How far everything goes. Within these bounds every order of events is looked at.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Bounds {
    /// What has happened already.
    #[arg(long, value_enum, default_value = "left")]
    pub scene: Scene,
    /// Writable opens, besides those of the scene.
    #[arg(long, default_value_t = 2)]
    pub opens: u8,
    /// Highest TXID.
    #[arg(long, default_value_t = 4)]
    pub txid_max: u8,
    /// Highest LSN.
    #[arg(long, default_value_t = 2)]
    pub lsn_max: u8,
    /// Requests that may be on their way at once; a writer whose request would be one more waits.
    #[arg(long, default_value_t = 2)]
    pub flying_max: usize,
    /// Whether writers merge and collect.
    #[arg(long)]
    pub merging: bool,
    /// Whether somebody reads.
    #[arg(long)]
    pub reader: bool,
    /// Whether signs of life are shown.
    #[arg(long)]
    pub beats: bool,
    /// Whether first signs of life are sent twice, and the second one comes at any time.
    #[arg(long)]
    pub greetings: bool,
    /// Whether hosts lose power, and with it the last commits of their journals.
    #[arg(long)]
    pub power: bool,
}

/// Worlds with the whole protocol.
pub struct Worlds;

impl Worlds {
    /// What tests look at: from the beginning, and from the middle of what each step is for.
    #[must_use]
    pub fn small() -> Vec<(&'static str, Bounds)> {
        vec![
            ("two opens", Bounds { txid_max: 3, ..Bounds::SMALL }),
            ("two opens of a new volume", Bounds { scene: Scene::New, txid_max: 2, flying_max: 2, ..Bounds::SMALL }),
            ("a fence that comes late", Bounds::for_step(Step::ReadTailAgain)),
            ("two writers of nothing", Bounds::for_step(Step::Silence)),
            ("a sync that comes late, a reader", Bounds::for_step(Step::Listed)),
            ("a journal that was left", Bounds::for_step(Step::Strand)),
            ("a sign of life that comes late", Bounds::for_step(Step::CreateGreeting)),
            ("two opens, signs of life that come late", Bounds { txid_max: 3, greetings: true, ..Bounds::SMALL }),
            (
                "a new volume, power is lost",
                Bounds { scene: Scene::New, txid_max: 2, flying_max: 2, power: true, ..Bounds::SMALL },
            ),
            ("a first sync that comes after its commits were lost", Bounds::for_step(Step::Parted)),
        ]
    }

    /// What the command looks at besides.
    #[must_use]
    pub fn larger() -> Vec<(&'static str, Bounds)> {
        vec![
            ("three opens", Bounds { opens: 3, txid_max: 5, ..Bounds::SMALL }),
            ("three opens of a new volume", Bounds { scene: Scene::New, opens: 3, txid_max: 3, ..Bounds::SMALL }),
            ("two opens, merging", Bounds { txid_max: 3, merging: true, flying_max: 2, ..Bounds::SMALL }),
        ]
    }

    /// What takes hours, and gigabytes of memory.
    #[must_use]
    pub fn full() -> Vec<(&'static str, Bounds)> {
        let full = Bounds { merging: true, beats: true, flying_max: 2, ..Bounds::SMALL };
        vec![
            ("two opens, merging, signs of life", full),
            ("two opens, merging, a reader", Bounds { reader: true, beats: false, ..full }),
            ("two opens of a new volume, merging", Bounds { scene: Scene::New, txid_max: 3, ..full }),
            ("three opens, merging", Bounds { opens: 3, txid_max: 5, beats: false, ..full }),
        ]
    }
}

impl Bounds {
    /// From the middle of something on.
    pub(crate) const MIDST: Bounds =
        Bounds { opens: 0, txid_max: 5, lsn_max: 3, flying_max: 2, merging: true, ..Bounds::SMALL };
    pub(crate) const SMALL: Bounds = Bounds {
        scene: Scene::Left,
        opens: 2,
        txid_max: 4,
        lsn_max: 2,
        flying_max: 1,
        merging: false,
        reader: false,
        beats: false,
        greetings: false,
        power: false,
    };

    /// A world in which a step is missed soon.
    #[must_use]
    pub fn for_step(step: Step) -> Bounds {
        match step {
            Step::Fence | Step::GiveUp | Step::Compare => Bounds { lsn_max: 3, flying_max: 2, ..Bounds::SMALL },
            Step::Aftermath => Bounds { lsn_max: 3, flying_max: 2, beats: true, ..Bounds::SMALL },
            Step::CreateGreeting => {
                let late = Bounds { scene: Scene::LateGreeting, opens: 1, lsn_max: 2, merging: false, ..Bounds::MIDST };
                Bounds { greetings: true, ..late }
            }
            Step::Parted => {
                Bounds { scene: Scene::LostTail, opens: 1, txid_max: 3, merging: false, power: true, ..Bounds::MIDST }
            }
            Step::ReadTailAgain => Bounds { scene: Scene::LateFence, lsn_max: 4, ..Bounds::MIDST },
            Step::Silence => {
                Bounds { scene: Scene::TwoOfNothing, txid_max: 2, lsn_max: 2, beats: true, ..Bounds::MIDST }
            }
            Step::Look | Step::Retention | Step::Covered | Step::Link => {
                Bounds { scene: Scene::LateSync, ..Bounds::MIDST }
            }
            Step::Listed => Bounds { scene: Scene::LateSync, reader: true, ..Bounds::MIDST },
            Step::Strand => {
                Bounds { scene: Scene::LeftJournal, opens: 1, txid_max: 6, merging: false, ..Bounds::MIDST }
            }
        }
    }
}
