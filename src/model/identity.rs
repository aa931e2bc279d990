//! Agentic identities: client × principal. The unit that is listed, stopped and shown in the status list.

use super::{ClientMetadata, Status};

/// A client together with whom it acts for: a user, or itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub id: String,
    /// Its index in the status list of the tenant, given once.
    pub place: i64,
    /// The client.
    pub client: String,
    /// The principal: a user's id, or the client's.
    pub subject: String,
    /// The grant type that it was first seen with.
    pub registered_by: String,
    /// Where it is in its life.
    pub status: Status,
    /// Tokens issued up to this second are not honoured.
    pub revoked_before: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

/// An agentic identity as the directory shows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The identity.
    pub identity: Identity,
    /// What is known of its client, unless that is gone.
    pub client: Option<ClientMetadata>,
    /// What its subject is called: a user, or the client itself; nothing if it has no name or is gone.
    pub subject_name: Option<String>,
    /// Where its client is in its life.
    pub client_status: Option<Status>,
    /// Where its user is in their life, if it has one who is not gone.
    pub user_status: Option<Status>,
    /// Where it stands: as the worst of identity, client and user.
    pub status: Status,
}

impl Entry {
    /// Who of it is not active: `identity`, `client`, `user`.
    pub fn stopped(&self) -> Vec<&'static str> {
        let alone = self.identity.subject == self.identity.client;
        let lives = |status: Option<Status>| status == Some(Status::Active);
        let parties = [
            ("identity", lives(Some(self.identity.status))),
            ("client", lives(self.client_status)),
            ("user", alone || lives(self.user_status)),
        ];
        parties.into_iter().filter(|(_, lives)| !lives).map(|(name, _)| name).collect()
    }
}

/// Which identities a list shall show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Those of this client.
    pub client: Option<&'a str>,
    /// Those about this subject.
    pub subject: Option<&'a str>,
    /// Those that stand like this.
    pub status: Option<Status>,
}
