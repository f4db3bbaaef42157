//! Writing a file.

use std::io::Write;

use plimsoll_model::{PageNo, Result};

use crate::{
    Header, IndexEntry,
    checksum::FileChecksum,
    fault::{invalid, write},
    frame::{self, Compressor},
    index, page_hash,
};

/// How pages are compressed. Every Litestream 0.5 reads frames; blocks need 0.5.16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frames {
    /// LZ4 blocks with their length: smaller, and faster to read.
    #[default]
    Block,
    /// LZ4 frames.
    Frame,
}

/// Writes a file page by page, in one pass.
///
/// Keeps one [`IndexEntry`] per page in memory and allocates nothing else per page. Each page is one
/// call of `write_all`; give it a buffered writer where that is dear. After an error the output is
/// useless.
pub struct Encoder<W> {
    sink: W,
    header: Header,
    frames: Frames,
    checksum: FileChecksum,
    compressor: Compressor,
    frame: Vec<u8>,
    offset: u64,
    index: Vec<IndexEntry>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The file checksum, which the next level-0 object's [`link`](Header::link) repeats.
    pub checksum: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Where each page is, with its hash, in page order.
    pub index: Vec<IndexEntry>,
}

impl<W: Write> Encoder<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// [`Invalid`](plimsoll_model::ErrorKind::Invalid) for a header that cannot be
    /// [encoded](Header::encode); an I/O error of the sink.
    pub fn new(mut sink: W, header: Header, frames: Frames) -> Result<Self> {
        let bytes = header.encode()?;
        sink.write_all(&bytes).map_err(write)?;
        let mut checksum = FileChecksum::new();
        checksum.update(&bytes);
        let frame = Vec::with_capacity(frame::frame_bytes_max(header.page_size.bytes()));
        let compressor = Compressor::new(header.page_size);
        Ok(Encoder { sink, header, frames, checksum, compressor, frame, offset: bytes.len() as u64, index: Vec::new() })
    }

    /// Compresses and writes the next page.
    ///
    /// # Errors
    /// [`Invalid`](plimsoll_model::ErrorKind::Invalid) unless pages come in ascending order, within
    /// the header's `commit`, without the lock page, and are as long as the page size says; an I/O
    /// error of the sink.
    pub fn page(&mut self, page: PageNo, data: &[u8]) -> Result<()> {
        self.check(page, data)?;
        self.frame.clear();
        let payload = self.compressor.block(data);
        let plain = put(&mut self.frame, self.frames, page, payload, data);
        self.write_frame(page, plain, data)
    }

    /// Writes the next page from the block that it was stored as elsewhere, without compressing it
    /// again.
    ///
    /// `payload` must be what `data` decompresses from, as [`decode::Page`](crate::decode::Page)
    /// hands them out together; this is not checked, and a file where it does not hold is corrupt.
    ///
    /// # Errors
    /// As [`page`](Self::page); also for a payload that is longer than any block of a page.
    pub fn page_precompressed(&mut self, page: PageNo, payload: &[u8], data: &[u8]) -> Result<()> {
        self.check(page, data)?;
        if payload.is_empty() || payload.len() > frame::block_bytes_max(data.len()) {
            return Err(invalid(format!("page {page} cannot be a block of {} bytes", payload.len())));
        }
        self.frame.clear();
        let plain = put(&mut self.frame, self.frames, page, payload, data);
        self.write_frame(page, plain, data)
    }

    /// Writes the page index and the checksum, and flushes the sink.
    ///
    /// # Errors
    /// [`Invalid`](plimsoll_model::ErrorKind::Invalid) if the file starts at transaction 1 and lacks
    /// a page; an I/O error of the sink.
    pub fn finish(mut self) -> Result<Finished> {
        let pages = u32::try_from(self.index.len()).expect("BUG: page numbers are distinct and 32 bits long");
        self.header.check_count(pages).map_err(invalid)?;

        let mut end = index::END_OF_PAGES.to_vec();
        for entry in &self.index {
            index::put(&mut end, &entry.location());
        }
        end.push(0);
        let varints = (end.len() - index::END_OF_PAGES.len()) as u64;
        end.extend_from_slice(&varints.to_be_bytes());
        end.extend_from_slice(&0u64.to_be_bytes()); // post-apply checksum: none
        self.checksum.update(&end);
        let checksum = self.checksum.finish();
        end.extend_from_slice(&checksum.to_be_bytes());

        self.sink.write_all(&end).map_err(write)?;
        self.sink.flush().map_err(write)?;
        Ok(Finished { checksum, size: self.offset + end.len() as u64, index: self.index })
    }

    fn check(&self, page: PageNo, data: &[u8]) -> Result<()> {
        let size = self.header.page_size;
        if data.len() != size.bytes() {
            return Err(invalid(format!("page {page} has {} bytes, not {size}", data.len())));
        }
        self.header.check_page(self.index.last().map(|entry| entry.page), page).map_err(invalid)
    }

    /// Writes what `self.frame` holds; the checksum covers its first `plain` bytes and `data`.
    fn write_frame(&mut self, page: PageNo, plain: usize, data: &[u8]) -> Result<()> {
        self.sink.write_all(&self.frame).map_err(write)?;
        self.checksum.update(&self.frame[..plain]);
        self.checksum.update(data);
        let len = u32::try_from(self.frame.len()).expect("BUG: a page's frame is far below 4 GiB");
        self.index.push(IndexEntry { page, offset: self.offset, len, hash: page_hash(data) });
        self.offset += u64::from(len);
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, frames: Frames, page: PageNo, payload: &[u8], data: &[u8]) -> usize {
    match frames {
        Frames::Block => frame::put_block(out, page, payload),
        Frames::Frame => frame::put_frame(out, page, payload, data),
    }
}
