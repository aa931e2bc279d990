//! Agentic identities: client × principal. The unit that is listed, stopped and shown in the status list.

use super::{ClientMetadata, Registration, Status};

/// Whether the user has stopped an agent that acts for them. It says nothing about what an administrator has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The user has not.
    No,
    /// Until the user lets it go on.
    Paused,
    /// Until the user consents anew.
    Stopped,
}

impl Held {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::No, Self::Paused, Self::Stopped];

    /// The number in the table.
    pub const fn number(self) -> i64 {
        match self {
            Self::No => 0,
            Self::Paused => 1,
            Self::Stopped => 2,
        }
    }

    /// The name on the wire; nothing where the user has not stopped it.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::No => None,
            Self::Paused => Some("paused"),
            Self::Stopped => Some("stopped"),
        }
    }
}

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
    /// Whether its user has stopped it.
    pub held: Held,
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
    /// Where it stands: as the worst of identity, client and user; one that its user has stopped is suspended.
    pub status: Status,
}

impl Entry {
    /// Who of it is not active: `identity`, `client`, `user`; `consent` where the user has stopped it.
    pub fn stopped(&self) -> Vec<&'static str> {
        let alone = self.identity.subject == self.identity.client;
        let lives = |status: Option<Status>| status == Some(Status::Active);
        let parties = [
            ("identity", lives(Some(self.identity.status))),
            ("client", lives(self.client_status)),
            ("user", alone || lives(self.user_status)),
            ("consent", self.identity.held == Held::No),
        ];
        parties.into_iter().filter(|(_, lives)| !lives).map(|(name, _)| name).collect()
    }
}

/// A client as a person knows it.
pub struct Known {
    /// The client.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// How it came.
    pub registration: Registration,
    /// Where it is in its life.
    pub status: Status,
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
