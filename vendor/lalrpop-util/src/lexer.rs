//! The interface of `lalrpop_util::lexer`, which generated parsers call.
//!
//! 1. A token is the longest text that fits an expression; of several expressions that fit it, the last one wins.
//! 2. An expression is a fixed text, or one of the few that Cedar's grammars have. Any other is refused when the parser is
//!    made: an update of Cedar that needs more fails its first test.

use crate::ParseError;
use std::fmt;
use std::marker::PhantomData;

/// The number of its expression, and the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token<'input>(pub usize, pub &'input str);

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
}

/// An expression that this lexer does not know.
#[derive(Clone, Debug)]
pub struct BuildError(#[expect(dead_code, reason = "`unwrap` shows it")] String);

#[derive(Debug)]
enum Expression {
    Text(String),
    Number,
    /// What stands before the name.
    Name(&'static str),
    Quoted,
    Space,
    Comment,
}

impl Expression {
    fn read(expression: &str) -> Option<Self> {
        Some(match expression {
            "[0-9]+" => Self::Number,
            "(?:[A-Z_a-z][0-9A-Z_a-z]*)" => Self::Name(""),
            "(?:\\?[A-Z_a-z][0-9A-Z_a-z]*)" => Self::Name("?"),
            "(?:\"((?:(?:\\\\[\0-\t\u{b}-\u{10ffff}])|[\0-!\\#-\\[\\]-\u{10ffff}]))*\")" => Self::Quoted,
            "[\t-\r \u{85}\u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}]*" => Self::Space,
            "(?:(?://)[\0-\t\u{b}\u{c}\u{e}-\u{10ffff}]*[\n\r]*)" => Self::Comment,
            _ => Self::Text(fixed(expression)?),
        })
    }

    /// How many bytes at the start of the text fit.
    fn fits(&self, text: &str) -> Option<usize> {
        let up_to = |end: Option<usize>| end.unwrap_or(text.len());
        let length = match self {
            Self::Text(fixed) => {
                // Most differ in the first byte.
                let same = text.as_bytes().first() == fixed.as_bytes().first() && text.starts_with(fixed.as_str());
                return same.then_some(fixed.len());
            }
            Self::Number => up_to(text.find(|c: char| !c.is_ascii_digit())),
            Self::Name(before) => {
                let name = text.strip_prefix(before)?;
                if name.starts_with(|c: char| c.is_ascii_digit()) {
                    return None;
                }
                let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
                return (length > 0).then_some(before.len() + length);
            }
            Self::Quoted => return quoted(text),
            Self::Space => up_to(text.find(|c: char| !c.is_whitespace())),
            Self::Comment => {
                let is_line_end = |c: char| c == '\n' || c == '\r';
                let end = text.starts_with("//").then(|| up_to(text.find(is_line_end)))?;
                end + text[end..].find(|c: char| !is_line_end(c)).unwrap_or(text.len() - end)
            }
        };
        (length > 0).then_some(length)
    }
}

/// The text that the expression stands for, unless it stands for several.
fn fixed(expression: &str) -> Option<String> {
    let inner = expression.strip_prefix("(?:").and_then(|rest| rest.strip_suffix(')')).unwrap_or(expression);
    let (mut text, mut chars) = (String::new(), inner.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().filter(char::is_ascii_punctuation)?),
            '[' | ']' | '(' | ')' | '{' | '}' | '*' | '+' | '?' | '.' | '|' | '^' | '$' => return None,
            _ => text.push(c),
        }
    }
    (!text.is_empty()).then_some(text)
}

/// A string in quotes, in which a backslash is followed by anything but a line feed.
fn quoted(text: &str) -> Option<usize> {
    let mut chars = text.char_indices();
    chars.next().filter(|(_, c)| *c == '"')?;
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some(at + 1),
            '\\' => drop(chars.next().filter(|(_, c)| *c != '\n')?),
            _ => {}
        }
    }
    None
}

/// The expressions of a grammar.
#[derive(Debug)]
pub struct MatcherBuilder(Vec<(Expression, bool)>);

impl MatcherBuilder {
    /// Reads expressions, each with whether what fits it is skipped.
    pub fn new<S: AsRef<str>>(expressions: impl IntoIterator<Item = (S, bool)>) -> Result<Self, BuildError> {
        let read = |(text, skip): (S, bool)| {
            let text = text.as_ref();
            Expression::read(text).map(|one| (one, skip)).ok_or_else(|| BuildError(text.to_owned()))
        };
        expressions.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The tokens of a text.
    pub fn matcher<'input, 'builder, E>(&'builder self, text: &'input str) -> Matcher<'input, 'builder, E> {
        Matcher { text, consumed: 0, expressions: &self.0, error: PhantomData }
    }
}

/// The tokens of a text, with where each starts and ends.
#[derive(Debug)]
pub struct Matcher<'input, 'builder, E> {
    text: &'input str,
    consumed: usize,
    expressions: &'builder [(Expression, bool)],
    error: PhantomData<fn() -> E>,
}

impl<'input, E> Iterator for Matcher<'input, '_, E> {
    type Item = Result<(usize, Token<'input>, usize), ParseError<usize, Token<'input>, E>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.text.is_empty() {
                return None;
            }
            let start = self.consumed;
            let fitting = self.expressions.iter().enumerate().filter_map(|(n, (one, _))| Some((one.fits(self.text)?, n)));
            let Some((length, number)) = fitting.max() else {
                return Some(Err(ParseError::InvalidToken { location: start }));
            };
            let (token, rest) = self.text.split_at(length);
            self.text = rest;
            self.consumed = start + length;
            if !self.expressions.get(number).is_some_and(|(_, skip)| *skip) {
                return Some(Ok((start, Token(number, token), self.consumed)));
            }
        }
    }
}
