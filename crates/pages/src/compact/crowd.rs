//! When so many objects wait for a merge that it is made before its time, and what that costs. Pure.

use plimsoll_proof::WHOLE_BYTES_MAX;

/// Syncs that are merged without waiting for a timer: short-lived writers never see one, and who opens the volume reads
/// the index of each one that is not merged. By the usual settings, two more than the timer lets come together.
const SYNCS_MAX: usize = 32;
/// The same for bytes of syncs that are so small that they are read whole.
const SYNC_BYTES_MAX: u64 = 4 << 20;
/// Bytes of objects that are not read whole, up to which a merge is cheap.
const LARGE_BYTES_MAX: u64 = 4 << 20;

/// Whether a merge is worth making before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowd {
    /// Too few are waiting.
    None,
    /// It takes some megabytes at most, so also a writer that is there for a moment only may make it.
    Cheap,
    /// It takes up large objects. Who opens the volume reads no more than a description of these, so they crowd nobody.
    Dear,
}

/// What syncs of these sizes, which wait for their first merge, are.
#[must_use]
pub fn crowd(sizes: impl Iterator<Item = u64> + Clone) -> Crowd {
    let small: u64 = sizes.clone().filter(|size| *size <= WHOLE_BYTES_MAX).sum();
    if sizes.clone().count() < SYNCS_MAX && small < SYNC_BYTES_MAX { Crowd::None } else { price(sizes) }
}

/// What a merge of objects of these sizes costs.
#[must_use]
pub fn price(sizes: impl Iterator<Item = u64>) -> Crowd {
    let large: u64 = sizes.filter(|size| *size > WHOLE_BYTES_MAX).sum();
    if large <= LARGE_BYTES_MAX { Crowd::Cheap } else { Crowd::Dear }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_a_crowd_by_number_or_by_the_bytes_that_are_read_whole() {
        let of =
            |sizes: &[(u64, usize)]| crowd(sizes.iter().flat_map(|(size, times)| std::iter::repeat_n(*size, *times)));
        assert_eq!(of(&[]), Crowd::None);
        assert_eq!(of(&[(100, 31)]), Crowd::None);
        assert_eq!(of(&[(100, 32)]), Crowd::Cheap);
        assert_eq!(of(&[(400_000, 10)]), Crowd::None);
        assert_eq!(of(&[(400_000, 11)]), Crowd::Cheap);
        assert_eq!(of(&[(50_000_000, 2), (100, 20)]), Crowd::None, "what is described is not read");
        assert_eq!(of(&[(50_000_000, 1), (100, 31)]), Crowd::Dear);
        assert_eq!(of(&[(4 << 20, 1), (100, 31)]), Crowd::Cheap);
        assert_eq!(of(&[(1 << 20, 5), (400_000, 11)]), Crowd::Dear);
    }
}
