//! What a permit requires of a request besides that it holds.
//!
//! 1. Each kind stands for one annotation: what `@require` names is never taken for what `@bind`, `@details` or `@limit` mean.
//! 2. A word that `@require` does not know is kept, and nothing meets it. It is refused when a policy is written (`check`).

use std::fmt;

use crate::model::approval::Requirement;

const STEP_UP: &str = "step_up";

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Required {
    /// The approval of a person: `@require("approval…")`, as it is written.
    Approval(String),
    /// A sign-in of the user at that moment: `@require("step_up")`.
    StepUp,
    /// That the token is bound to a key: `@bind("dpop")`.
    Key,
    /// Authorization details of this type: `@details("…")`.
    Details(String),
    /// Room in a limit: `@limit("…")`, once it has none.
    Room,
    /// What an earlier version let `@require` name, and nothing gives.
    Unknown(String),
}

impl Required {
    /// What `@require` names.
    pub(super) fn of(text: &str) -> Self {
        match text {
            STEP_UP => Self::StepUp,
            text if Requirement::is_one(text) => Self::Approval(text.to_owned()),
            text => Self::Unknown(text.to_owned()),
        }
    }

    /// The text of an approval that is required.
    pub fn approval(&self) -> Option<&str> {
        match self {
            Self::Approval(text) => Some(text),
            _ => None,
        }
    }

    /// All of them in words, in order.
    pub fn texts(all: &[Self]) -> Vec<String> {
        let mut texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts
    }
}

/// The words of answers, events and tests of policies.
impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval(text) => f.write_str(text),
            Self::StepUp => f.write_str(STEP_UP),
            Self::Key => f.write_str("dpop"),
            Self::Details(kind) => write!(f, "details {kind}"),
            Self::Room => f.write_str("limit"),
            Self::Unknown(text) => write!(f, "unknown: {text}"),
        }
    }
}
