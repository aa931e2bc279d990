//! Tokens of connected accounts, refreshed when they are due, so that nothing is lost.
//!
//! 1. An access token is used until [`MARGIN_SECONDS`] before it expires, or for half of its life where that is shorter; then one request of all
//!    isolates refreshes it (docs/requirements.md R57).
//! 2. The attempt is written before the call, its outcome after it. The nonce of the attempt fences: an attempt that has run out writes nothing.
//! 3. A refresh token that has been rotated is stored before its access token is handed out.
//! 4. When a reply is lost, the account is uncertain. It is asked once more where the service takes a used refresh token again; else its person has to
//!    connect it anew. Where refresh tokens stay, nothing is uncertain.
//! 5. A service that is down destroys nothing: what is there stays, and is tried again after [`PAUSE_SECONDS`]. Where a lost reply would cost the
//!    account, whether the service answers at all is asked first.
//! 6. An access token that still lives is used in every state but those in which the person, the service or an administrator has ended it.
//! 7. Each change of state is an event; of one that ends what lasts, such as a stream, every isolate hears.
//! 8. Tokens of another account than the person connected are revoked at once, and neither kept nor used; so are those for an account that was
//!    disconnected meanwhile.

use super::accounts::{ConnectedAccountKey, change, event, open, own_client, sealed};
use super::provider::oauth2::{self, Given, OwnClient, Settings, Ungiven};
use super::service::{OAuth2, Refresh};
use crate::context::{Change, Cx};
use crate::crypto::{Secret, nonce};
use crate::directory::connections::{self, Downstream};
use crate::error::{Error, Reason, Result};
use crate::model::{AccountStatus, ConnectedAccount, Connection, EventType};
use crate::oauth::Scope;
use crate::outbound;
use crate::store;
use crate::store::accounts::{Attempt, Failed, Place};
use std::cell::Cell;
use std::rc::Rc;

/// A token that lives no longer than this is refreshed.
const MARGIN_SECONDS: i64 = 120;
/// A token that lives longer than this is handed out where there is no other.
const LEAST_SECONDS: i64 = 10;
/// How long an attempt holds: longer than `outbound` lets the question before it, and the refresh, take.
const CLAIM_SECONDS: i64 = 60;
/// How long nothing is asked of a service that was in trouble, and of one that does not take the connection's own client.
const PAUSE_SECONDS: i64 = 5;
const MISCONFIGURED_SECONDS: i64 = 60;
/// How long a lease waits for another one's refresh.
const PATIENCE_MILLIS: u64 = 20_000;
const FIRST_PAUSE_MILLIS: u64 = 50;
const LONGEST_PAUSE_MILLIS: u64 = 500;
/// How often the outcome of a refresh is written when D1 gives no answer: what it holds is nowhere else.
pub(super) const WRITES: usize = 4;
pub(super) const WRITE_PAUSE_MILLIS: u64 = 250;

/// A token of an account.
pub struct Obtained {
    /// The token.
    pub token: Rc<Downstream>,
    /// How long it still lives, in seconds.
    pub expires_in: i64,
    /// The account as it is with it.
    pub account: Rc<ConnectedAccount>,
}

/// Why an account gives no token.
pub enum Missing {
    /// Its person has to connect it: there is none, or this is what became of it.
    Connect(Option<AccountStatus>),
    /// The service gives nothing now.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Missing {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A lease that needs a token of an account.
struct Acquisition<'a> {
    cx: &'a Cx<'a>,
    connection: &'a Connection,
    settings: &'a Settings,
    oauth2: OAuth2,
    id: &'a str,
    waited_millis: Cell<u64>,
}

/// A token of the account.
pub async fn obtain(
    cx: &Cx<'_>,
    connection: &Connection,
    settings: &Settings,
    account: &Rc<ConnectedAccount>,
) -> Result<Obtained, Missing> {
    let kept = connections::kept_tokens(cx, &connection.name).await?;
    let now = cx.now.seconds();
    let found = kept.outliving(&account.id, &account.scope, now.saturating_add(margin(account)));
    if let Some(token) = found {
        let expires_in = token.expires_at.saturating_sub(now);
        return Ok(Obtained { token, expires_in, account: account.clone() });
    }
    let stamp = cx.stamp();
    let acquisition = Acquisition {
        cx,
        connection,
        settings,
        oauth2: settings.oauth2()?,
        id: &account.id,
        waited_millis: Cell::new(0),
    };
    let before = account;
    let account = Rc::new(acquisition.run().await?);
    if account != *before {
        cx.keep(stamp, &ConnectedAccountKey(&account.connection, &account.owner, &account.label), (*account).clone());
    }
    let now = acquisition.now();
    let tokens = open(cx, &account)?;
    let token = Downstream::bearer(Secret::new(tokens.access_token.clone()), account.expires_at);
    let token = kept.put(&account.id, &account.scope, token, now);
    let expires_in = token.expires_at.saturating_sub(now);
    Ok(Obtained { token, expires_in, account })
}

/// How long before its end an access token is refreshed: a short one would else be refreshed at each lease.
fn margin(account: &ConnectedAccount) -> i64 {
    let issued_at = account.attempted_at.max(account.created_at);
    (account.expires_at.saturating_sub(issued_at) / 2).clamp(0, MARGIN_SECONDS)
}

/// Whether the service says that what it has given is another account's.
fn is_of_another(account: &ConnectedAccount, given: &Given) -> bool {
    let told = given.account_id.as_ref().filter(|_| !account.subject.is_empty());
    told.is_some_and(|told| *told != account.subject)
}

/// What is to be done about an account as it stands.
enum Next {
    /// Its access token is used.
    Use,
    /// Another request refreshes it.
    Wait,
    /// It is refreshed; whether with a refresh token that may have been used.
    Refresh { is_retry: bool },
    /// Whether its refresh token still counts is not known, and cannot be tried.
    GiveUp,
    /// It has failed a moment ago.
    Pause,
    /// Only its person, or an administrator, can help.
    Ended,
}

impl Acquisition<'_> {
    /// The moment, as far as the time of the request and the pauses since tell; never later than it is.
    fn now(&self) -> i64 {
        self.cx.now.seconds().saturating_add((self.waited_millis.get() / 1000).cast_signed())
    }

    /// Whether a refresh token that was used can be used again.
    fn can_retry(&self, account: &ConnectedAccount) -> bool {
        let age = self.now().saturating_sub(account.attempted_at);
        !account.retried && age < self.oauth2.reuse_seconds
    }

    fn next(&self, account: &ConnectedAccount) -> Next {
        let now = self.now();
        let standing = account.standing(now);
        if standing.gives_nothing() {
            return Next::Ended;
        }
        let lives = |seconds: i64| account.expires_at > now.saturating_add(seconds);
        let next = match standing {
            _ if lives(margin(account)) => Next::Use,
            AccountStatus::Refreshing => Next::Wait,
            _ if account.claimed_until > now => Next::Pause,
            AccountStatus::Uncertain if self.oauth2.refresh == Refresh::Stays => Next::Refresh { is_retry: false },
            AccountStatus::Uncertain if self.can_retry(account) => Next::Refresh { is_retry: true },
            AccountStatus::Uncertain => Next::GiveUp,
            _ if self.oauth2.refresh == Refresh::None => Next::GiveUp,
            _ => Next::Refresh { is_retry: false },
        };
        match next {
            Next::Wait | Next::GiveUp | Next::Pause if lives(LEAST_SECONDS) => Next::Use,
            next => next,
        }
    }

    async fn read(&self) -> Result<ConnectedAccount, Missing> {
        let found = self.cx.one(store::accounts::get(&self.cx.tenant.id, self.id)).await?;
        found.ok_or(Missing::Connect(None))
    }

    /// The account, with an access token that lives.
    async fn run(&self) -> Result<ConnectedAccount, Missing> {
        let mut pause = FIRST_PAUSE_MILLIS;
        loop {
            let account = self.read().await?;
            match self.next(&account) {
                Next::Use => return Ok(account),
                Next::Ended => return Err(Missing::Connect(Some(account.standing(self.now())))),
                Next::Pause => {
                    return Err(Reason::ProviderFailed.because("the service was in trouble just now").into());
                }
                Next::GiveUp => {
                    self.give_up(&account).await?;
                    return Err(Missing::Connect(Some(AccountStatus::Revoked)));
                }
                Next::Refresh { is_retry } => {
                    let _held = self.cx.world.lifetime.hold();
                    if let Some(refreshed) = self.refresh(account, is_retry).await? {
                        return Ok(refreshed);
                    }
                }
                Next::Wait if self.waited_millis.get() >= PATIENCE_MILLIS => {
                    return Err(Reason::ProviderTimeout
                        .because("the refresh that this lease waited for took too long")
                        .into());
                }
                Next::Wait => {
                    self.cx.sleep(pause).await;
                    self.waited_millis.set(self.waited_millis.get().saturating_add(pause));
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE_MILLIS);
                }
            }
        }
    }

    async fn give_up(&self, account: &ConnectedAccount) -> Result<()> {
        let (cx, now) = (self.cx, self.now());
        let has_refresh_token = open(cx, account).is_ok_and(|tokens| tokens.refresh_token.is_some());
        let (status, why) = match self.oauth2.refresh != Refresh::None && has_refresh_token {
            true => (AccountStatus::Revoked, "the reply to its refresh was lost"),
            false => (AccountStatus::Expired, "its access token has expired, and there is no refresh token"),
        };
        let guard = store::accounts::give_up(&cx.tenant.id, account, status, now);
        let event = event(cx, EventType::AccountChanged, account, Some(status), Some(why.to_owned()));
        cx.commit(change(guard, account).event(event)).await.map(drop)
    }

    /// The account with other tokens; nothing if it has to be looked at again.
    async fn refresh(&self, account: ConnectedAccount, is_retry: bool) -> Result<Option<ConnectedAccount>, Missing> {
        let (cx, tenant) = (self.cx, &self.cx.tenant.id);
        let tokens = open(cx, &account)?;
        let Some(refresh_token) = &tokens.refresh_token else {
            self.give_up(&account).await?;
            return Err(Missing::Connect(Some(AccountStatus::Expired)));
        };
        let client = own_client(cx, self.connection, self.settings).await?;
        let (nonce, now) = (nonce(&*cx.world.entropy), self.now());
        let attempt = Attempt { account: &account.id, generation: account.generation, nonce: &nonce };
        let claim = store::accounts::claim(tenant, attempt, is_retry, now, now.saturating_add(CLAIM_SECONDS));
        let claimed = match cx.run(vec![claim]).await {
            Ok(changes) => changes.first() != Some(&0),
            // The reply was lost: nothing has been sent yet, and the row tells whose the attempt is.
            Err(_) => self.read().await?.claim.as_deref() == Some(&*nonce),
        };
        if !claimed {
            return Ok(None);
        }
        let loses = self.oauth2.refresh == Refresh::Rotates && !is_retry;
        if loses && self.is_down().await {
            return self.failed(&account, attempt, (AccountStatus::Degraded, true), "it does not answer").await;
        }
        match oauth2::refresh(cx, &self.oauth2, &client, refresh_token).await {
            Ok(given) if is_of_another(&account, &given) => {
                oauth2::revoke(cx, &self.oauth2, &client, &given.tokens).await;
                let changed = (AccountStatus::AccountChanged, false);
                self.failed(&account, attempt, changed, "its tokens are another account's now").await
            }
            Ok(given) => self.keep(&account, attempt, given, &client).await,
            Err(Ungiven::Refused(status, code)) => self.failed(&account, attempt, (status, false), &code).await,
            // The service has not taken it, so the doubt of before is the same.
            Err(Ungiven::Trouble(why)) => {
                let status = if is_retry { AccountStatus::Uncertain } else { AccountStatus::Degraded };
                self.failed(&account, attempt, (status, true), why).await
            }
            Err(Ungiven::Lost(why)) if self.oauth2.refresh == Refresh::Stays => {
                self.failed(&account, attempt, (AccountStatus::Degraded, false), why).await
            }
            Err(Ungiven::Lost(why)) => self.failed(&account, attempt, (AccountStatus::Uncertain, false), why).await,
        }
    }

    /// Whether the service answers nothing of use: then nothing is sent that could be lost.
    async fn is_down(&self) -> bool {
        match outbound::send(self.cx, ("GET", &self.oauth2.token_endpoint), Vec::<(&str, String)>::new(), None).await {
            Ok(answer) => answer.status >= 500,
            Err(failure) => matches!(failure, outbound::Failure::Unreachable | outbound::Failure::Timeout),
        }
    }

    /// Stores what the service has given. Only then is it used.
    async fn keep(
        &self,
        account: &ConnectedAccount,
        attempt: Attempt<'_>,
        given: Given,
        client: &OwnClient,
    ) -> Result<Option<ConnectedAccount>, Missing> {
        let (cx, tenant, now) = (self.cx, &self.cx.tenant.id, self.now());
        let generation = account.generation.saturating_add(1);
        let sealed = sealed(cx, account, generation, &given.tokens)?;
        let scope = given.scope.as_ref().map_or_else(|| account.scope.clone(), Scope::to_string);
        let fulfil = store::accounts::fulfil(tenant, attempt, &sealed, given.expires_at, &scope, now);
        for left in (0..WRITES).rev() {
            // Isolates keep the scope of an account, and nothing else that changes here.
            let mut mended = match scope == account.scope {
                true => Change::guard(fulfil.clone()),
                false => change(fulfil.clone(), account),
            };
            if account.status != AccountStatus::Active {
                mended = mended.event(event(cx, EventType::AccountChanged, account, Some(AccountStatus::Active), None));
            }
            match cx.commit(mended).await {
                // Where nothing changed, it is there already, for a reply was lost; or the account was connected anew, or is gone.
                Ok(_) => break,
                Err(error) if left == 0 => return Err(error.into()),
                Err(_) => cx.sleep(WRITE_PAUSE_MILLIS).await,
            }
        }
        match cx.one(store::accounts::get(tenant, self.id)).await? {
            Some(stored) if stored.generation == generation && stored.claim.as_deref() == Some(attempt.nonce) => {
                Ok(Some(stored))
            }
            Some(_) => Ok(None),
            None => {
                // It has ended meanwhile. Where the same account was connected again, a revocation might end what that has got.
                let place = Place { connection: &account.connection, owner: &account.owner, label: &account.label };
                let there = cx.one(store::accounts::at(tenant, place)).await?;
                if !there.is_some_and(|there| there.is_same_at_service(account)) {
                    oauth2::revoke(cx, &self.oauth2, client, &given.tokens).await;
                }
                Err(Missing::Connect(None))
            }
        }
    }

    /// Ends an attempt that has brought nothing: the access token that is there, if it lives.
    async fn failed(
        &self,
        account: &ConnectedAccount,
        attempt: Attempt<'_>,
        (status, is_untaken): (AccountStatus, bool),
        why: &str,
    ) -> Result<Option<ConnectedAccount>, Missing> {
        let (cx, now) = (self.cx, self.now());
        let pause = match (status, is_untaken) {
            (AccountStatus::ClientMisconfigured, _) => MISCONFIGURED_SECONDS,
            (AccountStatus::Degraded, _) | (_, true) => PAUSE_SECONDS,
            _ => 0,
        };
        let failure = Failed { status, pause_until: now.saturating_add(pause), is_untaken };
        let guard = store::accounts::fail(&cx.tenant.id, attempt, failure, now);
        // What lasts, such as a stream, asks about the state.
        let mut ended = if status.gives_nothing() { change(guard, account) } else { Change::guard(guard) };
        if account.status != status {
            ended = ended.event(event(cx, EventType::AccountChanged, account, Some(status), Some(why.to_owned())));
        }
        cx.commit(ended).await?;
        let lives = account.expires_at > now.saturating_add(LEAST_SECONDS);
        match status {
            status if status.needs_reauth() => Err(Missing::Connect(Some(status))),
            _ if lives => {
                let found = self.read().await?;
                let standing = found.standing(now);
                if standing.gives_nothing() { Err(Missing::Connect(Some(standing))) } else { Ok(Some(found)) }
            }
            // It is looked at again: another attempt, or none that could be made.
            AccountStatus::Uncertain if !is_untaken => Ok(None),
            _ => Err(Reason::ProviderFailed.because(why).into()),
        }
    }
}
