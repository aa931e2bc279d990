//! Connections: finding them, and the downstream tokens that an isolate keeps of them.

use crate::context::Cx;
use crate::context::cache::key;
use crate::crypto::Secret;
use crate::error::Result;
use crate::model::Connection;
use crate::model::id::is_slug;
use crate::store;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

key!(
    /// A connection by its name.
    ConnectionKey(name) -> Connection = "connection", weighs |_| 4_096
);

/// The base URL of a connection.
pub struct Base {
    /// The connection.
    pub connection: String,
    /// What the paths of calls follow.
    pub url: String,
}

/// The base URLs of a tenant's connections; nothing where there are too many to look through.
pub struct Bases(pub Option<Vec<Base>>);

key!(
    /// The base URLs of a tenant's connections.
    BasesKey -> Bases = "connection-bases", weighs |Bases(bases)| {
        bases.iter().flatten().map(|base| base.connection.len().saturating_add(base.url.len()).saturating_add(64)).sum()
    }
);

/// What a provider gave for a lease.
pub struct Downstream {
    /// The bearer token; empty where the lease is something else.
    pub access_token: Secret<String>,
    /// Further members of the lease, as the JSON text of an object; empty where there are none.
    pub members: Secret<String>,
    /// Seconds since the epoch; [`NEVER`] where it does not expire.
    pub expires_at: i64,
}

/// A moment that never comes.
pub const NEVER: i64 = 1 << 52;

impl Downstream {
    /// A bearer token and nothing else.
    pub const fn bearer(access_token: Secret<String>, expires_at: i64) -> Self {
        Self { access_token, members: Secret::new(String::new()), expires_at }
    }

    /// The text that is sealed: the token, and on the next line the members where there are any. Neither has a line break.
    pub fn text(&self) -> Secret<String> {
        match self.members.expose().is_empty() {
            true => self.access_token.clone(),
            false => Secret::new([self.access_token.expose().as_str(), "\n", self.members.expose()].concat()),
        }
    }

    /// What [`Self::text`] has made a text of.
    pub fn read(text: &Secret<String>, expires_at: i64) -> Self {
        let (token, members) = text.expose().split_once('\n').unwrap_or((text.expose(), ""));
        Self { access_token: Secret::new(token.to_owned()), members: Secret::new(members.to_owned()), expires_at }
    }

    /// Its further members.
    pub fn members(&self) -> Map<String, Value> {
        serde_json::from_str(self.members.expose()).unwrap_or_default()
    }

    /// When it expires, if it does, in seconds since the epoch.
    pub fn expiry(&self) -> Option<i64> {
        Some(self.expires_at).filter(|at| *at != NEVER)
    }
}

/// How many tokens of a connection an isolate keeps: beyond that they are read from D1 again.
const MAX_KEPT: usize = 100;

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
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
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
