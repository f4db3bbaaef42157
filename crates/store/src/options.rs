//! What a user may set about a store.

use std::time::Duration;

use crate::{breaker::BreakerPolicy, cloud::Connections, retry::RetryPolicy};

/// Settings of a store. The defaults suit a cloud store in the same region.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The server to talk to, unless the URL names one; else what the environment
    /// (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `GOOGLE_BASE_URL`, `AZURE_STORAGE_ENDPOINT`) or the
    /// AWS profile says; else the cloud's own.
    pub endpoint: Option<String>,
    /// The region of S3, unless the URL names one; else `AWS_REGION`, `AWS_DEFAULT_REGION`, the AWS profile, `us-east-1`.
    pub region: Option<String>,
    /// Allows plain http to hosts other than this one, where everybody on the way can read and change it. So does
    /// `AWS_ALLOW_HTTP`.
    pub allow_http: bool,
    /// How often and how long to try again.
    pub retry: RetryPolicy,
    /// When to stop asking a store that does not answer.
    pub breaker: BreakerPolicy,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for an answer, or for the next piece of one, unless the environment says (`AWS_TIMEOUT`,
    /// `AWS_READ_TIMEOUT`, and so on for the other clouds). Uploads get a second more per MiB.
    pub request_timeout: Duration,
    /// Connections to share with other stores of the same host; those of the default are the store's own.
    pub connections: Connections,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            endpoint: None,
            region: None,
            allow_http: false,
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(20),
            connections: Connections::default(),
        }
    }
}
