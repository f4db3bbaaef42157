//! Having credentials before a request, so that a failure to get them is told apart from the request's.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use object_store::{aws::AwsCredentialProvider, azure::AzureCredentialProvider, gcp::GcpCredentialProvider};
use plimsoll_host::Host;
use plimsoll_model::{Error, ErrorKind, Result};

use super::{
    answer::{Answer, Context},
    limit::Limits,
};
use crate::{Scheme, retry::RetryPolicy};

/// A metadata service is near: it answers at once or is not there.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const RETRY: RetryPolicy = RetryPolicy {
    attempts_max: 3,
    total_max: Duration::from_secs(5),
    pause_first: Duration::from_millis(100),
    pause_max: Duration::from_secs(1),
};

/// Where a cloud's credentials come from. The provider keeps them until they are about to expire.
pub(super) struct Credentials {
    source: Source,
    had: AtomicBool,
}

pub(super) enum Source {
    /// Requests are not signed.
    Anonymous,
    Aws(AwsCredentialProvider),
    Gcp(GcpCredentialProvider),
    Azure(AzureCredentialProvider),
}

impl From<Source> for Credentials {
    fn from(source: Source) -> Self {
        Credentials { source, had: AtomicBool::new(false) }
    }
}

impl Credentials {
    async fn get(&self) -> object_store::Result<()> {
        match &self.source {
            Source::Anonymous => Ok(()),
            Source::Aws(provider) => provider.get_credential().await.map(drop),
            Source::Gcp(provider) => provider.get_credential().await.map(drop),
            Source::Azure(provider) => provider.get_credential().await.map(drop),
        }
    }

    /// Waits until there are credentials that are good for a request.
    pub(super) async fn ready(&self, context: &Context<'_>, host: &Host) -> Result<()> {
        let limits = Limits::new(ANSWER_MAX, &host.clock);
        let limits = &limits;
        let attempt = || async move {
            match limits.within(0, self.get()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(self.failure(context, &Answer::of(&error).words())),
                Err(_) => Err(self.failure(context, "no answer in time")),
            }
        };
        match RETRY.run(host, attempt).await {
            Ok(()) => {
                self.had.store(true, Ordering::Relaxed);
                Ok(())
            }
            // Once there were some, so this is an outage; before, most likely nobody set any up.
            Err(error) if self.had.load(Ordering::Relaxed) => Err(error),
            Err(error) => Err(denied(context, &error)),
        }
    }

    fn failure(&self, context: &Context<'_>, why: &str) -> Error {
        context.fail(ErrorKind::Unavailable, format!("getting credentials: {why}"))
    }
}

fn denied(context: &Context<'_>, error: &Error) -> Error {
    context.fail(ErrorKind::Denied, format!("no credentials were found; the last source said: {error}")).hint(
        match context.scheme {
            Scheme::S3 => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role; \
                 AWS_SKIP_SIGNATURE=true for a public bucket"
            }
            Scheme::Azure => "set AZURE_STORAGE_ACCOUNT_KEY, or give the machine an identity",
            _ => "set GOOGLE_APPLICATION_CREDENTIALS, or give the machine a service account",
        },
    )
}
