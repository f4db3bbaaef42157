//! The HTTP client, and where plain http is allowed.

use std::time::Duration;

use object_store::{ClientOptions, HeaderValue, RetryConfig};
use plimsoll_model::{Error, ErrorKind, Result, limits::REQUESTS_MAX};
use url::Url;

use crate::{StoreOptions, VolumeUrl, url::is_loopback};

/// How long a connection waits for the next request: longer than a writer that is idle waits to show a sign of life.
const IDLE: Duration = Duration::from_secs(30);

/// Without time limits other than that for connecting: [`super::limit`] has them.
pub(super) fn client(options: &StoreOptions) -> ClientOptions {
    ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(concat!("plimsoll/", env!("CARGO_PKG_VERSION"))))
        .with_connect_timeout(options.connect_timeout)
        .with_timeout_disabled()
        .with_pool_idle_timeout(IDLE)
        .with_pool_max_idle_per_host(REQUESTS_MAX)
}

/// One try each: retries are decided above.
pub(super) fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// Whether the endpoint of a URL is plain http, and may be.
pub(super) fn is_plain(url: &VolumeUrl, options: &StoreOptions) -> Result<bool> {
    let Some(endpoint) = url.endpoint().and_then(|endpoint| Url::parse(endpoint).ok()) else { return Ok(false) };
    if endpoint.scheme() != "http" {
        return Ok(false);
    }
    if options.allow_http || is_loopback(&endpoint) {
        return Ok(true);
    }
    Err(Error::new(ErrorKind::Invalid, "opening")
        .object(url.canonical())
        .why("its endpoint is plain http to another host, where everybody on the way can read and change the data")
        .hint("use https, or set allow_http if the network is trusted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_this_host_or_needs_leave() {
        let plain = |text: &str, allow_http| {
            let options = StoreOptions { allow_http, ..StoreOptions::default() };
            is_plain(&VolumeUrl::parse(text).unwrap(), &options)
        };
        assert!(!plain("s3://b/p", false).unwrap());
        assert!(!plain("s3://b/p?endpoint=https://h", false).unwrap());
        assert!(plain("s3://b/p?endpoint=http://127.0.0.1:5000", false).unwrap());
        assert!(plain("s3://b/p?endpoint=http://h", true).unwrap());
        let error = plain("s3://b/p?endpoint=http://h", false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("allow_http"));
    }
}
