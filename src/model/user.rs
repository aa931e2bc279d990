//! Users: the people on whose behalf agents act. Known by what outside issuers call them.

use super::{Status, id};
use crate::ports::{Entropy, Now};
use serde::{Deserialize, Serialize};

/// How many characters a text may have.
pub const MAX_TEXT: usize = 200;
/// How many roles or groups a user may have.
pub const MAX_ITEMS: usize = 100;
/// How many accounts a user may have.
pub const MAX_ACCOUNTS: usize = 20;
/// How many bytes the issuer or the subject of an account may have.
pub const MAX_ACCOUNT_TEXT: usize = 512;

/// What an administrator says about a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserBody {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people; never used to find a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Words that policies can refer to.
    pub roles: Vec<String>,
    /// Words that policies can refer to.
    pub groups: Vec<String>,
    /// What issuers say besides, as `name=value`: words that policies can refer to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// What outside issuers call them; a user is found by nothing else.
    pub accounts: Vec<Account>,
}

/// What an outside issuer calls a user: the pair is unique, a subject alone is not (OpenID Connect Core §5.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The `iss`, byte by byte.
    pub issuer: String,
    /// The `sub`, byte by byte.
    pub subject: String,
}

impl UserBody {
    /// Everything that is wrong with it beyond its shape; each problem names the member.
    pub fn problems(&self) -> Vec<String> {
        let mut all = Vec::new();
        let fits = |text: &String| !text.trim().is_empty() && text.chars().count() <= MAX_TEXT;
        for (field, value) in [("name", &self.name), ("email", &self.email)] {
            if value.as_ref().is_some_and(|text| !fits(text)) {
                all.push(format!("`{field}` must have 1 to {MAX_TEXT} characters"));
            }
        }
        for (field, words) in [("roles", &self.roles), ("groups", &self.groups), ("claims", &self.claims)] {
            if words.len() > MAX_ITEMS || !words.iter().all(fits) {
                all.push(format!("`{field}` may have {MAX_ITEMS} items of 1 to {MAX_TEXT} characters at most"));
            }
        }
        let sound = |text: &String| !text.is_empty() && text.len() <= MAX_ACCOUNT_TEXT;
        let fits = |account: &Account| sound(&account.issuer) && sound(&account.subject);
        if self.accounts.len() > MAX_ACCOUNTS || !self.accounts.iter().all(fits) {
            all.push(format!(
                "`accounts` may have {MAX_ACCOUNTS} items, each with an `issuer` and a `subject` of 1 to {MAX_ACCOUNT_TEXT} bytes"
            ));
        }
        all
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The `sub` of tokens about them; no client's id begins like it.
    pub id: String,
    /// What is known of them.
    pub body: UserBody,
    /// Where they are in their life.
    pub status: Status,
    /// Tokens issued up to this second are not honoured.
    pub revoked_before: i64,
    /// Counts changes to this row.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

impl User {
    /// A user who was not there before.
    pub fn new(body: UserBody, now: Now, entropy: &dyn Entropy) -> Self {
        Self {
            id: id::user_id(now, entropy),
            body,
            status: Status::Active,
            revoked_before: 0,
            version: 1,
            created_at: now.seconds(),
            updated_at: now.seconds(),
        }
    }
}
