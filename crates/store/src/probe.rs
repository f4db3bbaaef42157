//! Does a store honour create-if-absent? Some accept the condition and ignore it.

mod memory;

use futures::future::join_all;
use plimsoll_host::Host;
use plimsoll_model::{Error, ErrorKind, Result};

pub use self::memory::ProbeMemory;
use crate::{Body, Created, Store, VolumeUrl, key::object_url};

/// Where the probe's objects are, below the volume's prefix; no reader looks there.
const FOLDER: &str = "probe";
/// Creates of one name that race each other.
const RACERS: usize = 12;
/// Races, since one can have a single winner by luck. On a busy machine a server that first looks and then writes may answer
/// one request after the other: of 150 probes of s3s-fs two saw nothing.
const RACES: usize = 4;
/// A body is long enough that whoever looks, and writes then, is still writing when the next one looks.
const BODY_BYTES: usize = 8 << 10;
/// Probes that lost answers may spoil before the store counts as unavailable. Where every sixth answer is lost, half are.
const TRIES: usize = 10;

/// What one probe showed.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Honoured,
    /// More than one create of a name succeeded, or the winner's bytes were replaced.
    Ignored(String),
    /// No create of a name succeeded for certain, because answers were lost or damaged.
    Spoiled,
}

/// How the creates of one name went, and what is there now.
struct Race {
    /// The bodies whose creation was answered with [`Created::New`].
    winners: Vec<Vec<u8>>,
    /// Those of the others.
    others: Vec<Vec<u8>>,
    content: Option<Vec<u8>>,
}

/// Makes sure that creates of one name have one winner, so that a second writer can be fenced.
///
/// Asks the store only if `memory` does not know the answer: 50 small creates, 5 reads and a delete, in six round trips.
/// Local stores are known to honour it.
///
/// # Errors
/// [`ErrorKind::Unsupported`] if the store does not: a second writer would not be noticed there.
/// Otherwise as [`Store::create`].
pub async fn ensure_fencing(url: &VolumeUrl, store: &dyn Store, memory: &ProbeMemory, host: &Host) -> Result<()> {
    if !url.scheme().is_remote() {
        return Ok(());
    }
    let bucket = bucket_of(url, store);
    if memory.knows(&bucket, host) {
        return Ok(());
    }
    for _ in 0..TRIES {
        match probe(store, host).await? {
            Finding::Honoured => {
                memory.remember(&bucket, host);
                return Ok(());
            }
            Finding::Ignored(why) => {
                return Err(Error::new(ErrorKind::Unsupported, "checking that creates are exclusive at")
                    .object(bucket)
                    .why(format!("this store does not honour 'If-None-Match: *': {why}"))
                    .hint(
                        "a second writer would not be noticed there; use another store, or set unsafe_no_fencing \
                         if exactly one writer will ever run",
                    ));
            }
            Finding::Spoiled => {}
        }
    }
    Err(Error::new(ErrorKind::Unavailable, "checking that creates are exclusive at")
        .object(bucket)
        .why("too many answers were lost or damaged to tell"))
}

/// What the answer holds for: a bucket at an endpoint. The store knows its endpoint better than the URL.
fn bucket_of(url: &VolumeUrl, store: &dyn Store) -> String {
    let endpoint = store.url().split_once('?').map_or(String::new(), |(_, endpoint)| format!("?{endpoint}"));
    format!("{}://{}{endpoint}", url.scheme().name(), url.bucket())
}

async fn probe(store: &dyn Store, host: &Host) -> Result<Finding> {
    let id = host.chance.bits();
    let keys: Vec<String> = (0..=RACES).map(|race| format!("{FOLDER}/{id:016x}-{race}")).collect();
    let finding = run(store, host, &keys).await;
    if let Err(error) = store.delete(&keys).await {
        tracing::warn!(%error, first = object_url(store.url(), &keys[0]), "the objects of a probe stay in the store");
    }
    finding
}

async fn run(store: &dyn Store, host: &Host, keys: &[String]) -> Result<Finding> {
    let (sequence, races) = keys.split_first().expect("BUG: a probe has names");
    let bodies: [_; 2] = [body(host, 0), body(host, 1)];
    let mut answers = Vec::new();
    for body in &bodies {
        answers.push(store.create(sequence, Body::from(body.clone())).await?);
    }
    let finding = judge(&outcome(store, sequence, &bodies, &answers).await?);
    if finding != Finding::Honoured {
        return Ok(finding);
    }
    // All at once: it takes no longer, and whoever only looks before it writes is more likely to be interrupted.
    let races = races.iter().map(|name| async move {
        let bodies: Vec<_> = (0..RACERS).map(|racer| body(host, racer)).collect();
        let creates = bodies.iter().map(|body| store.create(name, Body::from(body.clone())));
        let answers = join_all(creates).await.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(judge(&outcome(store, name, &bodies, &answers).await?))
    });
    let findings = join_all(races).await.into_iter().collect::<Result<Vec<_>>>()?;
    let ignored = |finding: &Finding| matches!(finding, Finding::Ignored(_));
    let worst =
        findings.iter().position(ignored).or_else(|| findings.iter().position(|finding| *finding == Finding::Spoiled));
    Ok(worst.map_or(Finding::Honoured, |at| findings.into_iter().nth(at).expect("BUG: no such race")))
}

/// A body that no other create has: which racer, and random bits.
fn body(host: &Host, racer: usize) -> Vec<u8> {
    let mut body = format!("plimsoll probe {racer} {:016x}\n", host.chance.bits()).into_bytes();
    body.resize(BODY_BYTES, b'.');
    body
}

async fn outcome(store: &dyn Store, key: &str, bodies: &[Vec<u8>], answers: &[Created]) -> Result<Race> {
    let (mut winners, mut others) = (Vec::new(), Vec::new());
    for (body, answer) in bodies.iter().zip(answers) {
        if *answer == Created::New { &mut winners } else { &mut others }.push(body.clone());
    }
    let content = store.get(key).await?.map(|object| object.bytes.to_vec());
    Ok(Race { winners, others, content })
}

fn judge(race: &Race) -> Finding {
    match (race.winners.as_slice(), &race.content) {
        ([], _) => Finding::Spoiled,
        ([_], None) => Finding::Ignored("an object that was created is not there".to_owned()),
        ([winner], Some(content)) if winner == content => Finding::Honoured,
        ([_], Some(content)) if race.others.contains(content) => {
            Finding::Ignored("the winner of a race was overwritten".to_owned())
        }
        // Nobody has sent that: it was damaged on its way back.
        ([_], Some(_)) => Finding::Spoiled,
        (winners, _) => Finding::Ignored(format!("{} creates of one name succeeded", winners.len())),
    }
}

#[cfg(test)]
mod tests;
