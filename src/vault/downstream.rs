//! Downstream tokens: fetched once, shared by all isolates, until shortly before they expire.
//!
//! 1. A token is reused until [`MARGIN_SECONDS`] before it expires: from this isolate's memory, or from D1, where it lies
//!    sealed under the data key of its credential.
//! 2. A lease that needs a new one claims the right to fetch it in D1 (docs/requirements.md R57). The others wait for the
//!    outcome and share it, failure included, so a provider in trouble is not asked by all of them again.
//!    The request that holds the claim is held until the claim has ended, although its client may have gone.
//! 3. A claim runs out after [`CLAIM_SECONDS`], so a holder that is gone blocks nobody for long; the nonce keeps it from
//!    storing anything later. What it fetched for a connection that has changed meanwhile is dropped.
//! 4. A token is kept for its scope, the version of its connection, and the agent or the user whose it is: what was fetched under another
//!    config is handed out no more.

use super::envelope::{self, CredentialPath};
use super::provider::{self, ExchangeRequest, Provider};
use crate::context::Cx;
use crate::crypto::nonce;
use crate::directory::connections::{self, Downstream, KeptTokens, NEVER};
use crate::error::{Error, Fault, Reason, Result};
use crate::model::Connection;
use crate::model::connection::CredentialPointer;
use crate::store::leases::{self, Claim, Lease, LeaseKey};
use std::cell::Cell;
use std::rc::Rc;

/// A token that lives no longer than this is not reused.
const MARGIN_SECONDS: i64 = 120;
/// How long a claim holds: longer than `outbound` lets an exchange take.
const CLAIM_SECONDS: i64 = 20;
/// How long a lease waits for another one's exchange.
const PATIENCE_MILLIS: u64 = 15_000;
/// The first pause between two looks; each is twice the one before.
const FIRST_PAUSE_MILLIS: u64 = 50;
/// The longest pause: with it a whole wait takes fewer looks than the 50 subrequests of a free plan.
const LONGEST_PAUSE_MILLIS: u64 = 500;

/// A token for one lease.
pub struct Obtained {
    /// The token.
    pub token: Rc<Downstream>,
    /// How long it still lives, in seconds.
    pub expires_in: i64,
}

/// A lease that needs a downstream token.
struct Acquisition<'a> {
    cx: &'a Cx<'a>,
    connection: &'a Connection,
    pointer: &'a CredentialPointer,
    provider: &'static Provider,
    scope: &'a str,
    /// The agent or the user whose token it is; empty where all share it.
    party: &'a str,
    /// What the token is kept under.
    slot: String,
    kept: Rc<KeptTokens>,
    waited_millis: Cell<u64>,
}

/// A token for the connection with exactly this scope, of that agent or user; `party` is empty where all share it.
pub async fn obtain(cx: &Cx<'_>, connection: &Connection, scope: &str, party: &str) -> Result<Obtained> {
    let pointer = connection.credential.as_ref().ok_or(Fault::Broken("a connection has no credential"))?;
    let kept = connections::kept_tokens(cx, &connection.name).await?;
    let provider = provider::find(&connection.kind).ok_or(Fault::Broken("a stored kind is unknown"))?;
    let slot = format!("{scope}\n{}\n{party}", connection.version);
    let waited_millis = Cell::new(0);
    let acquisition = Acquisition { cx, connection, pointer, provider, scope, party, slot, kept, waited_millis };
    let token = acquisition.run().await?;
    let expires_in = token.expires_at.saturating_sub(acquisition.now());
    Ok(Obtained { token, expires_in })
}

impl Acquisition<'_> {
    /// The moment, as far as the time of the request and the pauses since tell; never later than it is.
    fn now(&self) -> i64 {
        let waited = self.waited_millis.get() / 1000;
        self.cx.now.seconds().saturating_add(waited.cast_signed())
    }

    fn reusable_after(&self) -> i64 {
        self.now().saturating_add(MARGIN_SECONDS)
    }

    fn path(&self) -> CredentialPath<'_> {
        CredentialPath { tenant: &self.cx.tenant.id, connection: &self.connection.name, credential: &self.pointer.id }
    }

    fn key(&self) -> LeaseKey<'_> {
        LeaseKey { tenant: &self.cx.tenant.id, connection: &self.connection.name, scope: &self.slot }
    }

    fn keep(&self, token: Downstream) -> Rc<Downstream> {
        self.kept.put(&self.pointer.id, &self.slot, token, self.now())
    }

    async fn run(&self) -> Result<Rc<Downstream>> {
        loop {
            if let Some(token) = self.kept.outliving(&self.pointer.id, &self.slot, self.reusable_after()) {
                return Ok(token);
            }
            let held = self.cx.world.lifetime.hold();
            let nonce = nonce(&*self.cx.world.entropy);
            let row = match self.claim(&nonce).await {
                Ok(Some(row)) => row,
                Ok(None) => return self.finish(&nonce, self.fetch(&nonce).await).await,
                Err(fault) => return self.finish(&nonce, Err(fault)).await,
            };
            drop(held);
            if row.expires_at > self.reusable_after() && row.credential == self.pointer.id {
                return self.adopt(&row);
            }
            if let Some(token) = self.wait(&row).await? {
                return Ok(token);
            }
        }
    }

    /// Claims the right to fetch; if it cannot be had, gives the row that says why.
    async fn claim(&self, nonce: &str) -> Result<Option<Lease>> {
        let claim = Claim {
            credential: &self.pointer.id,
            nonce,
            good_until: self.reusable_after(),
            now: self.now(),
            until: self.now().saturating_add(CLAIM_SECONDS),
        };
        let (claimed, found) = self.cx.batch((leases::claim(self.key(), claim), leases::get(self.key()))).await?;
        if claimed > 0 {
            return Ok(None);
        }
        found.into_iter().next().map(Some).ok_or_else(|| Fault::Broken("a lease that is taken has no row").into())
    }

    /// Ends a claim that came to nothing, so that the next lease need not wait for it to run out. A claim whose reply was
    /// lost may have been made.
    async fn finish(&self, nonce: &str, fetched: Result<Rc<Downstream>>) -> Result<Rc<Downstream>> {
        if fetched.is_err() && self.cx.run(vec![leases::release(self.key(), nonce)]).await.is_err() {
            self.cx.world.log.line("vault: a claim could not be ended and will run out");
        }
        fetched
    }

    /// Asks the provider and shares what it gives.
    async fn fetch(&self, nonce: &str) -> Result<Rc<Downstream>> {
        let (cx, path) = (self.cx, self.path());
        let key = envelope::data_key(cx, &path, self.pointer)?;
        let plain = envelope::fetch(cx, &path, &key).await?;
        let now = self.now();
        let request = ExchangeRequest {
            connection: &self.connection.name,
            config: &self.connection.settings.config,
            credential: &self.pointer.id,
            plain: &plain,
            scope: self.scope,
            party: self.party,
            now,
        };
        let exchange = self.provider.exchange.ok_or(Fault::Broken("this kind of connection has no exchange"))?;
        let provider::Token { access_token, members, lifetime } = exchange(cx, request).await?;
        // Counted from before the exchange, so never later than the provider's own moment.
        let expires_at = lifetime.map_or(NEVER, |lifetime| now.saturating_add(lifetime.into()));
        let token = Downstream { access_token, members, expires_at };
        let sealed = path
            .seal_token(&key, (&self.slot, token.expires_at), &token.text(), &*cx.world.entropy)
            .ok_or(Fault::Broken("a token cannot be sealed"))?;
        let fulfil = leases::fulfil(self.key(), &self.pointer.id, nonce, &sealed, token.expires_at);
        let changes = cx.run(vec![fulfil]).await?;
        match changes.first().is_some_and(|rows| *rows > 0) {
            true => Ok(self.keep(token)),
            false => Err(Fault::Unavailable("the connection, which has just changed,").into()),
        }
    }

    /// Takes over the token of a row.
    fn adopt(&self, row: &Lease) -> Result<Rc<Downstream>> {
        let broken = || Error::Fault(Fault::Broken("a stored token cannot be read"));
        let key = envelope::data_key(self.cx, &self.path(), self.pointer)?;
        let sealed = row.sealed.as_deref().ok_or_else(broken)?;
        let text = self.path().open_token(&key, (&self.slot, row.expires_at), sealed).ok_or_else(broken)?;
        Ok(self.keep(Downstream::read(&text, row.expires_at)))
    }

    /// Waits until the claim on `taken` has ended and gives its token; nothing if the claim ran out.
    async fn wait(&self, taken: &Lease) -> Result<Option<Rc<Downstream>>> {
        let mut pause = FIRST_PAUSE_MILLIS;
        while self.waited_millis.get() < PATIENCE_MILLIS {
            self.cx.sleep(pause).await;
            self.waited_millis.set(self.waited_millis.get().saturating_add(pause));
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE_MILLIS);
            if let Some(token) = self.kept.outliving(&self.pointer.id, &self.slot, self.reusable_after()) {
                return Ok(Some(token));
            }
            match self.cx.one(leases::get(self.key())).await? {
                Some(row) if row.claim == taken.claim => {
                    if row.claimed_until <= self.now() {
                        return Ok(None);
                    }
                }
                // A token that was fetched meanwhile is as fresh as can be, however short it lives.
                Some(row)
                    if row.sealed != taken.sealed
                        && row.credential == self.pointer.id
                        && row.expires_at > self.now() =>
                {
                    return self.adopt(&row).map(Some);
                }
                _ => return Err(Reason::ProviderFailed.because("the exchange that this lease waited for failed")),
            }
        }
        Err(Reason::ProviderTimeout.because("the exchange that this lease waited for took too long"))
    }
}
