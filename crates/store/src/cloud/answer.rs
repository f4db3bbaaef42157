//! What a store's refusal means.
//!
//! `object_store` hides status and error code in its text, and folds different answers into one
//! variant: a 409 of S3 ("a conflicting operation is under way", nothing was written) looks like a
//! 412 ("the name is taken"). So the cause is looked at. Its text is never passed on as a whole: it
//! may hold a request's URL with its signature.

use std::{error::Error as StdError, io};

use object_store::client::{HttpError, HttpErrorKind};
use plimsoll_model::{Error, ErrorKind};

use super::limit::Timeout;
use crate::{Scheme, key::object_url};

/// How the text of a refusal starts, and how that of a success that is none.
const REFUSAL: &str = "Server returned non-2xx status code: ";
const SUCCESS_WITH_ERROR: &str = "Server returned error response: ";
/// As much of a server's own words as anybody wants to read.
const MESSAGE_CHARS_MAX: usize = 200;

/// A request that failed, as far as the store or the network told.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
    /// Set if there was no answer at all.
    transport: Option<Transport>,
    /// Without `LOCATION`, as S3 answers for a bucket of another region.
    redirect: bool,
    /// Everything was sent where a range was asked for.
    whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// Nothing was sent.
    NotSent,
    /// Something may have arrived.
    Lost,
}

impl Answer {
    pub(super) fn of(error: &object_store::Error) -> Answer {
        let mut answer = Answer::default();
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        let mut last = String::new();
        while let Some(error) = cause {
            let text = error.to_string();
            if let Some(rest) = text.strip_prefix(REFUSAL) {
                answer.status = rest.get(..3).and_then(|digits| digits.parse().ok());
                answer.read_body(rest);
                return answer;
            }
            if let Some(body) = text.strip_prefix(SUCCESS_WITH_ERROR) {
                answer.status = Some(503);
                answer.read_body(body);
                return answer;
            }
            if text.starts_with("Received redirect without LOCATION") {
                answer.redirect = true;
                return answer;
            }
            if text.starts_with("Received non-partial response") {
                answer.whole = true;
                return answer;
            }
            if text.starts_with("DeleteObjects request failed for key") {
                // One key of a bulk delete: "… (code: AccessDenied)".
                let code = text.rsplit_once("(code: ").map(|(_, code)| code.trim_end_matches(')').to_owned());
                answer.status = code.as_deref().map(|code| match code {
                    "AccessDenied" => 403,
                    "NoSuchKey" => 404,
                    _ => 503,
                });
                answer.code = code;
                return answer;
            }
            if let Some(http) = error.downcast_ref::<HttpError>() {
                answer.transport = Some(match http.kind() {
                    HttpErrorKind::Connect => Transport::NotSent,
                    _ => Transport::Lost,
                });
            }
            last = text;
            cause = error.source();
        }
        if answer.transport.is_none() {
            // Answers that were read before us, like the items of Azure's bulk delete.
            answer.status = match error {
                object_store::Error::NotFound { .. } => Some(404),
                object_store::Error::PermissionDenied { .. } => Some(403),
                object_store::Error::Unauthenticated { .. } => Some(401),
                object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => Some(412),
                _ => None,
            };
        }
        answer.message = Some(readable(&last));
        answer
    }

    /// Takes `<Code>` and `<Message>`, which S3, GCS and Azure have in common.
    fn read_body(&mut self, body: &str) {
        self.code = element(body, "Code").map(readable);
        self.message = element(body, "Message").map(readable);
    }

    fn code(&self) -> &str {
        self.code.as_deref().unwrap_or("")
    }

    fn is_missing_bucket(&self) -> bool {
        matches!(self.code(), "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted" | "AccountNotFound")
    }

    /// A read or delete of something that is not there.
    pub(super) fn is_missing_object(&self) -> bool {
        self.status == Some(404) && !self.is_missing_bucket()
    }

    /// The condition of a create failed: an object of that name exists.
    pub(super) fn is_taken_name(&self) -> bool {
        match self.status {
            Some(412 | 304) => true,
            // S3 uses 409 for "try again"; nothing was decided then.
            Some(409) => matches!(self.code(), "BlobAlreadyExists" | "UnauthorizedBlobOverwrite"),
            _ => false,
        }
    }

    /// The server sent the whole object instead of a range. Some do so for an empty object.
    pub(super) fn is_whole_object(&self) -> bool {
        self.whole
    }

    /// The server failed, or did not understand what it was asked for.
    pub(super) fn is_internal(&self) -> bool {
        self.status == Some(500)
    }

    /// A range that starts behind the last byte.
    pub(super) fn is_beyond_the_end(&self) -> bool {
        self.status == Some(416)
    }
}

/// What was being done, for the error.
pub(super) struct Context<'a> {
    pub(super) doing: &'static str,
    pub(super) url: &'a str,
    pub(super) key: &'a str,
    pub(super) scheme: Scheme,
    pub(super) bucket: &'a str,
}

impl Context<'_> {
    fn object(&self) -> String {
        if self.key.is_empty() { self.url.to_owned() } else { object_url(self.url, self.key) }
    }

    pub(super) fn fail(&self, kind: ErrorKind, why: String) -> Error {
        Error::new(kind, self.doing).object(self.object()).why(why)
    }

    /// What was to be sent could not be read.
    pub(super) fn unread(&self, error: io::Error) -> Error {
        Error::io(format!("{}, from what it was built in,", self.doing), error)
            .object(self.object())
            .hint("the disk below state_dir fails; what was committed is in the journal, which may be there, too")
    }

    pub(super) fn timeout(&self, Timeout(limit): Timeout) -> Error {
        self.fail(ErrorKind::Unavailable, format!("no answer within {} s", limit.as_secs_f64()))
    }

    /// The error for an answer that is not an answer to the question.
    pub(super) fn error(&self, answer: &Answer) -> Error {
        let words = answer.words();
        if answer.is_missing_bucket() {
            let noun = if self.scheme == Scheme::Azure { "container" } else { "bucket" };
            return self
                .fail(ErrorKind::NotFound, format!("the {noun} '{}' does not exist", self.bucket))
                .hint(format!("create the {noun}, or check the URL's endpoint, region and account"));
        }
        if answer.redirect {
            return self
                .fail(ErrorKind::Invalid, "the bucket is in another region".to_owned())
                .hint("set the region: ?region=… in the URL, or AWS_REGION");
        }
        if answer.whole {
            return self.fail(ErrorKind::Unsupported, "this server ignores byte ranges".to_owned());
        }
        match (answer.transport, answer.status) {
            (Some(Transport::NotSent), _) => self
                .fail(ErrorKind::Unavailable, format!("no connection: {words}"))
                .hint("check the network and the URL's endpoint"),
            (Some(Transport::Lost), _) => self.fail(ErrorKind::Unavailable, format!("no usable answer: {words}")),
            (None, Some(status)) => self.refused(status, answer.code(), words),
            (None, None) => self.fail(ErrorKind::Unavailable, format!("no usable answer: {words}")),
        }
    }

    fn refused(&self, status: u16, code: &str, words: String) -> Error {
        let denied = |hint: &'static str| self.fail(ErrorKind::Denied, words.clone()).hint(hint);
        match (status, code) {
            (_, "RequestTimeTooSkewed") => denied("this host's clock is wrong: set it"),
            (_, "ExpiredToken" | "TokenRefreshRequired" | "InvalidToken" | "ExpiredTokenException") => {
                denied("the credentials have expired: get new ones")
            }
            (_, "AuthorizationHeaderMalformed") => self
                .fail(ErrorKind::Invalid, words)
                .hint("set the bucket's region: ?region=… in the URL, or AWS_REGION"),
            (_, "SignatureDoesNotMatch" | "InvalidAccessKeyId" | "AuthenticationFailed") | (401, _) => {
                denied("check the credentials in the environment or the profile: the store does not accept them")
            }
            (403, _) => denied(match self.scheme {
                Scheme::S3 => {
                    "check the credentials and their policy: s3:GetObject, s3:PutObject, s3:DeleteObject and \
                     s3:ListBucket are needed"
                }
                Scheme::Azure => "check the credentials and their role: Storage Blob Data Contributor is needed",
                _ => "check the credentials and their role: Storage Object User is needed",
            }),
            (400, "RequestTimeout") | (408 | 409 | 412 | 425 | 429, _) => self.fail(ErrorKind::Unavailable, words),
            (501 | 405, _) => self
                .fail(ErrorKind::Unsupported, words)
                .hint("this server does not know the request: is the endpoint an object store?"),
            (404, "NoSuchUpload") => self.fail(ErrorKind::Unavailable, words),
            (404, _) => self.fail(ErrorKind::NotFound, words).hint("check the URL's endpoint and bucket"),
            (300..=399, _) => {
                self.fail(ErrorKind::Invalid, words).hint("check the URL's endpoint and the bucket's region")
            }
            (400..=499, _) => self.fail(ErrorKind::Invalid, words),
            _ => self.fail(ErrorKind::Unavailable, words),
        }
    }
}

impl Answer {
    /// For people: `403 AccessDenied: Access Denied`.
    pub(super) fn words(&self) -> String {
        let mut words = self.status.map_or_else(String::new, |status| status.to_string());
        for (separator, part) in [(" ", &self.code), (": ", &self.message)] {
            if let Some(part) = part.as_ref().filter(|part| !part.is_empty()) {
                if !words.is_empty() {
                    words.push_str(separator);
                }
                words.push_str(part);
            }
        }
        words
    }
}

/// The text of the first element of that name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// One line, not too long, of text that came from outside.
fn readable(text: &str) -> String {
    let line = text.lines().next().unwrap_or("").trim();
    line.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
