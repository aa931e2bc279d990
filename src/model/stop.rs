//! Stopping: what can be stopped, and the receipt of it.

use super::Status;
use crate::crypto::sha256;
use serde::{Deserialize, Serialize};

/// The kinds of records that can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stoppable {
    /// A client with all its agentic identities.
    Client,
    /// One agentic identity.
    Identity,
    /// A user with all the agentic identities that act for them.
    User,
    /// A token and every token made from it.
    Chain,
    /// A connection with its credential.
    Connection,
    /// A tenant with everything in it.
    Tenant,
}

/// A record that can be stopped, as the tables name it.
#[derive(Clone, Copy, Debug)]
pub struct StopTarget<'a> {
    /// The kind.
    pub kind: Stoppable,
    /// The id or name; of a chain, the digest of its `jti`.
    pub id: &'a str,
}

impl Stoppable {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Client, Self::Identity, Self::User, Self::Chain, Self::Connection, Self::Tenant];

    /// The name in the table and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Identity => "identity",
            Self::User => "user",
            Self::Chain => "chain",
            Self::Connection => "connection",
            Self::Tenant => "tenant",
        }
    }
}

/// How long a token of an outside issuer that may be used again can still live when it is taken, in seconds: a day, the longest that the
/// platforms issue.
pub const OUTSIDE_SECONDS: i64 = 86_400;

/// The digest by which a token of an outside issuer is stopped: of both, for each issuer names its tokens for itself.
pub fn outside_digest(issuer: &str, jti: &str) -> String {
    sha256(format!("{}\0{issuer}\0{jti}", issuer.len())).to_text()
}

/// The receipt of a stop, which says from when on it holds everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The kind of the record.
    pub kind: Stoppable,
    /// Its id or name; of a chain, the digest of its `jti`.
    pub id: String,
    /// Its status now.
    pub status: Status,
    /// When, in seconds since the epoch.
    pub at: i64,
    /// From then on no part of Writ honours it: the freshness bound has passed.
    pub not_honoured_after: i64,
    /// The counts of what was stopped with it.
    pub stopped: Stopped,
    /// The event that tells of it; absent if it had been suspended before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

/// The counts of what was stopped with a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Secrets that had not expired.
    pub secrets: i64,
    /// Agentic identities.
    pub identities: i64,
    /// Refresh families that had not ended.
    #[serde(default)]
    pub refresh_families: i64,
    /// Sessions that had not ended.
    #[serde(default)]
    pub sessions: i64,
    /// Downstream tokens that were kept for reuse, and are not any more.
    pub leases: i64,
    /// When the last of those expires: a provider may honour them until then. Absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leases_expire_by: Option<i64>,
    /// Tokens issued up to then are refused by Writ.
    pub tokens_issued_until: i64,
    /// A resource server that does not ask Writ may honour a token until it expires: then at the latest.
    pub tokens_expire_by: i64,
}

/// Until when the stop of a chain is kept, in seconds.
#[derive(Clone, Copy)]
pub struct Until {
    /// Where nothing that was asked with a token of it can be redeemed later: until all that was made from it has expired.
    pub tokens: i64,
    /// Where something can: until that is over too.
    pub approvals: i64,
}
