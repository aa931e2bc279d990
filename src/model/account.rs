//! Accounts at services: the credentials that people connect, and the states that these go through.

use serde::{Deserialize, Serialize};

/// How many accounts an owner has connected with one connection, one for each label.
pub const MAX_OF_OWNER: i64 = 20;

/// An account at a service, with the tokens that reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedAccount {
    /// Never reused.
    pub id: String,
    /// The connection.
    pub connection: String,
    /// The user whose it is; empty: the tenant's.
    pub owner: String,
    /// What tells several accounts of one owner apart; empty at first.
    pub label: String,
    /// The account as the service calls it, for people.
    pub name: String,
    /// What identifies the account at the service.
    pub subject: String,
    /// The scope that was asked for.
    pub scope_asked: String,
    /// The scope that the service granted.
    pub scope: String,
    /// Where it is in its life.
    pub status: AccountStatus,
    /// The data key of the tokens, sealed under the vault's key-encryption key.
    pub wrapped_key: String,
    /// The tokens, sealed under the data key.
    pub sealed: String,
    /// When the access token expires, in seconds since the epoch.
    pub expires_at: i64,
    /// Counts the sets of tokens.
    pub generation: i64,
    /// The nonce of the last attempt to get other tokens.
    pub claim: Option<String>,
    /// Until when that attempt goes on, in seconds.
    pub claimed_until: i64,
    /// When it began, in seconds.
    pub attempted_at: i64,
    /// Whether it was the second one with one refresh token.
    pub retried: bool,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

/// Where an account is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// Its tokens can be used.
    Active,
    /// A request gets other tokens now.
    Refreshing,
    /// The service was in trouble; the tokens are as they were.
    Degraded,
    /// The reply to a refresh was lost: whether the refresh token still counts is not known.
    Uncertain,
    /// The service refuses the refresh token.
    Revoked,
    /// The refresh token has outlived what the service allows.
    Expired,
    /// The person has taken the consent back at the service.
    ConsentWithdrawn,
    /// The service no longer grants the scope.
    ScopeLost,
    /// Another account answers.
    AccountChanged,
    /// The service does not take the connection's own client.
    ClientMisconfigured,
    /// An administrator, or a kill, has stopped it.
    Disabled,
}

impl AccountStatus {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Active,
        Self::Refreshing,
        Self::Degraded,
        Self::Uncertain,
        Self::Revoked,
        Self::Expired,
        Self::ConsentWithdrawn,
        Self::ScopeLost,
        Self::AccountChanged,
        Self::ClientMisconfigured,
        Self::Disabled,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Refreshing => "refreshing",
            Self::Degraded => "degraded",
            Self::Uncertain => "uncertain",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::ScopeLost => "scope_lost",
            Self::AccountChanged => "account_changed",
            Self::ClientMisconfigured => "client_misconfigured",
            Self::Disabled => "disabled",
        }
    }

    /// Whether nothing but the person helps: connecting the account anew.
    pub const fn needs_reauth(self) -> bool {
        matches!(self, Self::Revoked | Self::Expired | Self::ConsentWithdrawn | Self::ScopeLost | Self::AccountChanged)
    }

    /// Whether not even an access token that still lives is used.
    pub const fn gives_nothing(self) -> bool {
        self.needs_reauth() || matches!(self, Self::Disabled)
    }
}

impl ConnectedAccount {
    /// Whether the service has said of both that they are one account.
    pub fn is_same_at_service(&self, other: &Self) -> bool {
        !self.subject.is_empty() && self.subject == other.subject
    }

    /// Where it stands at `now`: an attempt that has run out left no word of what became of it.
    pub const fn standing(&self, now: i64) -> AccountStatus {
        match self.status {
            AccountStatus::Refreshing if self.claimed_until <= now => AccountStatus::Uncertain,
            status => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_one_name_in_storage_and_on_the_wire() {
        for status in AccountStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
