//! Large bodies, in parts.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures::{StreamExt, stream::FuturesUnordered};
use object_store::{
    MultipartUpload, PutMultipartOptions,
    path::Path,
    retry::{RetryContext, RetryFailure},
};
use plimsoll_host::Host;
use plimsoll_model::Result;

use super::{CloudStore, answer::Context};
use crate::{Body, RetryPolicy, body::Piece};

/// Bodies up to here go in one request.
pub(super) const WHOLE_BYTES_MAX: u64 = 32 << 20;
/// Parts are at least this large, and no more than [`PARTS_MAX`].
const PART_BYTES_MIN: u64 = 16 << 20;
/// S3 stops at 10,000.
const PARTS_MAX: u64 = 9_000;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 4;

impl CloudStore {
    /// Sends a body in parts, several at a time. The object appears when the last request succeeds.
    pub(super) async fn upload(&self, context: &Context<'_>, path: &Path, body: &Body) -> Result<()> {
        let retry = PartRetry { policy: self.part_retry.clone(), host: self.host.clone() };
        let options = PutMultipartOptions { attributes: self.attributes(body), ..PutMultipartOptions::default() }
            .with_retry_policy(Arc::new(retry));
        let started = self.send(context, 0, self.inner.put_multipart_opts(path, options)).await?;
        let mut upload = started.map_err(|answer| context.error(&answer))?;
        let outcome = self.send_parts(context, &mut *upload, body).await;
        if outcome.is_err() {
            // What stays behind costs money and is invisible, but the first error is what counts.
            match self.send(context, 0, upload.abort()).await {
                Ok(Ok(())) => {}
                Ok(Err(answer)) => tracing::warn!(why = answer.words(), %path, "parts of an upload stay in the store"),
                Err(error) => tracing::warn!(%error, %path, "parts of an upload stay in the store"),
            }
        }
        outcome
    }

    async fn send_parts(&self, context: &Context<'_>, upload: &mut dyn MultipartUpload, body: &Body) -> Result<()> {
        let part_bytes = PART_BYTES_MIN.max(body.len().div_ceil(PARTS_MAX));
        let parts = split(&body.pieces, usize::try_from(part_bytes).unwrap_or(usize::MAX));
        let mut parts = parts.iter();
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < PARTS_AT_ONCE
                && let Some(pieces) = parts.next()
            {
                let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
                let payload = self.payload(context, pieces).await?;
                // Parts are numbered in the order of these calls, whatever the order of their arrival.
                under_way.push(self.send(context, bytes, upload.put_part(payload)));
            }
            match under_way.next().await {
                None => break,
                Some(sent) => sent?.map_err(|answer| context.error(&answer))?,
            }
        }
        drop(under_way);
        let completed = self.send(context, 0, upload.complete()).await?;
        completed.map(drop).map_err(|answer| context.error(&answer))
    }
}

/// Sends a lost part again, so that it costs a part and not the upload.
struct PartRetry {
    policy: RetryPolicy,
    host: Host,
}

impl fmt::Debug for PartRetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.policy.fmt(f)
    }
}

#[async_trait]
impl object_store::retry::RetryPolicy for PartRetry {
    async fn retry(&self, context: RetryContext) -> bool {
        let worthwhile = match context.failure {
            RetryFailure::Status(status) => {
                status.is_server_error() || status.is_success() || matches!(status.as_u16(), 408 | 429)
            }
            RetryFailure::Transport(_) => true,
            _ => false,
        };
        let failed = u32::try_from(context.attempt).unwrap_or(u32::MAX);
        match self.policy.pause(&self.host, failed, context.elapsed).filter(|_| worthwhile) {
            None => false,
            Some(pause) => {
                self.host.clock.sleep(pause).await;
                true
            }
        }
    }
}

/// Cuts pieces into parts of so many bytes, the last one shorter, without copying or reading.
fn split(pieces: &[Piece], part_bytes: usize) -> Vec<Vec<Piece>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut room = part_bytes;
    for piece in pieces {
        let mut rest = piece.clone();
        while !rest.is_empty() {
            let taken = rest.split_to(room.min(rest.len()));
            room -= taken.len();
            part.push(taken);
            if room == 0 {
                parts.push(std::mem::take(&mut part));
                room = part_bytes;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::Bytes;

    use super::*;
    use crate::Blocks;

    struct Letters;

    impl Blocks for Letters {
        fn read(&self, block: usize) -> io::Result<Bytes> {
            Ok(Bytes::from_static(["defgh", "i"][block].as_bytes()))
        }
    }

    #[test]
    fn parts_hold_the_same_bytes_in_the_same_order() {
        let memory = |text: &'static str| Piece::from(Bytes::from_static(text.as_bytes()));
        let stored = |block, len| Piece::Stored { blocks: Arc::new(Letters), block, range: 0..len };
        let pieces = [memory("abc"), memory(""), stored(0, 5), stored(1, 1), memory("jk")];
        for part_bytes in 1..13 {
            let read = |piece: &Piece| piece.read().unwrap();
            let parts: Vec<Vec<u8>> = split(&pieces, part_bytes)
                .iter()
                .map(|part| part.iter().map(read).collect::<Vec<_>>().concat())
                .collect();
            assert_eq!(parts.concat(), b"abcdefghijk", "{part_bytes}");
            let (_, full) = parts.split_last().unwrap();
            assert!(full.iter().all(|part| part.len() == part_bytes), "{part_bytes}");
        }
    }
}
