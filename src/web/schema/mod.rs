//! How JSON objects look: one description reads the bodies of requests, names every fault of one, and is the schema of the document.
//!
//! In scope: shape, types and bounds of members. Out of scope: what members mean together (`model`, `federation`).
//!
//! 1. A refusal names the member and what belongs there; it never holds a value that was sent, for that may be a secret.
//! 2. All faults of a body are named at once.
//! 3. Every text and every list of a body has a bound, and the document states it.

mod body;
pub mod objects;
mod render;

pub use body::{Sent, sent, sent_or_empty};
pub use render::Components;

use crate::oauth::{ResourceUri, Scope};
use serde_json::{Map, Value};

/// No bound: for the members of answers.
pub const ANY: usize = usize::MAX;
/// The longest URI that a body may have, in bytes.
pub const MAX_URI: usize = 2_048;
/// The latest moment that a body may name, in seconds: in the year 5138. A moment in milliseconds is beyond it.
const LAST_SECOND: i64 = 99_999_999_999;
/// How many faults one refusal names.
const MAX_FAULTS: usize = 20;
/// How much of a name that was sent a refusal repeats: less than any secret has.
const MAX_NAME: usize = 40;

/// What a member may be.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Text: in answers.
    Word,
    /// 1 to so many characters, not all of them blank.
    Text(usize),
    /// So many characters at most; also none.
    Note(usize),
    /// Text in a form that a standard has.
    Form(&'static Form),
    /// One of some words; their name in the document, and the code that knows them.
    Words(&'static str, fn() -> Vec<&'static str>),
    /// A whole number in these bounds.
    Whole(i64, i64),
    /// A count: in answers.
    Count,
    /// Seconds since the epoch.
    Time,
    /// True or false.
    Boolean,
    /// Any JSON object.
    Json,
    /// So many items at most.
    List(&'static Kind, usize),
    /// An object of known members.
    Object(&'static Object),
    /// One or the other: in answers.
    Either(&'static Kind, &'static Kind),
}

/// A form of text that a standard has.
pub struct Form {
    /// How many bytes it may have.
    pub most: usize,
    /// The `format` of JSON Schema, if it has one.
    pub format: Option<&'static str>,
    /// Whether text has the form.
    pub fits: fn(&str) -> bool,
    /// What a member of the form must be.
    pub must: &'static str,
}

/// A URI that names a resource (RFC 8707 §2).
pub const RESOURCE: Kind = Kind::Form(&Form {
    most: 512,
    format: Some("uri"),
    fits: |text| ResourceUri::parse(text).is_some(),
    must: "an absolute URI without a fragment, of at most 512 bytes (RFC 8707 §2)",
});

/// Any URI; whether it may be called is for others to say.
pub const URI: Kind = Kind::Form(&Form {
    most: MAX_URI,
    format: Some("uri"),
    fits: |text| !text.trim().is_empty(),
    must: "a URI of at most 2048 bytes",
});

/// Scope tokens, each once, with spaces between (RFC 6749 §3.3).
pub const SCOPE: Kind = Kind::Form(&Form {
    most: 8_192,
    format: None,
    fits: |text| Scope::parse(text).is_some(),
    must: "scope tokens with spaces between them (RFC 6749 §3.3)",
});

/// An object of known members.
pub struct Object {
    /// Its name in the document.
    pub name: &'static str,
    /// Its members, in groups that objects share; what a later group says of a member holds.
    pub groups: &'static [&'static [Member]],
    /// Whether members that are not listed are left aside instead of refused.
    pub open: bool,
}

/// A member of an object.
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether it has to be there.
    pub needed: bool,
    /// Whether it may be sent back as it was read, but not changed.
    pub read_only: bool,
}

/// Declares members: `members![must "name" Kind::Text(200), may "id" SLUG, read "created_at" Kind::Time]`.
macro_rules! members {
    ($($mark:ident $name:literal $kind:expr),* $(,)?) => {
        &[$($crate::web::schema::Member {
            name: $name,
            kind: $kind,
            needed: $crate::web::schema::members!(@needed $mark),
            read_only: $crate::web::schema::members!(@read_only $mark),
        }),*]
    };
    (@needed must) => { true };
    (@needed may) => { false };
    (@needed read) => { false };
    (@read_only must) => { false };
    (@read_only may) => { false };
    (@read_only read) => { true };
}
pub(crate) use members;

/// Declares an object out of groups of members.
macro_rules! object {
    ($(#[$doc:meta])+ $const:ident = $name:literal $groups:expr) => {
        $(#[$doc])+
        pub const $const: $crate::web::schema::Object =
            $crate::web::schema::Object { name: $name, groups: &$groups, open: false };
    };
}
pub(crate) use object;

/// What is wrong with one member.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The member of the body that it is in.
    pub member: String,
    /// Whether the member, or one inside it, does not exist.
    pub unknown: bool,
    /// The member's path, and what belongs there.
    pub text: String,
}

impl Object {
    /// Its members, each once.
    pub fn members(&self) -> impl Iterator<Item = &'static Member> {
        let groups = self.groups;
        groups.iter().enumerate().flat_map(move |(n, group)| {
            let later = move |name: &str| {
                groups.iter().skip(n.saturating_add(1)).any(|group| group.iter().any(|one| one.name == name))
            };
            group.iter().filter(move |member| !later(member.name))
        })
    }

    /// Every fault of an object that was sent.
    pub fn faults(&self, sent: &Map<String, Value>) -> Vec<Fault> {
        let mut all = Vec::new();
        self.gather(sent, &Place::default(), &mut all);
        all.truncate(MAX_FAULTS);
        all
    }

    fn gather(&self, sent: &Map<String, Value>, place: &Place, all: &mut Vec<Fault>) {
        for (name, value) in sent {
            let at = place.member(name);
            match self.members().find(|member| member.name == name && !member.read_only) {
                // A member that may be absent may be null as well.
                Some(member) if !member.needed && value.is_null() => {}
                Some(member) => member.kind.gather(value, &at, all),
                None if self.open => {}
                None => {
                    let known = self.members().filter(|member| !member.read_only);
                    let known: Vec<String> = known.map(|member| ["`", member.name, "`"].concat()).collect();
                    let text = format!("`{}` is unknown or may not be set; known here: {}", at.path, known.join(", "));
                    all.push(Fault { member: at.first, unknown: true, text });
                }
            }
        }
        for member in self.members().filter(|member| member.needed && !sent.contains_key(member.name)) {
            let text = match place.path.is_empty() {
                true => format!("`{}` is missing", member.name),
                false => format!("`{}` is missing in `{}`", member.name, place.path),
            };
            all.push(Fault { member: place.member(member.name).first, unknown: false, text });
        }
    }
}

/// Where a fault is: the path, and the member of the body that it begins with.
#[derive(Default)]
struct Place {
    path: String,
    first: String,
}

impl Place {
    fn member(&self, name: &str) -> Self {
        let short: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        match self.path.is_empty() {
            true => Self { path: short, first: name.to_owned() },
            false => Self { path: [&self.path, ".", &short].concat(), first: self.first.clone() },
        }
    }

    fn item(&self, n: usize) -> Self {
        Self { path: format!("{}[{n}]", self.path), first: self.first.clone() }
    }
}

impl Kind {
    fn gather(self, value: &Value, place: &Place, all: &mut Vec<Fault>) {
        let problem = match self {
            Self::List(of, most) => match value.as_array() {
                None => Some("must be a list".to_owned()),
                Some(items) => {
                    items.iter().enumerate().for_each(|(n, item)| of.gather(item, &place.item(n), all));
                    (items.len() > most).then(|| format!("may have {most} items at most"))
                }
            },
            Self::Object(object) => match value.as_object() {
                None => Some("must be an object".to_owned()),
                Some(members) => {
                    object.gather(members, place, all);
                    None
                }
            },
            _ => self.problem(value),
        };
        if let Some(problem) = problem {
            let text = format!("`{}` {problem}", place.path);
            all.push(Fault { member: place.first.clone(), unknown: false, text });
        }
    }

    /// What is wrong with a value that has no parts.
    fn problem(self, value: &Value) -> Option<String> {
        let must = |fits: bool, what: &str| (!fits).then(|| format!("must be {what}"));
        match self {
            Self::Word => must(value.is_string(), "a string"),
            Self::Text(most) | Self::Note(most) => match value.as_str() {
                None => must(false, "a string"),
                Some(text) => {
                    let least = usize::from(matches!(self, Self::Text(_)));
                    let fits = text.chars().count() <= most && (least == 0 || !text.trim().is_empty());
                    (!fits).then(|| format!("must have {least} to {most} characters"))
                }
            },
            Self::Form(form) => {
                let fits = value.as_str().map(|text| text.len() <= form.most && (form.fits)(text));
                must(fits == Some(true), form.must)
            }
            Self::Words(_, words) => {
                let words = words();
                let fits = value.as_str().is_some_and(|text| words.contains(&text));
                (!fits).then(|| format!("must be one of: {}", words.join(", ")))
            }
            Self::Whole(least, most) => {
                let fits = value.as_i64().is_some_and(|number| (least..=most).contains(&number));
                (!fits).then(|| format!("must be a whole number from {least} to {most}"))
            }
            Self::Count => must(value.is_i64(), "a whole number"),
            Self::Time => match value.as_i64() {
                Some(1..=LAST_SECOND) => None,
                Some(1..) => Some("must be seconds since the epoch: divide milliseconds by 1000".to_owned()),
                _ => must(false, "seconds since the epoch, a whole number"),
            },
            Self::Boolean => must(value.is_boolean(), "true or false"),
            Self::Json => must(value.is_object(), "an object"),
            // Their parts are asked about instead, or they are in answers alone.
            Self::List(..) | Self::Object(_) | Self::Either(..) => None,
        }
    }
}
