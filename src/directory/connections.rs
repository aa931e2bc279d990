//! Connections: finding them, and the downstream tokens that an isolate keeps of them.

use crate::context::Cx;
use crate::context::cache::key;
use crate::crypto::Secret;
use crate::error::Result;
use crate::model::Connection;
use crate::model::id::is_slug;
use crate::store;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

key!(
    /// A connection by its name.
    ConnectionKey(name) -> Connection = "connection", weighs |_| 4_096
);

/// A token that a provider gave.
pub struct Downstream {
    /// The token.
    pub access_token: Secret<String>,
    /// Seconds since the epoch.
    pub expires_at: i64,
}

/// The downstream tokens of a connection that this isolate keeps for reuse, by credential and scope.
#[derive(Default)]
pub struct KeptTokens(RefCell<BTreeMap<(String, String), Rc<Downstream>>>);

key!(
    /// The kept tokens of a connection: what stops the connection, or a client that has leased from it, drops them.
    KeptTokensKey(connection) -> KeptTokens = "kept-tokens", weighs |_| 16 * 1_024
);

impl KeptTokens {
    /// The token of that credential and scope, if it expires after `moment`.
    pub fn outliving(&self, credential: &str, scope: &str, moment: i64) -> Option<Rc<Downstream>> {
        let key = (credential.to_owned(), scope.to_owned());
        self.0.borrow().get(&key).filter(|token| token.expires_at > moment).cloned()
    }

    /// Keeps a token in place of the one before it; those that have expired by `now` are let go.
    pub fn put(&self, credential: &str, scope: &str, token: Downstream, now: i64) -> Rc<Downstream> {
        let token = Rc::new(token);
        let mut kept = self.0.borrow_mut();
        kept.retain(|_, token| token.expires_at > now);
        kept.insert((credential.to_owned(), scope.to_owned()), token.clone());
        token
    }
}

/// The kept tokens of a connection.
pub async fn kept_tokens(cx: &Cx<'_>, connection: &str) -> Result<Rc<KeptTokens>> {
    Ok(cx.cached(&KeptTokensKey(connection), async || Ok(Some(KeptTokens::default()))).await?.unwrap_or_default())
}

/// The connection of that name, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, name: &str) -> Result<Option<Rc<Connection>>> {
    if !is_slug(name) {
        return Ok(None);
    }
    cx.cached(&ConnectionKey(name), async || cx.one(store::connections::get(&cx.tenant.id, name)).await).await
}
