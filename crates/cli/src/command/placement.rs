//! Where a new volume may be: neither in another one, nor around one.

use futures::{
    StreamExt,
    future::{BoxFuture, join, join_all},
    stream,
};
use plimsoll_commitlog::volume_key;
use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_store::Store;
use plimsoll_volume::Located;

use crate::setup::Setup;

/// Folders below the URL that are looked into.
const FOLDERS_MAX: usize = 256;
/// Requests that are under way together.
const LOOKS_MAX: usize = 16;

/// Makes sure that no place above the URL is a volume, whose keys these would be, and no folder right below it one.
///
/// A list, and a small read for each place above and each folder below, all at once. A place that may not be looked at
/// is taken for none: whoever may write here need not be allowed to read there.
///
/// # Errors
/// `Conflict` if there is one, with its URL.
pub(crate) fn check(setup: &Setup, located: &Located, doing: &'static str) -> Result<()> {
    setup.wait(looked_at(setup, located, doing))
}

/// As [`check`], beside something else.
pub(crate) fn looked_at<'a>(setup: &Setup, located: &'a Located, doing: &'static str) -> BoxFuture<'a, Result<()>> {
    let settings = &located.settings.settings;
    let above: Vec<_> = located.url.above().iter().filter_map(|url| setup.process.store(url, settings).ok()).collect();
    Box::pin(async move {
        let looks = above.iter().map(|store| async move { is_volume(&**store, "").await.then(|| store.url()) });
        let (outer, inner) = join(join_all(looks), below(&*located.own)).await;
        judge(located.store.url(), outer.into_iter().flatten().next(), inner, doing)
    })
}

fn judge(url: &str, outer: Option<&str>, inner: Option<String>, doing: &'static str) -> Result<()> {
    let refuse =
        |why: String, hint: &'static str| Err(Error::new(ErrorKind::Conflict, doing).object(url).why(why).hint(hint));
    if let Some(outer) = outer {
        return refuse(
            format!("it would be inside another volume, {outer}, which owns every key below its URL"),
            "choose a URL beside it",
        );
    }
    match inner {
        Some(inner) => refuse(
            format!("another volume is in it, {url}/{}, and would be hidden", inner.trim_end_matches('/')),
            "choose a URL that nothing is below",
        ),
        None => Ok(()),
    }
}

async fn is_volume(store: &dyn Store, folder: &str) -> bool {
    matches!(store.get(&format!("{folder}{}", volume_key())).await, Ok(Some(_)))
}

/// A folder right below that is a volume.
async fn below(store: &dyn Store) -> Option<String> {
    let folders = store.list_folder("").await.ok()?.folders;
    let looks = folders.into_iter().take(FOLDERS_MAX).map(|folder| async move {
        let found = is_volume(store, &folder).await;
        found.then_some(folder)
    });
    let mut looks = stream::iter(looks).buffered(LOOKS_MAX);
    while let Some(found) = looks.next().await {
        if found.is_some() {
            return found;
        }
    }
    None
}
