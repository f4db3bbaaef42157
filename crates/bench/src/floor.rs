//! What a commit cannot be without, alone: how far the subjects are from it is what is left to gain.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::FileExt,
};

use anyhow::{Context, Result, bail};

use crate::{job::Job, measure::Latencies, subject::BUCKET};

/// Bytes of a page and what tells whose it is.
const PAGE_BYTES: u64 = 4096 + 64;
/// Blocks that are written before anything is measured, so that syncing one is the flush of the disk and nothing else.
const FILE_BYTES: u64 = 16 << 20;

/// A write of one page and its `fdatasync`, again and again, into a file whose blocks were all written before.
pub(crate) fn disk(job: &Job, times: u64) -> Result<Latencies> {
    std::fs::create_dir_all(&job.place.dir)?;
    let file = std::fs::File::create(job.place.dir.join("floor"))?;
    file.write_all_at(&vec![1; FILE_BYTES as usize], 0)?;
    file.sync_all()?;
    let page = [2; PAGE_BYTES as usize];
    let mut latencies = Latencies::default();
    for number in 0..times {
        let at = number * PAGE_BYTES % (FILE_BYTES - PAGE_BYTES);
        latencies.time(|| {
            file.write_all_at(&page, at)?;
            Ok(file.sync_data()?)
        })?;
    }
    Ok(latencies)
}

/// A `PUT` of `bytes` under a new name, again and again, over one connection and by the thread that waits for it.
pub(crate) fn request(job: &Job, times: u64, bytes: usize) -> Result<Latencies> {
    let address = job.place.endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let body = vec![b'x'; bytes];
    let mut latencies = Latencies::default();
    for number in 0..times {
        let path = format!("/{BUCKET}/{}/floor-{}-{number}", job.place.prefix, job.round);
        let head =
            format!("PUT {path} HTTP/1.1\r\nHost: {address}\r\nIf-None-Match: *\r\nContent-Length: {bytes}\r\n\r\n");
        let request = [head.as_bytes(), &body].concat();
        latencies.time(|| {
            stream.write_all(&request)?;
            read_answer(&mut answers)
        })?;
    }
    Ok(latencies)
}

/// Reads one answer to its end.
fn read_answer(answers: &mut impl BufRead) -> Result<()> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200") {
        bail!("the store answered {line:?}");
    }
    let mut length = 0_u64;
    loop {
        line.clear();
        if answers.read_line(&mut line)? == 0 {
            bail!("the store closed the connection in the middle of an answer");
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
            Some(_) => {}
            None => break,
        }
    }
    std::io::copy(&mut answers.take(length), &mut std::io::sink())?;
    Ok(())
}
