//! Names of objects, relative to the volume's prefix.

use std::fmt;

use plimsoll_model::Txid;

/// The level of snapshots, each of which is a whole database by itself.
pub const SNAPSHOT_LEVEL: u8 = 9;

/// Folder of the page-index sidecars.
pub const SIDECAR_FOLDER: &str = "index/";

/// Which of Litestream's two ways of naming a store uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// S3 and OSS: `0000/<min>-<max>.ltx`, the level as four hexadecimal digits.
    S3,
    /// Files, GCS, Azure and the others: `ltx/0/<min>-<max>.ltx`, the level in decimal.
    Other,
}

/// One LTX object: which level, and which transactions it merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// 0 for syncs, 1 to 8 for merged files, 9 for snapshots.
    pub level: u8,
    /// First transaction. Never zero.
    pub min: Txid,
    /// Last transaction, not before the first.
    pub max: Txid,
}

impl FileId {
    /// The object of one sync.
    #[must_use]
    pub fn sync(txid: Txid) -> Self {
        FileId { level: 0, min: txid, max: txid }
    }

    /// Whether applying it to nothing gives a whole database.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        self.min == Txid(1)
    }

    /// Key of its page-index sidecar: `index/<level>-<min>-<max>.pix`.
    #[must_use]
    pub fn sidecar_key(&self) -> String {
        format!("{SIDECAR_FOLDER}{}-{}.pix", self.level, self.range())
    }

    /// The file that a sidecar's key belongs to; `None` for keys of any other shape.
    #[must_use]
    pub fn parse_sidecar_key(key: &str) -> Option<Self> {
        let name = key.strip_prefix(SIDECAR_FOLDER)?.strip_suffix(".pix")?;
        let (level, range) = name.split_once('-')?;
        FileId::new(decimal_level(level)?, range)
    }

    fn range(&self) -> String {
        format!("{:016x}-{:016x}", self.min.0, self.max.0)
    }

    fn new(level: u8, range: &str) -> Option<Self> {
        let (min, max) = range.split_once('-')?;
        let (min, max) = (txid(min)?, txid(max)?);
        (!min.is_zero() && min <= max).then_some(FileId { level, min, max })
    }
}

/// `level 0 0000000000000001-0000000000000001`, for messages.
impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {} {}", self.level, self.range())
    }
}

impl Layout {
    /// The folder of a level; ends with `/`.
    #[must_use]
    pub fn folder(self, level: u8) -> String {
        match self {
            Layout::S3 => format!("{level:04x}/"),
            Layout::Other => format!("ltx/{level}/"),
        }
    }

    /// The key of a file.
    #[must_use]
    pub fn key(self, id: &FileId) -> String {
        format!("{}{}.ltx", self.folder(id.level), id.range())
    }

    /// The file that a key names. `None` for keys of any other shape, which are nobody's business:
    /// our own records, upper-case digits, a file in a subfolder, an empty or inverted range.
    #[must_use]
    pub fn parse(self, key: &str) -> Option<FileId> {
        let (level, name) = match self {
            Layout::S3 => {
                let (level, name) = key.split_once('/')?;
                let digits = level.strip_prefix("000")?;
                (decimal_level(digits)?, name)
            }
            Layout::Other => {
                let (level, name) = key.strip_prefix("ltx/")?.split_once('/')?;
                (decimal_level(level)?, name)
            }
        };
        FileId::new(level, name.strip_suffix(".ltx")?)
    }
}

/// One digit: level 9 is the highest, so decimal and hexadecimal agree.
fn decimal_level(word: &str) -> Option<u8> {
    match word.as_bytes() {
        [digit @ b'0'..=b'9'] => Some(digit - b'0'),
        _ => None,
    }
}

fn txid(word: &str) -> Option<Txid> {
    let lower_hex = word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if word.len() != 16 || !lower_hex {
        return None;
    }
    u64::from_str_radix(word, 16).ok().map(Txid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(level: u8, min: u64, max: u64) -> FileId {
        FileId { level, min: Txid(min), max: Txid(max) }
    }

    #[test]
    fn keys_are_those_of_litestream() {
        assert_eq!(Layout::S3.key(&FileId::sync(Txid(1))), "0000/0000000000000001-0000000000000001.ltx");
        assert_eq!(Layout::S3.key(&id(9, 1, 0xab)), "0009/0000000000000001-00000000000000ab.ltx");
        assert_eq!(Layout::Other.key(&id(0, 2, 2)), "ltx/0/0000000000000002-0000000000000002.ltx");
        assert_eq!(Layout::Other.folder(9), "ltx/9/");
        assert_eq!(id(1, 2, 30).sidecar_key(), "index/1-0000000000000002-000000000000001e.pix");
    }

    #[test]
    fn every_key_parses_back() {
        for file in [id(0, 1, 1), id(3, 7, u64::MAX), id(9, 1, 0xdead_beef)] {
            for layout in [Layout::S3, Layout::Other] {
                assert_eq!(layout.parse(&layout.key(&file)), Some(file));
                assert!(layout.key(&file).starts_with(&layout.folder(file.level)));
            }
            assert_eq!(FileId::parse_sidecar_key(&file.sidecar_key()), Some(file));
        }
    }

    #[test]
    fn names_of_other_shapes_are_nobodys_business() {
        for key in [
            "volume.json",
            "0000/",
            "0000/0000000000000001-0000000000000001.ltx.tmp",
            "0000/x/0000000000000001-0000000000000001.ltx",
            "0000/000000000000000A-000000000000000A.ltx",
            "0000/0000000000000000-0000000000000001.ltx",
            "0000/0000000000000002-0000000000000001.ltx",
            "0000/+000000000000001-0000000000000001.ltx",
            "000a/0000000000000001-0000000000000001.ltx",
            "00000/0000000000000001-0000000000000001.ltx",
            "0/0000000000000001-0000000000000001.ltx",
            "ltx/0/0000000000000001-0000000000000001.ltx",
        ] {
            assert_eq!(Layout::S3.parse(key), None, "{key}");
        }
        for key in [
            "ltx/00/0000000000000001-0000000000000001.ltx",
            "ltx/10/0000000000000001-0000000000000001.ltx",
            "0000/0000000000000001-0000000000000001.ltx",
            "ltx/0/sub/0000000000000001-0000000000000001.ltx",
        ] {
            assert_eq!(Layout::Other.parse(key), None, "{key}");
        }
        assert_eq!(FileId::parse_sidecar_key("index/0-0000000000000001-0000000000000001.ltx"), None);
    }
}
