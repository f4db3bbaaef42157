//! Checking a file that arrives in parts, in memory that does not grow but by some bytes per page.

use std::io::Read;

use plimsoll_model::{PageNo, Result};

use super::Decoded;
use crate::{
    HEADER_BYTES, Header, IndexEntry,
    checksum::FileChecksum,
    fault::{self, corrupt},
    frame::{self, Form, HEAD_BYTES, Head},
    index::{self, END_OF_PAGES, TAIL_BYTES},
    page_hash,
};

/// Checks what [`verify_whole`](super::verify_whole) checks. For readers that cannot wait inside of
/// [`stream`](super::stream): they find out from the file's end where frames begin, and hand over whole ones.
pub struct Parts {
    header: Header,
    checksum: FileChecksum,
    offset: u64,
    before: Option<PageNo>,
    index: Vec<IndexEntry>,
    data: Vec<u8>,
    payload: Vec<u8>,
}

impl Parts {
    /// `header`: the first bytes of the file.
    ///
    /// # Errors
    /// As [`Header::decode`].
    pub fn begin(header: &[u8]) -> Result<Self> {
        let decoded = Header::decode(header)?;
        let mut checksum = FileChecksum::new();
        checksum.update(&header[..HEADER_BYTES]);
        Ok(Parts {
            header: decoded,
            checksum,
            offset: HEADER_BYTES as u64,
            before: None,
            index: Vec::new(),
            data: vec![0; decoded.page_size.bytes()],
            payload: Vec::new(),
        })
    }

    /// Where the next part begins in the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next frames. None may be cut in two.
    ///
    /// # Errors
    /// [`Corrupt`](plimsoll_model::ErrorKind::Corrupt) if anything is wrong that shows already.
    pub fn frames(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let left = bytes.len();
            let mut head = [0; HEAD_BYTES];
            bytes.read_exact(&mut head).map_err(fault::read)?;
            self.checksum.update(&head);
            let Some(Head { page, form }) = Head::decode(head)? else {
                return Err(corrupt("its pages end before its index says so"));
            };
            self.header.check_page(self.before, page).map_err(corrupt)?;
            match form {
                Form::Block => {
                    let prefix = frame::read_block(&mut bytes, &mut self.payload, page, &mut self.data)?;
                    self.checksum.update(&prefix);
                }
                Form::Frame => frame::decompress_frame(&mut bytes, &mut self.payload, page, &mut self.data)?,
            }
            self.checksum.update(&self.data);
            let len = u32::try_from(left - bytes.len()).expect("BUG: the length of a frame is limited");
            self.index.push(IndexEntry { page, offset: self.offset, len, hash: page_hash(&self.data) });
            self.offset += u64::from(len);
            self.before = Some(page);
        }
        Ok(())
    }

    /// Takes everything behind the last frame. What was handed over can be trusted once this returns `Ok`.
    ///
    /// # Errors
    /// [`Corrupt`](plimsoll_model::ErrorKind::Corrupt) if anything is wrong.
    pub fn finish(mut self, end: &[u8]) -> Result<Decoded> {
        let pages = u32::try_from(self.index.len()).expect("BUG: page numbers are distinct and 32 bits long");
        self.header.check_count(pages).map_err(corrupt)?;
        let mut expected = END_OF_PAGES.to_vec();
        for entry in &self.index {
            index::put(&mut expected, &entry.location());
        }
        expected.push(0);
        let varints = (expected.len() - END_OF_PAGES.len()) as u64;
        expected.extend_from_slice(&varints.to_be_bytes());
        let (found, rest) = end.split_at_checked(expected.len()).ok_or_else(fault::cut_short)?;
        if found != expected || rest.len() as u64 != TAIL_BYTES - 8 {
            return Err(corrupt("its page index disagrees with its pages"));
        }
        let (post_apply, stated) = rest.split_at(8);
        self.checksum.update(found);
        self.checksum.update(post_apply);
        let computed = self.checksum.finish();
        if stated != computed.to_be_bytes() {
            return Err(corrupt(format!("checksum {computed:016x} is not the one at its end")));
        }
        let size = self.offset + end.len() as u64;
        Ok(Decoded { header: self.header, checksum: computed, size, index: self.index })
    }
}
