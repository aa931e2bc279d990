//! The actions that policies are asked about, by the ids that the schema has.

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A token for a client on its own or for its user.
    Issue,
    /// A token in exchange for another.
    Exchange,
    /// The same without an actor, so that the token does not say who acts.
    Impersonate,
    /// A downstream credential.
    Lease,
    /// A user's consent.
    Consent,
    /// A client's registration.
    Register,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 6] =
        [Self::Issue, Self::Exchange, Self::Impersonate, Self::Lease, Self::Consent, Self::Register];

    /// The action of that id.
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == id)
    }

    /// The action's id in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Issue => "issue",
            Action::Exchange => "exchange",
            Action::Impersonate => "impersonate",
            Action::Lease => "lease",
            Action::Consent => "consent",
            Action::Register => "register",
        }
    }
}
