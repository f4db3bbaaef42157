//! The HTTP client, and where plain http is allowed.

use std::time::Duration;

use object_store::{ClientOptions, HeaderValue, RetryConfig};
use plimsoll_model::{Error, ErrorKind, Result, limits::REQUESTS_MAX};
use url::Url;

use crate::{Environment, Scheme, StoreOptions, VolumeUrl, url::is_loopback};

/// How long a connection waits for the next request: longer than a writer that is idle waits to show a sign of life.
const IDLE: Duration = Duration::from_secs(30);

/// Time limits that [`super::limit`] keeps, since they grow with what is sent.
const TIMEOUTS: [&str; 2] = ["TIMEOUT", "READ_TIMEOUT"];

/// How the variables of a cloud begin.
fn prefix(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Gcs => "GOOGLE_",
        Scheme::Azure => "AZURE_",
        Scheme::S3 | Scheme::File | Scheme::Memory => "AWS_",
    }
}

/// A cloud's variables for `object_store`, with names in lower case.
pub(super) fn variables(environment: &Environment, scheme: Scheme) -> impl Iterator<Item = (String, &str)> {
    let prefix = prefix(scheme);
    environment
        .starting_with(prefix)
        .filter(move |(name, _)| !TIMEOUTS.iter().any(|timeout| name[prefix.len()..].eq_ignore_ascii_case(timeout)))
}

/// Longest wait for an answer, or for the next piece of one: the shortest that the environment names, or that of the options.
///
/// # Errors
/// [`ErrorKind::Invalid`] if a variable has another form.
pub(super) fn request_timeout(options: &StoreOptions, environment: &Environment, scheme: Scheme) -> Result<Duration> {
    let mut shortest = None;
    for name in TIMEOUTS.map(|timeout| format!("{}{timeout}", prefix(scheme))) {
        let Some(text) = environment.get(&name) else { continue };
        let limit = humantime::parse_duration(text).map_err(|error| {
            Error::new(ErrorKind::Invalid, "reading the environment")
                .object(name)
                .why(format!("'{text}' is no time: {error}"))
                .hint("write it with a unit, as in 30s")
        })?;
        shortest = Some(shortest.map_or(limit, |other: Duration| other.min(limit)));
    }
    Ok(shortest.unwrap_or(options.request_timeout))
}

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
pub(super) fn is_plain(url: &VolumeUrl, options: &StoreOptions, environment: &Environment) -> Result<bool> {
    let Some(endpoint) = url.endpoint().and_then(|endpoint| Url::parse(endpoint).ok()) else { return Ok(false) };
    if endpoint.scheme() != "http" {
        return Ok(false);
    }
    let allowed = options.allow_http || environment.says_yes(&format!("{}ALLOW_HTTP", prefix(url.scheme())));
    if allowed || is_loopback(&endpoint) {
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
        let plain = |text: &str, allow_http, variable: &str| {
            let options = StoreOptions { allow_http, ..StoreOptions::default() };
            let environment: Environment = [(variable, "true")].into_iter().collect();
            is_plain(&VolumeUrl::parse(text).unwrap(), &options, &environment)
        };
        assert!(!plain("s3://b/p", false, "").unwrap());
        assert!(!plain("s3://b/p?endpoint=https://h", false, "").unwrap());
        assert!(plain("s3://b/p?endpoint=http://127.0.0.1:5000", false, "").unwrap());
        assert!(plain("s3://b/p?endpoint=http://h", true, "").unwrap());
        assert!(plain("s3://b/p?endpoint=http://h", false, "AWS_ALLOW_HTTP").unwrap());
        for variable in ["", "AZURE_ALLOW_HTTP"] {
            let error = plain("s3://b/p?endpoint=http://h", false, variable).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("allow_http"));
        }
    }

    #[test]
    fn time_limits_of_the_environment_are_ours_to_keep() {
        let limit = |variables: &[(&str, &str)]| {
            let environment: Environment = variables.iter().copied().collect();
            assert_eq!(super::variables(&environment, Scheme::S3).count(), 0);
            request_timeout(&StoreOptions::default(), &environment, Scheme::S3)
        };
        assert_eq!(limit(&[]).unwrap(), StoreOptions::default().request_timeout);
        assert_eq!(limit(&[("AWS_TIMEOUT", "2m")]).unwrap(), Duration::from_secs(120));
        assert_eq!(limit(&[("AWS_TIMEOUT", "2m"), ("AWS_READ_TIMEOUT", "30s")]).unwrap(), Duration::from_secs(30));
        assert_eq!(limit(&[("AZURE_TIMEOUT", "1s")]).unwrap(), StoreOptions::default().request_timeout);
        let error = limit(&[("AWS_TIMEOUT", "20")]).unwrap_err().to_string();
        assert!(error.contains("AWS_TIMEOUT") && error.contains("30s"), "{error}");
    }
}
