//! `application/x-www-form-urlencoded` request bodies (RFC 6749 §3.2, appendix B).
//!
//! 1. The media type is that one, in UTF-8; anything else is refused.
//! 2. A repeated parameter is refused, `resource` excepted (RFC 8707 §2). An empty value counts as absent (RFC 6749 §3.2).
//! 3. At most 64 parameters; names and values are percent-decoded UTF-8.

use super::Media;
use crate::error::{Reason, Result};
use serde::{Deserialize, Serialize};

const MAX_PARAMETERS: usize = 64;
const MAY_REPEAT: &str = "resource";

/// The parameters of a form, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body that came with `content_type`.
    pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self> {
        let (form, problem) = Self::read(content_type, body);
        problem.map_or(Ok(form), |reason| Err(reason.into()))
    }

    /// The same, but of a malformed form what can be read of it all the same: no parameter that is repeated or is no text.
    pub fn read(content_type: Option<&str>, body: &[u8]) -> (Self, Option<Reason>) {
        Self::read_within(content_type, body, MAX_PARAMETERS, MAY_REPEAT)
    }

    /// Reads the form of a page of ours: one field may have several values, and there may be `most` of all.
    pub fn read_page(content_type: Option<&str>, body: &[u8], most: usize, repeats: &str) -> Result<Self> {
        let (form, problem) = Self::read_within(content_type, body, most, repeats);
        problem.map_or(Ok(form), |reason| Err(reason.into()))
    }

    fn read_within(content_type: Option<&str>, body: &[u8], most: usize, repeats: &str) -> (Self, Option<Reason>) {
        let media = Media::parse(content_type.unwrap_or_default());
        if !media.is("application/x-www-form-urlencoded") || !media.is_utf8() {
            return (Self::default(), Some(Reason::WrongMediaType));
        }
        if std::str::from_utf8(body).is_err() {
            return (Self::default(), Some(Reason::MalformedForm));
        }
        let (mut parameters, mut repeated, mut problem) = (Vec::<(String, String)>::new(), Vec::new(), None);
        // What is repeated counts too: each parameter is held against all before it, and nobody has proved anything yet.
        for (read, (name, value)) in form_urlencoded::parse(body).enumerate() {
            if read == most {
                problem = problem.or(Some(Reason::MalformedForm));
                break;
            }
            if value.contains('\u{fffd}') || name.contains('\u{fffd}') {
                problem = problem.or(Some(Reason::MalformedForm));
                continue;
            }
            if name != repeats && parameters.iter().any(|(seen, _)| *seen == name) {
                problem = problem.or(Some(Reason::DuplicateParameter));
                repeated.push(name.into_owned());
                continue;
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        parameters.retain(|(name, _)| !repeated.contains(name));
        (Self(parameters), problem)
    }

    /// Reads the query of a URL, as [`Self::read`] does.
    pub fn read_query(query: &str) -> (Self, Option<Reason>) {
        Self::read(Some("application/x-www-form-urlencoded"), query.as_bytes())
    }

    /// The same form, in which that parameter has that value alone.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(seen, _)| seen != name);
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same form without parameters of other names.
    pub fn keeping(mut self, names: &[&str]) -> Self {
        self.0.retain(|(name, _)| names.contains(&name.as_str()));
        self
    }

    /// Those of its parameters that have one of these names: for one that reads no others.
    pub const fn only<'a>(&'a self, names: &'a [&'static str]) -> Parameters<'a> {
        Parameters { form: self, names }
    }

    /// How many bytes its names and values have.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum()
    }

    /// The value of a parameter, unless it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a parameter that may repeat.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(seen, value)| seen == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

/// Some parameters of a form. The others are not there.
#[derive(Clone, Copy)]
pub struct Parameters<'a> {
    form: &'a Form,
    names: &'a [&'static str],
}

impl<'a> Parameters<'a> {
    /// As [`Form::get`].
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.names.contains(&name).then(|| self.form.get(name)).flatten()
    }

    /// As [`Form::all`].
    pub fn all(self, name: &str) -> impl Iterator<Item = &'a str> {
        let is_there = self.names.contains(&name);
        self.form.all(name).filter(move |_| is_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=UTF-8");

    #[test]
    fn values_are_decoded_and_empty_ones_count_as_absent() {
        let form = Form::parse(FORM, b"a=x%20y+z&b=&resource=1&resource=2").unwrap();
        assert_eq!(form.get("a"), Some("x y z"));
        assert_eq!(form.get("b"), None);
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn of_a_malformed_form_what_is_sound_can_be_read_and_nothing_that_says_two_things() {
        let (form, problem) = Form::read(FORM, b"a=1&b=2&b=3&c=%ff&d=4");
        assert_eq!(problem, Some(Reason::DuplicateParameter));
        assert_eq!(["a", "b", "c", "d"].map(|name| form.get(name)), [Some("1"), None, None, Some("4")]);
        assert_eq!(Form::read(Some("text/plain"), b"a=1").0.get("a"), None);
    }

    #[test]
    fn no_more_parameters_than_the_bound_are_read_whether_they_are_repeated_or_not() {
        let after = |count: usize| Form::read(FORM, format!("a=1{}&c=2", "&b=1".repeat(count - 1)).as_bytes());
        assert_eq!(after(MAX_PARAMETERS - 1).0.get("c"), Some("2"));
        let (form, problem) = after(MAX_PARAMETERS);
        assert_eq!((form.get("a"), form.get("c"), problem), (Some("1"), None, Some(Reason::DuplicateParameter)));
    }

    #[test]
    fn parameters_with_other_names_are_not_there() {
        let form = Form::parse(FORM, b"a=1&b=2&resource=3&resource=4").unwrap();
        let some = form.only(&["a", "resource"]);
        assert_eq!((some.get("a"), some.get("b"), some.all("b").count()), (Some("1"), None, 0));
        assert_eq!(some.all("resource").collect::<Vec<_>>(), ["3", "4"]);
    }

    #[test]
    fn repeated_parameters_other_media_types_and_bytes_that_are_no_text_are_refused() {
        let reason = |content_type, body: &[u8]| Form::parse(content_type, body).err();
        assert_eq!(reason(FORM, b"a=1&a=2"), Some(Reason::DuplicateParameter.into()));
        assert_eq!(reason(FORM, b"a=1&a="), Some(Reason::DuplicateParameter.into()));
        assert_eq!(reason(Some("application/json"), b"{}"), Some(Reason::WrongMediaType.into()));
        assert_eq!(reason(None, b"a=1"), Some(Reason::WrongMediaType.into()));
        assert_eq!(reason(FORM, b"a=%ff"), Some(Reason::MalformedForm.into()));
        assert_eq!(reason(FORM, b"a=\xff"), Some(Reason::MalformedForm.into()));
        let many = (0..65).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(reason(FORM, many.as_bytes()), Some(Reason::MalformedForm.into()));
    }
}
