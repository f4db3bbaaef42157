//! Which level-0 objects are history.
//!
//! A late request of a dead writer may create an old name after its object was merged and deleted.
//! Whoever reads the newest state never sees such a stray, since a merged file covers it; whoever
//! uses level 0 for an earlier state trusts only what the head links back to.

use plimsoll_model::Txid;

/// What a level-0 object says about itself and its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its TXID.
    pub txid: Txid,
    /// Its file checksum.
    pub checksum: u64,
    /// The file checksum of its predecessor; `None` if something else than Plimsoll wrote it.
    pub link: Option<u64>,
}

/// The lowest TXID of the run that links back, without a gap, from the highest; `None` of nothing.
///
/// `objects` in ascending order of TXID. An object without a link vouches for its predecessor only
/// by its number: such a writer does not fence, and leaves no strays of ours.
#[must_use]
pub fn trusted_from(objects: &[Link]) -> Option<Txid> {
    let mut trusted = objects.last()?;
    for before in objects.iter().rev().skip(1) {
        let linked = trusted.link.is_none_or(|link| link == before.checksum);
        if before.txid.next() != trusted.txid || !linked {
            break;
        }
        trusted = before;
    }
    Some(trusted.txid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(txid: u64, checksum: u64, link: u64) -> Link {
        Link { txid: Txid(txid), checksum, link: (link != 0).then_some(link) }
    }

    #[test]
    fn the_run_ends_at_a_gap_or_a_broken_link() {
        let cases: [(&[Link], Option<u64>); 6] = [
            (&[], None),
            (&[link(4, 40, 30)], Some(4)),
            (&[link(3, 30, 20), link(4, 40, 30), link(5, 50, 40)], Some(3)),
            (&[link(2, 20, 10), link(4, 40, 30), link(5, 50, 40)], Some(4)),
            (&[link(3, 31, 20), link(4, 40, 30), link(5, 50, 40)], Some(4)),
            (&[link(3, 30, 20), link(4, 40, 0), link(5, 50, 40)], Some(3)),
        ];
        for (objects, from) in cases {
            assert_eq!(trusted_from(objects), from.map(Txid), "{objects:?}");
        }
    }
}
