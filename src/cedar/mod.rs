//! Policy: what a client may have, decided by Cedar, and only here.
//!
//! In scope: the schema that policies are written against, checking a policy when it is written, turning a question into
//! a Cedar request, and the verdict with the policies that determined it. Out of scope: storing policies, choosing which
//! scopes to ask about, acting on a verdict, recording it.
//!
//! Rules enforced here:
//!
//! 1. Default deny, and a forbid beats every permit (Cedar's authorization semantics).
//! 2. An evaluation error denies. Cedar skips a policy that errs, so a forbid that errs would otherwise be no forbid.
//! 3. Facts that cannot be stated (an unknown time zone, a time out of range) deny.
//! 4. A policy is stored only if it validates strictly against `schema.cedarschema`, can apply to some request, is no
//!    template and stays within the limits of [`check()`]; a refusal names line and column. A stored text that is too deep to be
//!    parsed is not: it denies what it could have a say in.
//! 5. Shadow policies never change a verdict, they only say that they would have. Policies that are off are not read.
//! 6. The index that keeps a question away from other clients' policies never changes a verdict.
//! 7. Which facts are stated never changes a verdict either (`attributes`).
//! 8. An IPv4 address in IPv6 clothes (RFC 4291 §2.5.5.2) is matched as the IPv4 address that it is.
//! 9. Hours and days are those of the time zone that a statement names in `@zone("…")`, or else of the tenant's (IANA, RFC 6557), daylight
//!    saving included.

mod action;
mod advice;
mod attributes;
mod bundle;
mod check;
mod decision;
mod explain;
mod facts;
mod index;
mod obligations;
mod overlap;
mod required;
mod text;
mod warm;
mod words;

pub use action::Action;
pub use advice::{Mention, advice, mentions, zones};
pub use attributes::Attributes;
pub use bundle::{Bundle, Engine, Shard};
pub use check::{Complaint, check};
pub use decision::Verdict;
pub use explain::Explanation;
pub use facts::{Circumstance, Principal, Question, Subject, Target};
pub use index::Home;
pub use obligations::{By, Limit, Period, Rate};
pub use overlap::overlaps;
pub use required::Required;
pub use text::{MAX_BYTES, MAX_DEPTH, MAX_STATEMENTS};
pub use warm::warm;

use serde::{Deserialize, Serialize};

/// The schema that every policy is checked against, in Cedar's own syntax.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// The same in JSON: the Worker reads this, and need not carry a parser for the other. A test holds them together.
const SCHEMA_JSON: &str = include_str!("schema.json");

/// Whether a stored policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It decides.
    Enforce,
    /// It is evaluated, and a verdict that it would have changed says so.
    Shadow,
    /// It is not read.
    Off,
}

impl Mode {
    /// The word that is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Shadow => "shadow",
            Mode::Off => "off",
        }
    }
}

/// One stored policy document. It may hold several Cedar statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The name under which it is stored.
    pub id: String,
    /// The text.
    pub cedar: String,
    /// Whether it counts.
    pub mode: Mode,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_stored_and_sent_as_the_same_word() {
        for mode in [Mode::Enforce, Mode::Shadow, Mode::Off] {
            let json = serde_json::to_string(&mode).unwrap();
            assert_eq!(json, format!("\"{}\"", mode.as_str()));
            assert_eq!(serde_json::from_str::<Mode>(&json).unwrap(), mode);
        }
    }
}
