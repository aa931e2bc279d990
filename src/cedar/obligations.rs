//! Obligations: what a permit asks for in return, said in its annotations.
//!
//! In scope: reading annotations. Out of scope: meeting them (`policy::obligations`).
//!
//! 1. An annotation that is unknown, or that nobody can make sense of, is refused when the policy is written: a misspelt one would oblige
//!    nobody.
//! 2. Permits that hold together oblige together. A permit that is quiet does not hold, so another one may.

use std::rc::Rc;

use cedar_policy::{Effect, Policy};

use super::required::Required;
use crate::model::Quiet;
use crate::model::requirement::Requirement;

/// The longest text of an annotation that is used as a name.
const MAX_NAME: usize = 100;
/// The largest number in `@limit`.
const MAX_LIMIT: u32 = 1_000_000;

/// What one statement obliges to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Obligations {
    pub(super) ttl: Option<u64>,
    /// What it requires: of `@require`, `@bind` and `@details`.
    pub(super) require: Vec<Required>,
    pub(super) rate: Option<Rate>,
    /// Whether a breach of the rate suspends.
    pub(super) suspends: bool,
    pub(super) quiet: Option<Quiet>,
    /// The time zone in which the statement sees the clock, if not the tenant's.
    pub(super) zone: Option<Rc<str>>,
}

/// How often a permit may be used: `@limit("5/hour client")`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// So often.
    pub most: u32,
    /// In such a time.
    pub period: Period,
    /// By one of these.
    pub by: By,
}

/// The time that a rate is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// A minute of UTC.
    Minute,
    /// An hour of UTC.
    Hour,
    /// A day of the time zone of the statement.
    Day,
}

/// Whose uses are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Those of an agentic identity: of a client for one subject.
    Identity,
    /// Those of a client, for whomever.
    Client,
    /// Those for a user, by whichever client; for a client on its own, its own.
    User,
}

/// The limit of one statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit {
    /// The document that has the statement.
    pub policy: String,
    /// Which of its statements it is, from 1.
    pub statement: usize,
    /// How often.
    pub rate: Rate,
    /// The time zone of its days; nothing is the tenant's.
    pub zone: Option<String>,
    /// Whether a breach suspends whose uses are counted.
    pub suspends: bool,
}

/// An annotation that does not mean what it should.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadAnnotation {
    pub(super) name: String,
    pub(super) message: String,
}

impl Period {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// How long it is, in seconds.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

impl By {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Client => "client",
            Self::User => "user",
        }
    }
}

impl Rate {
    /// Reads `5/hour`, `5/hour client`.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (most, period) = words.next()?.split_once('/')?;
        let period = [Period::Minute, Period::Hour, Period::Day].into_iter().find(|one| one.as_str() == period)?;
        let by = match words.next() {
            None => By::Identity,
            Some(word) => [By::Identity, By::Client, By::User].into_iter().find(|one| one.as_str() == word)?,
        };
        let is_number = most.bytes().all(|b| b.is_ascii_digit());
        let most = most.parse().ok().filter(|most| is_number && (1..=MAX_LIMIT).contains(most))?;
        words.next().is_none().then_some(Self { most, period, by })
    }

    /// As it is written.
    pub fn text(self) -> String {
        format!("{}/{} {}", self.most, self.period.as_str(), self.by.as_str())
    }
}

impl Obligations {
    /// Reads the annotations.
    pub(super) fn read(policy: &Policy) -> Result<Self, BadAnnotation> {
        let mut obligations = Self::default();
        let mut on_breach = false;
        for (name, value) in policy.annotations() {
            let bad = |message: &str| Err(BadAnnotation { name: name.to_owned(), message: message.to_owned() });
            let is_name = !value.trim().is_empty() && value.trim() == value && value.chars().count() <= MAX_NAME;
            match name {
                "id" | "description" | "advice" => {}
                "zone" if value.trim().is_empty() => {
                    return bad("@zone names an IANA time zone, as in @zone(\"Europe/Berlin\")");
                }
                "zone" => obligations.zone = Some(value.into()),
                "ttl" | "require" | "limit" | "quiet" | "bind" | "details" | "on_breach"
                    if policy.effect() == Effect::Forbid =>
                {
                    return bad(&format!("@{name} binds permits only: take it off this forbid"));
                }
                "ttl" => match value.parse() {
                    Ok(seconds) if seconds > 0 => obligations.ttl = Some(seconds),
                    _ => return bad("@ttl takes a whole number of seconds, as in @ttl(\"60\")"),
                },
                "require" if Requirement::is_one(value) && Requirement::parse(value).is_none() => {
                    return bad(
                        "after `approval:` stand `subject`, `owner`, `role=NAME`, `group=NAME`, `n=1` to `n=9` and `passkey`, with commas between",
                    );
                }
                "require" if !value.trim().is_empty() => obligations.require.push(Required::of(value)),
                "require" => return bad("@require names what is required, as in @require(\"approval\")"),
                "limit" => match Rate::parse(value) {
                    None => {
                        return bad(
                            "@limit takes a number, a time, and whose uses count, as in @limit(\"5/hour\") or @limit(\"100/day client\"): \
                             the times are `minute`, `hour` and `day`, and what counts is that of an `identity`, a `client` or a `user`",
                        );
                    }
                    rate => obligations.rate = rate,
                },
                "quiet" => match Quiet::parse(value) {
                    None => return bad("@quiet takes hours, as in @quiet(\"22:00-06:00\")"),
                    quiet => obligations.quiet = quiet,
                },
                "bind" if value == "dpop" => obligations.require.push(Required::Key),
                "bind" => return bad("@bind says what a token is bound by: @bind(\"dpop\")"),
                "details" if is_name => obligations.require.push(Required::Details(value.to_owned())),
                "details" => {
                    return bad(
                        "@details names a type of authorization details, as in @details(\"payment_initiation\")",
                    );
                }
                "on_breach" if value == "suspend" => on_breach = true,
                "on_breach" => return bad("@on_breach says what a breach of @limit does: @on_breach(\"suspend\")"),
                _ => {
                    return bad(&format!(
                        "unknown annotation @{name}: use @id, @description, @advice, @zone, @ttl, @require, @limit, @on_breach, @quiet, \
                         @bind or @details"
                    ));
                }
            }
        }
        if on_breach && obligations.rate.is_none() {
            let message = "@on_breach goes with @limit: say how often is too often".to_owned();
            return Err(BadAnnotation { name: "on_breach".to_owned(), message });
        }
        Ok(Self { suspends: on_breach, ..obligations })
    }

    /// Why it may not be written although it can be read: stored statements of earlier versions require what nobody gives, and so they deny.
    pub(super) fn unknown(&self) -> Option<BadAnnotation> {
        let is_unknown = |required: &Required| matches!(required, Required::Unknown(_));
        self.require.iter().any(is_unknown).then(|| BadAnnotation {
            name: "require".to_owned(),
            message: "@require takes `approval`, `approval:` with who decides, `step_up`, or `step_up:acr=VALUE` with one to five values of `acr` \
                      and commas between; a key is required by @bind(\"dpop\"), \
                      authorization details by @details(\"TYPE\"), and how often is said by @limit(\"5/hour\")"
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Obligations, BadAnnotation> {
        Obligations::read(&text.parse().unwrap())
    }

    fn of(annotations: &str) -> Result<Obligations, BadAnnotation> {
        read(&format!("{annotations} permit(principal, action, resource);"))
    }

    #[test]
    fn obligations_are_read_from_annotations() {
        assert_eq!(of("@id(\"x\")").unwrap(), Obligations::default());
        let bound = of("@ttl(\"60\") @require(\"approval\") @bind(\"dpop\") @details(\"payment\")").unwrap();
        assert_eq!(bound.ttl, Some(60));
        let mut require = bound.require;
        require.sort();
        let approval = Required::Approval("approval".to_owned());
        assert_eq!(require, [approval, Required::Key, Required::Details("payment".to_owned())]);
        let limited = of("@limit(\"5/hour\") @on_breach(\"suspend\") @quiet(\"22:00-06:00\")").unwrap();
        assert_eq!(limited.rate, Some(Rate { most: 5, period: Period::Hour, by: By::Identity }));
        assert_eq!((limited.suspends, limited.quiet), (true, Quiet::parse("22:00-06:00")));
        assert_eq!(of("@limit(\"100/day client\")").unwrap().rate.unwrap().text(), "100/day client");
        assert_eq!(of("@limit(\"1/minute user\")").unwrap().rate.unwrap().by, By::User);
    }

    #[test]
    fn an_obligation_that_cannot_be_met_is_refused_by_name() {
        for (text, name) in [
            ("@zone(\" \") forbid", "zone"),
            ("@ttl(\"soon\") permit", "ttl"),
            ("@tll(\"60\") permit", "tll"),
            ("@ttl(\"60\") forbid", "ttl"),
            ("@require(\"\") permit", "require"),
            ("@require(\"approval:anybody\") permit", "require"),
            ("@limit(\"5\") permit", "limit"),
            ("@limit(\"0/hour\") permit", "limit"),
            ("@limit(\"+5/hour\") permit", "limit"),
            ("@limit(\"-5/hour\") permit", "limit"),
            ("@limit(\"1000001/day\") permit", "limit"),
            ("@limit(\"5/week\") permit", "limit"),
            ("@limit(\"5/hour agent\") permit", "limit"),
            ("@limit(\"5/hour client now\") permit", "limit"),
            ("@limit(\"5/hour\") forbid", "limit"),
            ("@quiet(\"22-06\") permit", "quiet"),
            ("@quiet(\"24:00-06:00\") permit", "quiet"),
            ("@quiet(\"22:00-22:00\") permit", "quiet"),
            ("@quiet(\"2:00-06:00\") permit", "quiet"),
            ("@quiet(\"22:00-06:00\") forbid", "quiet"),
            ("@bind(\"mtls\") permit", "bind"),
            ("@bind(\"dpop\") forbid", "bind"),
            ("@details(\"\") permit", "details"),
            ("@details(\"t\") forbid", "details"),
            ("@on_breach(\"kill\") @limit(\"5/hour\") permit", "on_breach"),
            ("@on_breach(\"suspend\") permit", "on_breach"),
        ] {
            assert_eq!(read(&format!("{text}(principal, action, resource);")).unwrap_err().name, name, "{text}");
        }
    }
}
