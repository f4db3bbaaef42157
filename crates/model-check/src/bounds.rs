//! How large the world is.

use crate::Step;

/// How far everything goes. Within these bounds every order of events is looked at.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Bounds {
    /// Whether the volume has no sync at first. Otherwise it has one, of a writer that is gone.
    #[arg(long)]
    pub empty: bool,
    /// Writable opens.
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
}

/// Worlds with the whole protocol.
pub struct Worlds;

impl Worlds {
    /// What tests look at.
    #[must_use]
    pub fn small() -> Vec<(&'static str, Bounds)> {
        vec![
            ("two opens", Bounds { txid_max: 3, ..SMALL }),
            ("two opens of a new volume", Bounds { empty: true, txid_max: 2, flying_max: 2, ..SMALL }),
        ]
    }

    /// What the command looks at.
    #[must_use]
    pub fn full() -> Vec<(&'static str, Bounds)> {
        let full = Bounds { merging: true, beats: true, flying_max: 2, ..SMALL };
        vec![
            ("two opens, merging", full),
            ("two opens, merging, a reader", Bounds { reader: true, beats: false, ..full }),
            ("two opens of a new volume", Bounds { empty: true, txid_max: 3, ..full }),
            ("three opens", Bounds { opens: 3, merging: false, beats: false, ..full }),
        ]
    }
}

const SMALL: Bounds = Bounds {
    empty: false,
    opens: 2,
    txid_max: 4,
    lsn_max: 2,
    flying_max: 1,
    merging: false,
    reader: false,
    beats: false,
};

impl Bounds {
    /// The smallest world in which a step is missed.
    #[must_use]
    pub fn for_step(step: Step) -> Bounds {
        match step {
            Step::Fence | Step::GiveUp | Step::Compare => Bounds { lsn_max: 3, flying_max: 2, ..SMALL },
            Step::Aftermath => Bounds { lsn_max: 3, flying_max: 2, beats: true, ..SMALL },
            Step::Strand => Bounds { opens: 3, txid_max: 6, lsn_max: 3, ..SMALL },
            Step::Look | Step::Retention => Bounds { merging: true, ..SMALL },
            Step::ReadTailAgain | Step::Link => Bounds { merging: true, lsn_max: 3, ..SMALL },
            Step::Silence => Bounds { empty: true, merging: true, beats: true, txid_max: 3, lsn_max: 3, ..SMALL },
            Step::Listed => Bounds { merging: true, reader: true, lsn_max: 3, ..SMALL },
        }
    }
}
