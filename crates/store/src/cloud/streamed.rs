//! Large bodies in one request, read while they are sent.
//!
//! `object_store` sends what is in memory. So it is given a stand-in of the same length, which takes none, and the client
//! below it sends the body instead. What it would hash in order to sign the request was hashed before.

use std::{
    fmt, io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use async_trait::async_trait;
use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use object_store::{
    ClientOptions, PutPayload,
    client::{
        CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, HttpClient, HttpError, HttpErrorKind, HttpRequest,
        HttpResponse, HttpResponseBody, HttpService, Signer, SigningAlgorithm,
    },
};
use plimsoll_host::{Chance, Host, run_blocking};

use super::{authorities::Authorities, client::client};
use crate::{Body, body::Piece};

/// Pieces that are read before it is their turn.
const PIECES_AHEAD: usize = 2;
/// Bytes of a digest.
const DIGEST_BYTES: usize = 32;
/// Bytes of zeros that stand in at a time.
const ZEROS_BYTES: usize = 1 << 20;

/// What a request sends in place of its stand-in. Goes with the request; a clone is the same.
#[derive(Clone)]
pub(super) struct Upload(Arc<Sending>);

struct Sending {
    pieces: Vec<Piece>,
    host: Host,
    /// Why it could not be read, if so.
    failure: Mutex<Option<io::Error>>,
}

impl Upload {
    pub(super) fn of(body: &Body, host: &Host) -> Upload {
        Upload(Arc::new(Sending { pieces: body.pieces.clone(), host: host.clone(), failure: Mutex::default() }))
    }

    /// Why it could not be sent to its end, if that is what happened.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What `object_store` is given in its place. `mark`: that of who signs the request, if it signs the body.
    ///
    /// # Errors
    /// Those of reading it, for which it is read once.
    pub(super) async fn stand_in(&self, mark: Option<Mark>) -> io::Result<PutPayload> {
        let mut pieces = Vec::new();
        let mut rest: usize = self.0.pieces.iter().map(Piece::len).sum();
        if let Some(mark) = mark {
            let sending = Arc::clone(&self.0);
            let digest = run_blocking(&self.0.host.tasks, move || sending.digest()).await?;
            let known = [mark.0, digest].concat();
            assert!(known.len() <= rest, "BUG: a body of {rest} bytes is sent as it is");
            rest -= known.len();
            pieces.push(Bytes::from(known));
        }
        // Nobody reads them, so no memory is behind them.
        let zeros = Bytes::from(vec![0; ZEROS_BYTES.min(rest)]);
        while rest > 0 {
            let piece = zeros.slice(..zeros.len().min(rest));
            rest -= piece.len();
            pieces.push(piece);
        }
        Ok(pieces.into_iter().collect())
    }

    fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let count = self.0.pieces.len();
        stream::iter(0..count)
            .map(move |at| {
                let sending = Arc::clone(&self.0);
                async move { sending.read(at).await }
            })
            .buffered(PIECES_AHEAD)
    }
}

impl Sending {
    fn digest(&self) -> io::Result<[u8; DIGEST_BYTES]> {
        let mut context = digest::Context::new(&digest::SHA256);
        for piece in &self.pieces {
            context.update(&piece.read()?);
        }
        let mut bytes = [0; DIGEST_BYTES];
        bytes.copy_from_slice(context.finish().as_ref());
        Ok(bytes)
    }

    async fn read(self: Arc<Self>, at: usize) -> io::Result<Bytes> {
        let sending = Arc::clone(&self);
        let read = run_blocking(&self.host.tasks, move || sending.pieces[at].read()).await;
        read.inspect_err(|error| {
            let error = io::Error::new(error.kind(), error.to_string());
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        })
    }
}

/// An HTTP client that knows these requests, and hands all others on.
pub(super) struct Client {
    others: HttpClient,
    options: ClientOptions,
    authorities: Authorities,
    /// Made for the first large body.
    own: OnceLock<reqwest::Client>,
}

impl Client {
    /// `others` was made by the same options, and trusts the same.
    pub(super) fn new(others: HttpClient, options: &ClientOptions, authorities: &Authorities) -> Client {
        Client { others, options: options.clone(), authorities: authorities.clone(), own: OnceLock::new() }
    }

    fn own(&self) -> Result<&reqwest::Client, HttpError> {
        if let Some(client) = self.own.get() {
            return Ok(client);
        }
        let made =
            client(&self.options, &self.authorities).map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
        Ok(self.own.get_or_init(|| made))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.others.fmt(f)
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let Some(upload) = request.extensions_mut().remove::<Upload>() else {
            return self.others.execute(request).await;
        };
        let (parts, _) = request.into_parts();
        let failed = |error: reqwest::Error| {
            let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
            // The URL may hold a signature.
            HttpError::new(kind, error.without_url())
        };
        let request = self
            .own()?
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .body(reqwest::Body::wrap_stream(upload.into_stream()));
        let answer = request.send().await.map_err(failed)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut told = HttpResponse::new(HttpResponseBody::from(answer.bytes().await.map_err(failed)?));
        (*told.status_mut(), *told.headers_mut()) = (status, headers);
        Ok(told)
    }
}

/// What a stand-in begins with whose body was hashed already. Nobody else can make something that begins like that.
#[derive(Clone, Copy)]
pub(super) struct Mark([u8; 32]);

impl Mark {
    pub(super) fn new(chance: &dyn Chance) -> Mark {
        let mut bytes = [0; 32];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&chance.bits().to_le_bytes());
        }
        Mark(bytes)
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark")
    }
}

/// What signs requests: as always, but that the digest of a stand-in is that of what it stands for.
#[derive(Debug)]
pub(super) struct Crypto(pub(super) Mark);

/// `object_store` has no other algorithms.
fn unknown(what: String) -> object_store::Error {
    object_store::Error::NotSupported { source: what.into() }
}

impl CryptoProvider for Crypto {
    fn digest(&self, algorithm: DigestAlgorithm) -> object_store::Result<Box<dyn DigestContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => {
                let context = digest::Context::new(&digest::SHA256);
                Ok(Box::new(Digest::Running { context, mark: self.0, begun: false }))
            }
            other => Err(unknown(format!("{other:?}"))),
        }
    }

    fn hmac(&self, algorithm: DigestAlgorithm, secret: &[u8]) -> object_store::Result<Box<dyn HmacContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                Ok(Box::new(Tag { context: hmac::Context::with_key(&key), made: None }))
            }
            other => Err(unknown(format!("{other:?}"))),
        }
    }

    fn sign(&self, algorithm: SigningAlgorithm, _: &[u8]) -> object_store::Result<Box<dyn Signer>> {
        // Google's service accounts, which this never signs for.
        Err(unknown(format!("{algorithm:?}")))
    }
}

/// A digest that is being made, or known.
enum Digest {
    Running { context: digest::Context, mark: Mark, begun: bool },
    Done([u8; DIGEST_BYTES]),
}

impl DigestContext for Digest {
    fn update(&mut self, data: &[u8]) {
        let Digest::Running { context, mark, begun } = self else { return };
        if !std::mem::replace(begun, true)
            && let Some(known) = data.strip_prefix(&mark.0).and_then(|rest| rest.first_chunk())
        {
            *self = Digest::Done(*known);
            return;
        }
        context.update(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        if let Digest::Running { context, .. } = self {
            let mut bytes = [0; DIGEST_BYTES];
            bytes.copy_from_slice(context.clone().finish().as_ref());
            *self = Digest::Done(bytes);
        }
        match self {
            Digest::Done(bytes) => Ok(bytes),
            Digest::Running { .. } => unreachable!("BUG: it was just made"),
        }
    }
}

struct Tag {
    context: hmac::Context,
    made: Option<hmac::Tag>,
}

impl HmacContext for Tag {
    fn update(&mut self, data: &[u8]) {
        self.context.update(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        let tag = self.context.clone().sign();
        Ok(hmac::Tag::as_ref(self.made.insert(tag)))
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_host::os;

    use super::*;

    fn digest_of(crypto: &Crypto, pieces: &[Bytes]) -> Vec<u8> {
        let mut context = crypto.digest(DigestAlgorithm::Sha256).unwrap();
        for piece in pieces {
            context.update(piece);
        }
        context.finish().unwrap().to_vec()
    }

    #[test]
    fn a_stand_in_is_as_long_as_what_it_stands_for_and_has_its_digest() {
        let host = os::host().unwrap();
        let crypto = Crypto(Mark::new(&*host.chance));
        let content = vec![7; 3 * ZEROS_BYTES + 5];
        let pieces: Vec<Bytes> = content.chunks(1_000_000).map(Bytes::copy_from_slice).collect();
        let body = Body { pieces: pieces.iter().cloned().map(Piece::from).collect(), timestamp: None };
        let upload = Upload::of(&body, &host);
        let plain = digest::digest(&digest::SHA256, &content);
        for mark in [Some(crypto.0), None] {
            let stand_in = host.tasks.wait(upload.stand_in(mark)).unwrap();
            assert_eq!(stand_in.content_length(), content.len());
            let stand_in: Vec<Bytes> = stand_in.into_iter().collect();
            assert_eq!(digest_of(&crypto, &stand_in) == plain.as_ref(), mark.is_some());
            // Nobody else's does: it was made for another client.
            let other = Crypto(Mark::new(&*host.chance));
            assert_ne!(digest_of(&other, &stand_in), plain.as_ref());
        }
        assert_eq!(digest_of(&crypto, &pieces), plain.as_ref(), "what is in memory is hashed as always");
    }
}
