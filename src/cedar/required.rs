//! What a permit requires of a request besides that it holds.
//!
//! 1. Each kind stands for one annotation: what `@require` names is never taken for what `@bind`, `@details` or `@limit` mean.
//! 2. A word that `@require` does not know is kept, and nothing meets it. It is refused when a policy is written (`check`).

use std::cmp::Reverse;
use std::fmt;

use crate::model::requirement::Requirement;

const STEP_UP: &str = "step_up";
/// How many values of `acr` a requirement names at most, and how many bytes one has.
const MAX_ACRS: usize = 5;
const MAX_ACR: usize = 100;

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Required {
    /// The approval of a person: `@require("approval…")`, as it is written.
    Approval(String),
    /// A sign-in of the user at that moment, `@require("step_up")`; with one of these `acr` where there are any, `@require("step_up:acr=A,acr=B")`.
    StepUp(Vec<String>),
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
        match step_up(text) {
            Some(acrs) => Self::StepUp(acrs),
            None if Requirement::is_one(text) => Self::Approval(text.to_owned()),
            None => Self::Unknown(text.to_owned()),
        }
    }

    /// The text of an approval that is required.
    pub fn approval(&self) -> Option<&str> {
        match self {
            Self::Approval(text) => Some(text),
            _ => None,
        }
    }

    /// The `acr_values` of the sign-in (RFC 9470 §3) by which most of these verdicts' requirements would be met, as far as that is up to it: of
    /// each those that all of its permits take, each once, and no more than one permit may name. Nothing if any would do, or none.
    pub fn acr_values<'r>(verdicts: impl Iterator<Item = &'r [Self]>) -> Option<String> {
        // Each value with how many verdicts it would meet: the provider is told to prefer what gives most.
        let mut values: Vec<(&str, usize)> = Vec::new();
        for require in verdicts {
            let named = |one: &'r Self| match one {
                Self::StepUp(acrs) if !acrs.is_empty() => Some(acrs),
                _ => None,
            };
            let lists: Vec<&Vec<String>> = require.iter().filter_map(named).collect();
            for acr in lists.first().into_iter().copied().flatten() {
                if !lists.iter().all(|list| list.contains(acr)) {
                    continue;
                }
                match values.iter_mut().find(|(known, _)| known == acr) {
                    Some((_, count)) => *count = count.saturating_add(1),
                    None => values.push((acr, 1)),
                }
            }
        }
        values.sort_by_key(|(_, count)| Reverse(*count));
        let values: Vec<&str> = values.into_iter().map(|(acr, _)| acr).take(MAX_ACRS).collect();
        (!values.is_empty()).then(|| values.join(" "))
    }

    /// All of them in words, in order.
    pub fn texts(all: &[Self]) -> Vec<String> {
        let mut texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts
    }
}

/// The values of `acr` that a sign-in shall have one of. They go into `acr_values`, and between the quotes of a challenge (RFC 9470 §3).
fn step_up(text: &str) -> Option<Vec<String>> {
    let rest = text.strip_prefix(STEP_UP)?;
    if rest.is_empty() {
        return Some(vec![]);
    }
    let is_value = |acr: &&str| {
        (1..=MAX_ACR).contains(&acr.len()) && acr.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\,".contains(&b))
    };
    let value = |part: &str| part.strip_prefix("acr=").filter(is_value).map(str::to_owned);
    let acrs: Vec<String> = rest.strip_prefix(':')?.split(',').map(value).collect::<Option<_>>()?;
    (acrs.len() <= MAX_ACRS).then_some(acrs)
}

/// The words of answers, events and tests of policies.
impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval(text) => f.write_str(text),
            Self::StepUp(acrs) if acrs.is_empty() => f.write_str(STEP_UP),
            Self::StepUp(acrs) => write!(f, "{STEP_UP}:acr={}", acrs.join(",acr=")),
            Self::Key => f.write_str("dpop"),
            Self::Details(kind) => write!(f, "details {kind}"),
            Self::Room => f.write_str("limit"),
            Self::Unknown(text) => write!(f, "unknown: {text}"),
        }
    }
}
