//! Workers KV as the [`Kv`] port.

use crate::ports::{Kv, Pending, Unavailable};
use worker::Env;
use worker::kv::KvStore;

/// The binding `KV`.
pub struct CloudflareKv(pub Env);

const DOWN: Unavailable = Unavailable("the key-value store");

impl CloudflareKv {
    fn store(&self) -> Result<KvStore, Unavailable> {
        self.0.kv("KV").map_err(|_| DOWN)
    }
}

impl Kv for CloudflareKv {
    fn get<'a>(&'a self, key: &'a str) -> Pending<'a, Result<Option<String>, Unavailable>> {
        Box::pin(async move { self.store()?.get(key).text().await.map_err(|_| DOWN) })
    }

    fn put<'a>(&'a self, key: &'a str, value: String) -> Pending<'a, Result<(), Unavailable>> {
        Box::pin(async move { self.store()?.put(key, value).map_err(|_| DOWN)?.execute().await.map_err(|_| DOWN) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Pending<'a, Result<(), Unavailable>> {
        Box::pin(async move { self.store()?.delete(key).await.map_err(|_| DOWN) })
    }

    fn list<'a>(&'a self, prefix: &'a str, limit: u64) -> Pending<'a, Result<Vec<String>, Unavailable>> {
        Box::pin(async move {
            let list = self.store()?.list().prefix(prefix.to_owned()).limit(limit);
            Ok(list.execute().await.map_err(|_| DOWN)?.keys.into_iter().map(|key| key.name).collect())
        })
    }
}
