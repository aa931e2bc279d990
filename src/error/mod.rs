//! Errors: every reason of a refusal, and the one map from a reason to the wire.
//!
//! 1. A refusal is the caller's to mend and has a [`Reason`]; a [`Fault`] is ours and says nothing about its cause.
//! 2. A description is constant: it never holds the sent value or the expected one (docs/requirements.md R110).
//!    Detail goes to the log and the audit event; the admin API alone shows it, to an authenticated administrator.
//! 3. Wrong grants and wrong clients are told apart as RFC 6749 §5.2 asks; unknown and wrong are not told apart at all.

mod reason;
mod table;

pub use reason::Reason;
pub use table::Wire;

use std::fmt;

/// Something on our side. The word is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A part that we need gives no answer; trying again helps.
    Unavailable(&'static str),
    /// A stored value is not what we wrote, or a bound that cannot be reached was.
    Broken(&'static str),
}

/// A refusal with what only the log, the event and an administrator may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// The detail for the log, the event and an administrator.
    pub detail: Option<String>,
    /// The decision that an administrator can look up, when policy refused.
    pub decision: Option<String>,
    /// The scope that would do (RFC 6750 §3).
    pub scope: Option<&'static str>,
    /// After how many seconds it is worth to try again, where the reason alone does not say.
    pub retry_after: Option<i64>,
    /// What a person can do about it.
    pub remedy: Option<Box<Remedy>>,
}

/// What a person can do about a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Connect the account that is missing, here.
    Connect(String),
    /// Decide about this approval.
    Approve(Waiting),
    /// Sign in with one of these `acr_values` (RFC 9470 §3).
    SignIn(String),
}

/// An approval that a request needs and does not have: what its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: String,
    /// Where a person decides about it, while it waits.
    pub uri: Option<String>,
    /// The number that the page shows, while it waits.
    pub number: Option<String>,
    /// How many seconds the client waits before it tries again.
    pub interval: i64,
    /// How long it waits still, or how long the answer stays the same, in seconds.
    pub expires_in: i64,
    /// What those who have decided tell the agent.
    pub note: Option<String>,
    /// Whether it was asked for just now.
    pub is_new: bool,
}

/// An error: a refusal or a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request is refused.
    Refused(Refusal),
    /// Something on our side failed.
    Fault(Fault),
}

impl Refusal {
    /// Whether it says no more than that nobody has decided yet, as before.
    pub fn is_poll(&self) -> bool {
        let is_new = !matches!(self.remedy.as_deref(), Some(Remedy::Approve(Waiting { is_new: false, .. })));
        self.reason == Reason::ApprovalPending && !is_new
    }

    /// The same with the event that tells of it, where its description speaks of a `decision` and none was made.
    pub fn named(mut self, event: &str) -> Self {
        if self.reason == Reason::LeaseDenied {
            self.decision.get_or_insert_with(|| event.to_owned());
        }
        self
    }
}

impl Reason {
    const fn alone(self) -> Refusal {
        Refusal { reason: self, detail: None, decision: None, scope: None, retry_after: None, remedy: None }
    }

    /// This reason with detail for the log, the event, or an administrator.
    pub fn because(self, detail: impl Into<String>) -> Error {
        Error::Refused(Refusal { detail: Some(detail.into()), ..self.alone() })
    }

    /// This reason with the scope that would do.
    pub fn needing(self, scope: &'static str) -> Error {
        Error::Refused(Refusal { scope: Some(scope), ..self.alone() })
    }

    /// This reason, which is over after so many seconds.
    pub fn after(self, seconds: i64) -> Error {
        Error::Refused(Refusal { retry_after: Some(seconds), ..self.alone() })
    }

    /// This reason as the outcome of a decision.
    pub fn decided(self, decision: impl Into<String>) -> Error {
        Error::Refused(Refusal { decision: Some(decision.into()), ..self.alone() })
    }

    /// This reason, which an approval ends.
    pub fn awaiting(self, approval: Waiting) -> Error {
        Error::Refused(Refusal { remedy: Some(Box::new(Remedy::Approve(approval))), ..self.alone() })
    }

    /// This reason, which a sign-in of the user ends, as the outcome of a decision.
    pub fn signing_in(self, remedy: Option<Box<Remedy>>, decision: Option<String>) -> Error {
        Error::Refused(Refusal { remedy, decision, ..self.alone() })
    }

    /// This reason, which a person ends by connecting an account; why is for the log and the event.
    pub fn connecting(self, connect_url: String, detail: impl Into<String>) -> Error {
        let remedy = Some(Box::new(Remedy::Connect(connect_url)));
        Error::Refused(Refusal { remedy, detail: Some(detail.into()), ..self.alone() })
    }
}

/// Why a check does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A detail for the log and the event alone: the sender has proved nothing.
    Because(&'static str),
    /// A reason that the sender may know: a good secret or signature has proved it.
    Told(Reason),
    /// A fault, or a refusal that stands by itself.
    Error(Error),
}

/// The outcome of a check whose caller says what a rejection means.
pub type Checked<T> = std::result::Result<T, Rejection>;

impl Rejection {
    /// The refusal for `reason` alone; why is for the event.
    pub fn refuse(self, reason: Reason) -> Error {
        match self {
            Self::Because(why) => reason.because(why),
            Self::Told(told) => reason.because(told.as_str()),
            Self::Error(error) => error,
        }
    }

    /// The refusal for `reason`, or for what the sender may be told.
    pub fn tell(self, reason: Reason) -> Error {
        match self {
            Self::Told(told) => told.into(),
            other => other.refuse(reason),
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        Self::Error(fault.into())
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason.alone())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<crate::ports::Unavailable> for Error {
    fn from(port: crate::ports::Unavailable) -> Self {
        Self::Fault(Fault::Unavailable(port.0))
    }
}

impl Fault {
    /// HTTP status and `error` code.
    pub const fn wire(self) -> Wire {
        match self {
            Self::Unavailable(_) => Wire {
                status: 503,
                code: "temporarily_unavailable",
                description: "try again shortly",
                source: "RFC 9110 §15.6.4",
            },
            Self::Broken(_) => Wire {
                status: 500,
                code: "server_error",
                description: "something broke on our side",
                source: "RFC 9110 §15.6.1",
            },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {}", refusal.reason.as_str()),
            Self::Fault(Fault::Unavailable(what)) => write!(f, "fault: {what} is not available"),
            Self::Fault(Fault::Broken(what)) => write!(f, "fault: {what}"),
        }
    }
}

/// The result of nearly every function of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;
