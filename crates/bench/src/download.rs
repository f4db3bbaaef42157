//! What a cold scan cannot be faster than: its object, by the same client and in requests of the same size, several at a
//! time, and nothing done with what comes.

use std::time::Instant;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use plimsoll_host::os;
use plimsoll_store::{StoreOptions, VolumeUrl, open};

use crate::{figures::Figures, job::Job};

/// As the largest request of a scan.
const SLICE_BYTES: u64 = 1 << 20;
const PARALLEL: usize = 8;

/// Downloads the largest object of a volume, which holds `mb` megabytes of database.
pub(crate) fn download(job: &Job, mb: f64) -> Result<Figures> {
    let host = os::host()?;
    let options = StoreOptions {
        endpoint: Some(job.place.endpoint.clone()),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
        ..StoreOptions::default()
    };
    let store = open(&VolumeUrl::parse(&job.place.url())?, &options, &host)?;
    let entries = host.tasks.wait(store.list("", None))?;
    let largest = entries.iter().filter(|entry| entry.key.ends_with(".ltx")).max_by_key(|entry| entry.size);
    let (key, size) = largest.map(|entry| (entry.key.as_str(), entry.size)).context("the volume has no object")?;
    let asked = job.counts()?;
    let start = Instant::now();
    let slices = (0..size.div_ceil(SLICE_BYTES)).map(|slice| {
        let from = slice * SLICE_BYTES;
        store.get_range(key, from..(from + SLICE_BYTES).min(size))
    });
    let done = stream::iter(slices).buffer_unordered(PARALLEL).map_ok(drop).try_collect::<()>();
    host.tasks.wait(done)?;
    let took = start.elapsed().as_secs_f64();
    let asked = job.counts()?.since(&asked);
    Ok(Figures::from([
        ("mb_per_s".to_owned(), mb / took),
        ("requests_per_mb".to_owned(), asked.requests() as f64 / mb),
        ("kb_per_mb".to_owned(), asked.bytes_out as f64 / 1000.0 / mb),
    ]))
}
