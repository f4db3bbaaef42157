//! Changing an input, by chance from a seed.

/// Repeatable chance: SplitMix64.
pub(crate) struct Dice(u64);

/// Numbers at which things change.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// Less than `end`; zero if that is.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.bits() % end as u64) as usize }
    }
}

/// Changes `input` in some places; `other` is an input to take parts from, `words` are what the format is made of.
pub(crate) fn mutate(dice: &mut Dice, input: &mut Vec<u8>, other: &[u8], words: &[&[u8]], bytes_max: usize) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len() + 1);
        match dice.below(10) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = dice.bits() as u8;
                }
            }
            2 => number(dice, input, at),
            3 => {
                let end = (at + 1 + dice.below(16)).min(input.len());
                input.drain(at.min(end)..end);
            }
            4 => {
                let piece: Vec<u8> = (0..=dice.below(8)).map(|_| dice.bits() as u8).collect();
                input.splice(at..at, piece);
            }
            5 => {
                let end = (at + dice.below(64)).min(input.len());
                let piece = input[at..end].to_vec();
                let to = dice.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            6 if !other.is_empty() => {
                let from = dice.below(other.len());
                let piece = &other[from..(from + 1 + dice.below(128)).min(other.len())];
                let end = (at + dice.below(2) * piece.len()).min(input.len());
                input.splice(at..end, piece.iter().copied());
            }
            7 if !words.is_empty() => {
                let word = words[dice.below(words.len())];
                let end = (at + dice.below(2) * word.len()).min(input.len());
                input.splice(at..end, word.iter().copied());
            }
            8 => input.truncate(at),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = byte.wrapping_add(1 + dice.below(3) as u8).wrapping_sub(2);
                }
            }
        }
    }
    input.truncate(bytes_max);
}

/// Puts a number at which things change over what is there, in one of the usual sizes and orders.
fn number(dice: &mut Dice, input: &mut [u8], at: usize) {
    let width = [1, 2, 4, 8][dice.below(4)];
    let value = EDGES[dice.below(EDGES.len())].wrapping_add(dice.below(3) as u64);
    let bytes = if dice.below(2) == 0 {
        value.to_le_bytes()[..width].to_vec()
    } else {
        value.to_be_bytes()[8 - width..].to_vec()
    };
    if let Some(place) = input.get_mut(at..at + width) {
        place.copy_from_slice(&bytes);
    }
}
