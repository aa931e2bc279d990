//! The frame of every page, its headers, and the page of an error.

use super::texts::Language;
use crate::crypto::{b64, sha256};
use crate::error::{Error, Fault, Reason};
use crate::web::Response;
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

/// A description, with what stands between backticks as code.
fn words(text: &str) -> Markup {
    html! {
        @for (n, part) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// What was wrong with the form of a page that comes again.
pub fn problem(reason: Reason, language: Language) -> Markup {
    let (description, of_it) = language.describe_refusal(reason);
    html! { p.warn role="alert" lang=(of_it.tag()) { (words(description)) } }
}

/// The page of an error.
pub fn error(error: &Error, language: Language) -> Response {
    error_before(error, language, None)
}

/// The same, with the way on where it is worth to try again.
pub fn error_before(error: &Error, language: Language, again: Option<&str>) -> Response {
    let texts = language.texts();
    let (status, decision) = match error {
        Error::Refused(refusal) => (refusal.reason.wire().status, refusal.decision.as_deref()),
        Error::Fault(fault) => (fault.wire().status, None),
    };
    let (description, of_it) = language.describe(error);
    let content = html! {
        h1 { (texts.error) }
        p lang=(of_it.tag()) { (words(description)) }
        @if let Some(decision) = decision { p.quiet { code { (decision) } } }
        @match again {
            Some(path) => p { a href=(path) { (texts.try_again) } }
            None => p { (texts.go_back) }
        }
    };
    let page = Page { language, title: texts.error.to_owned(), content, form_targets: vec![] };
    let response = page.respond(status);
    match error {
        Error::Fault(Fault::Unavailable(_)) => response.with("retry-after", "1"),
        _ => response,
    }
}
