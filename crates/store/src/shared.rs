//! A shared store is a store.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_model::Result;

use crate::{Body, Created, Entry, Folder, Object, Page, Store, Tail};

// A method with a default that is not passed on would be answered by the default, whatever the store can do.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: Store + ?Sized> Store for Arc<S> {
    fn url(&self) -> &str {
        (**self).url()
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        (**self).create(key, body).await
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        (**self).put(key, body).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        (**self).get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        (**self).get_range(key, range).await
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        (**self).get_tail(key, bytes).await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        (**self).list(folder, after).await
    }

    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        (**self).list_page(folder, after).await
    }

    async fn list_folder(&self, folder: &str) -> Result<Folder> {
        (**self).list_folder(folder).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        (**self).delete(keys).await
    }

    async fn delete_once(&self, keys: &[String]) -> Result<()> {
        (**self).delete_once(keys).await
    }

    fn object_bytes_max(&self) -> u64 {
        (**self).object_bytes_max()
    }

    fn s3_layout(&self) -> bool {
        (**self).s3_layout()
    }
}
