//! The life of whatever can be stopped.

use serde::{Deserialize, Serialize};

/// Where a client, a user, an identity or a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is honoured.
    Active,
    /// It is not, until it is resumed.
    Suspended,
    /// It never will be again.
    Retired,
}

impl Status {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Retired => "retired",
        }
    }
}
