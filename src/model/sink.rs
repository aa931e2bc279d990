//! Sinks: where a tenant has its trail sent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How many characters a description has at most.
pub const MAX_TEXT: usize = 500;
/// How many events a batch has at most.
pub const MAX_SIZE: i64 = 500;

/// A sink.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// Its id.
    pub id: String,
    /// What an administrator says about it.
    pub body: SinkBody,
    /// What it is sent with, sealed.
    pub sealed: String,
    /// How often an administrator has said from where on it is sent.
    pub run: i64,
    /// The sequence number before the first event of that run; nothing: those that come after it was made.
    pub start: Option<i64>,
    /// Counts changes to what an administrator says about it.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

/// A sink as an administrator writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinkBody {
    /// Its kind.
    #[serde(default)]
    pub kind: String,
    /// Where it is.
    #[serde(default)]
    pub url: String,
    /// What its kind needs besides.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// How events look.
    #[serde(default)]
    pub form: EventForm,
    /// The types of events that it gets; nothing: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether anything is sent. A sink that is disabled keeps its position.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

const fn enabled() -> bool {
    true
}

impl SinkBody {
    /// A text of its configuration.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.config.get(name)?.as_str()
    }
}

/// How events look in a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventForm {
    /// As the admin API shows them, with their sequence number.
    #[default]
    Writ,
    /// As the Open Cybersecurity Schema Framework has them.
    Ocsf,
}

impl EventForm {
    /// Every form there is.
    pub const ALL: [Self; 2] = [Self::Writ, Self::Ocsf];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Writ => "writ",
            Self::Ocsf => "ocsf",
        }
    }
}

/// How far a sink has come.
#[derive(Clone, Debug)]
pub struct SinkState {
    /// The run that this is about.
    pub run: i64,
    /// The sequence number of the last event that it has taken, or that was not for it.
    pub position: i64,
    /// How many events the next batch has at most.
    pub size: i64,
    /// How often the next batch was tried in vain.
    pub attempts: i64,
    /// When it is tried next at the earliest, in milliseconds since the epoch.
    pub not_before: i64,
    /// Since when nothing was taken although there was something to take, in milliseconds since the epoch.
    pub failing_since: Option<i64>,
    /// What came of the last attempt in vain.
    pub outcome: Option<String>,
    /// How many events it has taken, those that it has taken twice counted twice.
    pub taken: i64,
    /// When it took the last ones, in milliseconds since the epoch.
    pub taken_at: Option<i64>,
    /// How many events of its run were forgotten before it could take them.
    pub missed: i64,
}
