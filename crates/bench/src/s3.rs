//! An S3 server in memory that takes its time and counts: as much of the protocol as the systems here use.
//!
//! Counting is by prefix, so that systems which are measured one after the other do not see each other's requests.
//! Nothing is checked that is not measured: every signature is good.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime::Runtime};

use crate::s3_request::{Call, Op, decode_chunks, keys_of, parse};

mod answers;
mod counts; // what was asked

pub use counts::Counts;

/// Keys per page of a listing, as S3 has it.
const LIST_MAX: usize = 1000;

struct Stored {
    bytes: Bytes,
    modified: SystemTime,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    /// Parts of uploads that are not complete, by upload and number.
    parts: BTreeMap<(String, u32), Bytes>,
    uploads: u64,
    /// Counts by the first component of keys.
    counts: BTreeMap<String, Counts>,
    latency: Duration,
    read_only: bool,
}

/// A running server with one bucket. Ends when dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Starts an empty one on any free port.
    ///
    /// # Errors
    /// The system's.
    pub fn start() -> io::Result<Server> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Delayed acknowledgements would add 40 ms to every answer.
                let _ = stream.set_nodelay(true);
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(serve(&state, request).await) }
                    });
                    // A client that goes away is its own affair.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Server { address, state, _runtime: runtime })
    }

    /// Where it listens, as a URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Delays every answer from now on.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.state).latency = latency;
    }

    /// From now on its clients may only read: whatever would change something is denied, and counted.
    pub fn deny_writes(&self) {
        lock(&self.state).read_only = true;
    }

    /// What was asked so far, all together. The trips are those of the prefix with the longest chain.
    #[must_use]
    pub fn total(&self) -> Counts {
        let state = lock(&self.state);
        state.counts.values().fold(Counts::default(), |sum, counts| sum.and(counts))
    }

    /// What was asked so far of keys that begin with `prefix/`.
    #[must_use]
    pub fn counts(&self, prefix: &str) -> Counts {
        lock(&self.state).counts.get(prefix).copied().unwrap_or_default()
    }

    /// Objects below `prefix/`, and their bytes.
    #[must_use]
    pub fn holds(&self, prefix: &str) -> (u64, u64) {
        let state = lock(&self.state);
        let below = format!("{prefix}/");
        let found = state.objects.range(below.clone()..).take_while(|(key, _)| key.starts_with(&below));
        found.fold((0, 0), |(count, bytes), (_, stored)| (count + 1, bytes + stored.bytes.len() as u64))
    }

    /// Makes everything below `from/` be below `to/` too. Costs no copy of bytes.
    pub fn duplicate(&self, from: &str, to: &str) {
        let mut state = lock(&self.state);
        let below = format!("{from}/");
        let found: Vec<(String, Bytes, SystemTime)> = state
            .objects
            .range(below.clone()..)
            .take_while(|(key, _)| key.starts_with(&below))
            .map(|(key, stored)| (key[from.len()..].to_owned(), stored.bytes.clone(), stored.modified))
            .collect();
        for (rest, bytes, modified) in found {
            state.objects.insert(format!("{to}{rest}"), Stored { bytes, modified });
        }
    }

    /// Forgets everything below `prefix/`.
    pub fn remove(&self, prefix: &str) {
        let below = format!("{prefix}/");
        lock(&self.state).objects.retain(|key, _| !key.starts_with(&below));
    }
}

async fn serve(state: &Mutex<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return answers::status(StatusCode::BAD_REQUEST) };
    let chunked = head.headers.get("x-amz-content-sha256").is_some_and(|value| value.as_bytes().starts_with(b"STREAM"));
    let body = body.to_bytes();
    let body = if chunked { decode_chunks(&body) } else { Some(body) };
    let call = parse(&head).zip(body);
    let Some((call, body)) = call else { return answers::status(StatusCode::BAD_REQUEST) };
    if matches!(call.op, Op::Counts | Op::Latency(_)) {
        return lock(state).answer(&call, body);
    }
    let asked = call.subject(&body);
    let (latency, trip) = {
        let mut state = lock(state);
        let latency = state.latency;
        let counts = state.count(&asked);
        counts.ask(&asked);
        (latency, counts.trips + 1)
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let mut state = lock(state);
    let response = state.answer(&call, body);
    let counts = state.count(&asked);
    counts.trips = counts.trips.max(trip);
    response
}

impl State {
    fn count(&mut self, key: &str) -> &mut Counts {
        let first = key.split('/').next().unwrap_or_default().to_owned();
        self.counts.entry(first).or_default()
    }

    fn answer(&mut self, call: &Call, body: Bytes) -> Response<Full<Bytes>> {
        let key = &call.key;
        if self.read_only && call.op.writes() {
            self.count(&call.subject(&body)).puts += 1;
            return answers::denied();
        }
        match &call.op {
            Op::Counts => {
                let counts = *self.count(key);
                answers::text(serde_json::to_string(&counts).unwrap_or_default())
            }
            Op::Latency(ms) => {
                self.latency = Duration::from_millis(*ms);
                answers::status(StatusCode::OK)
            }
            Op::MakeBucket => answers::status(StatusCode::OK),
            Op::List(list) => {
                self.count(&list.prefix).lists += 1;
                let after = list.after.clone().unwrap_or_default();
                let from = if after > list.prefix { after.clone() } else { list.prefix.clone() };
                let keys = self
                    .objects
                    .range(from..)
                    .take_while(|(key, _)| key.starts_with(&list.prefix))
                    .filter(|(key, _)| **key > after);
                let entries = keys.map(|(key, stored)| (key.as_str(), stored.bytes.len(), stored.modified));
                answers::listing(list, entries, LIST_MAX)
            }
            Op::Get { range, head } => {
                self.count(key).gets += 1;
                let Some(stored) = self.objects.get(key) else { return answers::missing() };
                let (bytes, modified) = (stored.bytes.clone(), stored.modified);
                let response = answers::object(&bytes, modified, *range, *head);
                self.count(key).bytes_out += hyper::body::Body::size_hint(response.body()).exact().unwrap_or_default();
                response
            }
            Op::Put { if_absent } => {
                self.count(key).put(key, &body);
                if *if_absent && self.objects.contains_key(key) {
                    return answers::status(StatusCode::PRECONDITION_FAILED);
                }
                self.store(key, body)
            }
            Op::Delete => {
                self.count(key).deletes += 1;
                self.objects.remove(key);
                answers::status(StatusCode::NO_CONTENT)
            }
            Op::DeleteMany => {
                self.count(&call.subject(&body)).deletes += 1;
                let keys = keys_of(&body);
                for key in &keys {
                    self.objects.remove(key);
                }
                answers::deleted(&keys)
            }
            Op::StartUpload => {
                self.uploads += 1;
                answers::upload(key, self.uploads)
            }
            Op::Part { upload, number } => {
                self.count(key).put(key, &body);
                self.parts.insert((upload.clone(), *number), body);
                answers::stored()
            }
            Op::EndUpload { upload } => {
                self.count(key).puts += 1;
                let parts = self.parts.extract_if(.., |(of, _), _| of == upload);
                let whole: Vec<Bytes> = parts.map(|(_, part)| part).collect();
                self.store(key, whole.concat().into());
                answers::completed(key)
            }
        }
    }

    #[allow(clippy::disallowed_methods, reason = "the server runs in real time")]
    fn store(&mut self, key: &str, bytes: Bytes) -> Response<Full<Bytes>> {
        self.objects.insert(key.to_owned(), Stored { bytes, modified: SystemTime::now() });
        answers::stored()
    }
}
