//! A create whose answer may have been lost.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use plimsoll_ltx::FileId;
use plimsoll_model::{
    ErrorKind, Result, Stamp,
    step::{Step, taken},
};
use plimsoll_store::{Body, Created};

use crate::{
    Context,
    tail::{looks_like, read_head},
    verdict::{Whose, whose},
};

/// How often an open asks again for an answer, beyond what the store itself retries.
const ASKS_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);

/// Creates an LTX object at most once. [`Whose::Ours`] if it is there and ours.
///
/// # Errors
/// The outcome is unknown: ask again with the same body.
pub(crate) async fn create_ltx(
    context: &Context,
    id: &FileId,
    body: Body,
    stamp: Stamp,
    checksum: u64,
) -> Result<Whose> {
    let answer = context.store.create(&context.layout().key(id), body).await;
    if !taken(Step::AskAgain) && answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
        return Ok(Whose::Ours);
    }
    if !taken(Step::Unknown) && answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
        return Ok(Whose::Theirs(None));
    }
    match answer? {
        Created::New => Ok(Whose::Ours),
        Created::Exists if !taken(Step::CompareStamp) => Ok(Whose::Ours),
        // A large one is read whole only if it is not the one that we sent.
        Created::Exists if looks_like(context, id, stamp, checksum).await? => Ok(Whose::Ours),
        Created::Exists => Ok(whose(read_head(context, id).await?.as_ref(), stamp, checksum)),
    }
}

/// Creates a record at most once; whether it is there and ours. One request, or two where creates are not exclusive.
///
/// # Errors
/// The outcome is unknown: ask again with the same bytes.
pub(crate) async fn create_record(context: &Context, key: &str, bytes: &[u8]) -> Result<bool> {
    if context.is_unfenced()
        && let Some(found) = context.store.get(key).await?
    {
        return Ok(found.bytes == bytes);
    }
    match context.store.create(key, bytes.to_vec().into()).await? {
        Created::New => Ok(true),
        Created::Exists => Ok(context.store.get(key).await?.is_some_and(|found| found.bytes == bytes)),
    }
}

/// Removes a record that has these bytes and whose name somebody else may take next: by single requests, each after a
/// look whose it is. One that is sent again unasked could come so late that it removes somebody else's. `looked`: it was
/// just read.
///
/// # Errors
/// Those of the store: it may be there or not.
pub(crate) async fn delete_record(context: &Context, key: &str, bytes: &[u8], looked: bool) -> Result<()> {
    let name = [key.to_owned()];
    let mut looked = looked;
    insist(context, || {
        let look = !std::mem::take(&mut looked);
        let name = &name;
        async move {
            let gone = look && context.store.get(key).await?.is_none_or(|found| found.bytes != bytes);
            if gone { Ok(()) } else { context.store.delete_once(name).await }
        }
        .boxed()
    })
    .await
}

/// Asks again, with growing pauses, while there is no answer.
///
/// # Errors
/// The last one.
pub(crate) async fn insist<'a, T>(context: &Context, mut ask: impl FnMut() -> BoxFuture<'a, Result<T>>) -> Result<T> {
    let mut asked = 1;
    loop {
        match ask().await {
            Err(error) if error.kind() == ErrorKind::Unavailable && asked < ASKS_MAX => {
                let pause = PAUSE * 2u32.pow(asked);
                let jitter = context.host.chance.below(pause.as_millis() as u64);
                context.host.clock.sleep(pause / 2 + Duration::from_millis(jitter)).await;
                asked += 1;
            }
            answer => return answer,
        }
    }
}
