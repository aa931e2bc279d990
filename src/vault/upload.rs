//! Accounts that were connected elsewhere: their tokens come in and are kept like those of any account.
//!
//! 1. The connection is one that people connect accounts with, and has accounts of such an owner. The scope is within what it offers.
//! 2. An upload takes the place of the account that was there. Nothing is revoked at the service: the tokens may be of one grant, and a revocation would
//!    end what has just come. Who wants it disconnects the account first.
//! 3. A refresh token that is to be verified is used once; what the service gives for it is stored, with the scope that it says. Where the connection is
//!    changed before that, and nobody else has what was given, it is revoked. Where an account is there already, none is: a lease
//!    may be using its refresh token at that moment.
//! 4. Nobody has asked the service whose account it is: a person who connects one in its place is asked (`connect`).

use super::accounts;
use super::canary;
use super::connect::{self, Found};
use super::provider::is_token;
use super::provider::oauth2::{self, OwnClient, Owner, Tokens, Ungiven};
use super::refresh::{WRITE_PAUSE_MILLIS, WRITES};
use super::service::OAuth2;
use crate::context::Cx;
use crate::directory::users;
use crate::error::{Error, Reason, Result};
use crate::model::id::is_slug;
use crate::model::{ConnectedAccount, EventType};
use crate::store::accounts::{self as rows, ConnectionState, Place};

/// Tokens of an account.
pub struct Upload {
    /// The connection.
    pub connection: String,
    /// The user whose account it is; empty: the tenant's.
    pub owner: String,
    /// The label; empty for the account without.
    pub label: String,
    /// The access token; empty where there is a refresh token alone.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: Option<String>,
    /// The scope; empty: all that the connection offers.
    pub scopes: Vec<String>,
    /// When the access token expires, in seconds since the epoch.
    pub expires_at: i64,
    /// Whether the service has to take the refresh token first.
    pub is_verified: bool,
}

/// An account that was found sound, with its tokens.
pub struct Prepared {
    account: ConnectedAccount,
    tokens: Tokens,
    state: ConnectionState,
    /// Who can revoke the tokens, where the uploader has not got them.
    revoker: Option<(OAuth2, OwnClient)>,
}

/// Checks what is uploaded. Nothing is stored yet.
pub async fn prepare(cx: &Cx<'_>, upload: Upload) -> Result<Prepared> {
    let invalid = |why: &str| Reason::InvalidField.because(why);
    let Upload { connection, owner, label, access_token, refresh_token, scopes, expires_at, is_verified } = upload;
    let found = connect::find_now(cx, &connection).await?;
    let (state, Found { settings, connection: found }) = (found.state()?, found);
    if (settings.owner == Owner::Tenant) != owner.is_empty() {
        return Err(invalid("the connection has accounts of users alone, or of the tenant alone"));
    }
    if !owner.is_empty() {
        users::find(cx, &owner).await?;
    }
    if !label.is_empty() && !is_slug(&label) {
        return Err(invalid("`externalIdentifier` is no label"));
    }
    let has_one = !access_token.is_empty() || refresh_token.is_some();
    if !has_one
        || ![Some(&access_token), refresh_token.as_ref()]
            .into_iter()
            .flatten()
            .all(|text| text.is_empty() || is_token(text))
    {
        return Err(invalid("`accessToken` or `refreshToken` has to be there, and visible text"));
    }
    if !scopes.iter().all(|scope| settings.scopes.contains(scope)) {
        return Err(invalid("`scopes` has more than the connection offers"));
    }
    let place = Place { connection: &connection, owner: &owner, label: &label };
    if cx.one(rows::is_full(&cx.tenant.id, place)).await? == Some(true) {
        return Err(Reason::TooManyAccounts.into());
    }
    if is_verified && cx.one(rows::at(&cx.tenant.id, place)).await?.is_some() {
        return Err(
            Reason::Conflict.because("an account is connected there: delete it first, or leave `verifyRefresh` out")
        );
    }
    canary::try_key(cx).await?;
    let expires_at = if access_token.is_empty() { 0 } else { expires_at };
    let scope = if scopes.is_empty() { &settings.scopes } else { &scopes }.join(" ");
    let mut tokens = Tokens { access_token, refresh_token };
    let account = accounts::fresh(cx, place, scope);
    let mut account = ConnectedAccount { name: settings.service()?.name, expires_at, ..account };
    let mut revoker = None;
    if let Some(refresh_token) = tokens.refresh_token.clone().filter(|_| is_verified) {
        let _held = cx.world.lifetime.hold();
        let client = accounts::own_client(cx, &found, &settings).await?;
        let service = settings.oauth2()?;
        let given = oauth2::refresh(cx, &service, &client, &refresh_token).await;
        let given = given.map_err(|why| match why {
            Ungiven::Refused(..) => invalid("the service refuses `refreshToken`"),
            Ungiven::Trouble(why) | Ungiven::Lost(why) => Reason::ProviderFailed.because(why),
        })?;
        if let Some(scope) = given.scope {
            account.scope = scope.to_string();
        }
        (tokens, account.expires_at) = (given.tokens, given.expires_at);
        revoker = (tokens.refresh_token.as_ref() != Some(&refresh_token)).then_some((service, client));
    }
    Ok(Prepared { account, tokens, state, revoker })
}

/// Stores the tokens of an account.
pub async fn store(cx: &Cx<'_>, prepared: Prepared, by: &str) -> Result<()> {
    let Prepared { account, tokens, state, revoker } = prepared;
    let account = accounts::seal_new(cx, account, &tokens)?;
    let _held = cx.world.lifetime.hold();
    let place = Place { connection: &account.connection, owner: &account.owner, label: &account.label };
    let mut event = accounts::event(cx, EventType::AccountConnected, &account, None, Some("uploaded".to_owned()));
    event.client = Some(by.to_owned());
    let attempt = async || {
        let present = cx.one(rows::at(&cx.tenant.id, place)).await?;
        let replaced = present.as_ref().map(|present| present.id.as_str()).unwrap_or_default();
        // A reply was lost, and it is there.
        if replaced == account.id {
            return Ok::<_, Error>(Ok(()));
        }
        let put = rows::put(&cx.tenant.id, &account, replaced, &state);
        let is_stored = cx.commit(accounts::change(put, &account).event(event.clone())).await?;
        Ok(if is_stored { Ok(()) } else { Err(present.is_some()) })
    };
    let mut left = WRITES;
    let outcome = loop {
        left = left.saturating_sub(1);
        match attempt().await {
            Ok(outcome) => break outcome,
            Err(error) if left == 0 => return Err(error),
            // A verified refresh token is nowhere else.
            Err(_) => cx.sleep(WRITE_PAUSE_MILLIS).await,
        }
    };
    if let (Err(false), Some((service, client))) = (outcome, revoker) {
        oauth2::revoke(cx, &service, &client, &tokens).await;
    }
    outcome.map_err(|_| {
        Reason::Conflict.because("another request has just changed this account or its connection: try again")
    })
}
