//! Event streams of the Shared Signals Framework 1.0: who hears of what was stopped, and how.

use serde::{Deserialize, Serialize};

/// The one event type that is sent (CAEP 1.0 §3.1).
pub const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// A receiver's stream; a receiver has one at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Its `stream_id`.
    pub id: String,
    /// The client that receives it.
    pub client: String,
    /// What the receiver said about it.
    pub body: StreamBody,
    /// Whether it flows.
    pub status: StreamStatus,
    /// Counts changes to this row.
    pub version: i64,
}

/// What a receiver says about its stream (SSF 1.0 §8.1.1), and why its status is what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamBody {
    /// The event types that it understands; absent: whatever there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_requested: Option<Vec<String>>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it gets them.
    pub delivery: Delivery,
    /// Why its status is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How signals reach their receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method")]
pub enum Delivery {
    /// They are posted (RFC 8935).
    #[serde(rename = "urn:ietf:rfc:8935")]
    Push {
        /// Where to.
        endpoint_url: String,
        /// The `Authorization` header that goes along, sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sealed_authorization: Option<String>,
    },
    /// The receiver asks for them (RFC 8936).
    #[serde(rename = "urn:ietf:rfc:8936")]
    Poll,
}

/// The names of the delivery methods, in the order in which they are advertised.
pub const DELIVERY_METHODS: [&str; 2] = ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"];

/// Whether a stream flows (SSF 1.0 §8.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamStatus {
    /// It does.
    Enabled,
    /// Signals are held until it does again.
    Paused,
    /// It does not, and nothing is held.
    Disabled,
}

impl StreamStatus {
    /// The name in the table and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

impl Stream {
    /// Whether signals go out by themselves.
    pub fn pushes(&self) -> bool {
        self.status == StreamStatus::Enabled && self.body.delivery != Delivery::Poll
    }

    /// The event types that it carries.
    pub fn delivers(&self) -> Vec<&'static str> {
        let wanted =
            self.body.events_requested.as_ref().is_none_or(|asked| asked.iter().any(|one| one == SESSION_REVOKED));
        wanted.then_some(SESSION_REVOKED).into_iter().collect()
    }
}
