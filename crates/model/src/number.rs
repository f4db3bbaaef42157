//! Counters of a volume's history. Zero always means "none yet".

use std::fmt;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $repr:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $repr);

        impl $name {
            /// "None yet": smaller than every number that was given out.
            pub const ZERO: Self = Self(0);

            /// No volume counts further than this. A greater number that comes from outside is damage, and below it
            /// counting on cannot overflow.
            pub const CEILING: Self = Self(<$repr>::MAX / 2);

            /// Whether a number that comes from outside can be one that was given out.
            #[must_use]
            pub fn is_sound(self) -> bool {
                self <= Self::CEILING
            }

            /// The number after this one.
            ///
            /// # Panics
            /// When the counter is exhausted, which at a million steps a second takes longer than
            /// any volume lives. What comes from outside is held against the ceiling before it is counted on.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("BUG: counter exhausted"))
            }

            /// Whether anything was numbered at all.
            #[must_use]
            pub fn is_zero(self) -> bool {
                self.0 == 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// Log sequence number: one per acknowledged commit, dense, local to a volume's history.
    Lsn, u64
}
counter! {
    /// Transaction id of a sync: one object in the store whose creation is the commit point.
    Txid, u64
}
counter! {
    /// Which writer this is. Each writable open takes the next one.
    Epoch, u32
}

impl Txid {
    /// The number before this one; zero stays zero.
    #[must_use]
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// Random identity of one local journal, so of one host's share in a volume's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WriterId(pub u64);

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
