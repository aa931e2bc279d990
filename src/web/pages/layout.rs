//! The frame of every page, its headers, and the page of an error.

use super::texts::{Language, Texts};
use crate::crypto::{b64, sha256};
use crate::error::{Error, Fault, Reason};
use crate::web::Response;
use chrono::{DateTime, Datelike, Timelike};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// A page: its title and what is in it.
pub struct Page {
    /// The language of its texts.
    pub language: Language,
    /// The title.
    pub title: String,
    /// What is in `main`.
    pub content: Markup,
    /// Where the answer to a form on it may lead, besides our own origin: browsers hold redirects against the policy too.
    pub form_targets: Vec<String>,
}

impl Page {
    /// The response with the page.
    pub fn respond(self, status: u16) -> Response {
        let Self { language, title, content, form_targets } = self;
        let body = html! {
            (DOCTYPE)
            html lang=(language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body { main { (content) } }
            }
        };
        let style = hash(STYLE);
        let targets: String = form_targets.iter().flat_map(|target| [" ", target.as_str()]).collect();
        let policy = format!(
            "default-src 'none'; style-src {style}; form-action 'self'{targets}; frame-ancestors 'none'; base-uri 'none'"
        );
        Response { body: body.into_string(), ..Response::empty(status) }
            .with("content-type", "text/html; charset=utf-8")
            .with("content-security-policy", policy)
            .with("x-frame-options", "DENY")
            // Not `no-referrer`: with that a browser says `Origin: null` of a form too (Fetch, "append a request `Origin` header").
            .with("referrer-policy", "same-origin")
            .with("cache-control", "no-store")
    }
}

/// What is inside an element, as a source of a content security policy.
pub fn hash(text: &str) -> String {
    // The policy wants base64 with its other alphabet (RFC 4648 §4).
    format!("'sha256-{}='", b64(sha256(text).bytes()).replace('-', "+").replace('_', "/"))
}

/// A moment, for people and for programs.
pub fn time(seconds: i64) -> Markup {
    let Some(at) = DateTime::from_timestamp(seconds, 0) else { return html! {} };
    let day = format!("{:04}-{:02}-{:02}", at.year(), at.month(), at.day());
    let clock = format!("{:02}:{:02}", at.hour(), at.minute());
    html! { time datetime=(format!("{day}T{clock}:{:02}Z", at.second())) { (day) " " (clock) ":" (format!("{:02}", at.second())) " UTC" } }
}

/// The end of what is allowed.
pub fn end(texts: &Texts, until: Option<i64>) -> Markup {
    html! {
        @match until {
            Some(until) => { (texts.until) " " (time(until)) }
            None => (texts.open),
        }
    }
}

/// A description as a sentence, with what stands between backticks as code. A parameter keeps its case.
fn sentence(text: &str) -> Markup {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let text = [&first, letters.as_str()].concat();
    html! {
        @for (n, part) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
        @if !text.ends_with(['.', '?', '!']) { "." }
    }
}

/// What a person can do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// Nothing here.
    Nothing,
    /// Connect again from the application that has sent the person.
    Application,
    /// Sign in again, at that path.
    SignIn(&'a str),
    /// Connect an account again, at that path.
    Connect(&'a str),
    /// See what is connected, at that path.
    Me(&'a str),
}

/// What was wrong with the form of a page that comes again.
pub fn problem(reason: Reason, language: Language) -> Markup {
    let (description, of_it) = language.describe_refusal(reason);
    html! { p.warn role="alert" lang=(of_it.tag()) { (sentence(description)) } }
}

/// The page of an error.
pub fn error(error: &Error, language: Language, next: Next<'_>) -> Response {
    let texts = language.texts();
    let (status, decision) = match error {
        Error::Refused(refusal) => (refusal.reason.wire().status, refusal.decision.as_deref()),
        Error::Fault(fault) => (fault.wire().status, None),
    };
    let (description, of_it) = language.describe(error);
    let content = html! {
        h1 { (texts.error) }
        p lang=(of_it.tag()) { (sentence(description)) }
        @if let Some(decision) = decision { p.quiet { code { (decision) } } }
        @match next {
            Next::Nothing => {}
            Next::Application => p { (texts.go_back) }
            Next::SignIn(path) => p { a href=(path) { (texts.try_again) } }
            Next::Connect(path) => p { a href=(path) { (texts.connect_again) } }
            Next::Me(path) => p { a href=(path) { (texts.connected) } }
        }
    };
    let page = Page { language, title: texts.error.to_owned(), content, form_targets: vec![] };
    let response = page.respond(status);
    match error {
        Error::Fault(Fault::Unavailable(_)) => response.with("retry-after", "1"),
        _ => response,
    }
}
