//! The page on which a person decides about a client.

use super::layout::{self, Page};
use super::paths;
use super::texts::{Language, Texts};
use crate::authn::people::Person;
use crate::authorize::{Ask, Duration, Line, Possible};
use crate::context::Cx;
use crate::error::Reason;
use crate::model::event::Because;
use crate::model::identity::Held;
use crate::model::resource::Effect;
use crate::model::{Registration, ResourceBody, User};
use crate::oauth::{AuthorizationDetail, redirect};
use maud::{Markup, html};
use serde_json::Value;

/// How the page is shown.
pub struct Shown<'a> {
    /// Names the request.
    pub id: &'a str,
    /// Goes with the form.
    pub tag: &'a str,
    /// What was wrong with the form when it came.
    pub problem: Option<Reason>,
}

/// The page.
pub fn page(
    cx: &Cx<'_>,
    language: Language,
    ask: &Ask,
    person: &Person,
    Shown { id, tag, problem }: Shown<'_>,
) -> Page {
    let texts = language.texts();
    let Ask { asked, lines, .. } = ask;
    let (client, resource) = (&asked.client, &asked.target.resource.body);
    let words = [&*client.metadata.client_name, texts.wants_access, &resource.name, texts.wants_access_end];
    let title = words.join(" ").trim_end().to_owned();
    let is_possible = |line: &Line| !matches!(line.possible, Possible::No(_));
    let can_allow = lines.iter().any(is_possible) || !asked.authorization_details.is_empty();
    let content = html! {
        h1 { (title) }
        @if let Some(reason) = problem { (layout::problem(reason, language)) }
        (known(texts, (&client.id, client.registration)))
        @match ask.held {
            Held::No => {}
            Held::Paused => p.warn { (texts.paused_before) },
            Held::Stopped => p.warn { (texts.stopped_before) },
        }
        dl {
            dt { (texts.at) } dd { (resource.resource) }
            @if let Some(device) = &asked.device {
                dt { (texts.device_shows) } dd { strong.code { (device.user_code) } }
            } @else {
                dt { (texts.returns_to) } dd { strong { (asked.host()) } }
            }
            dt { (texts.signed_in_as) } dd { strong { (name(&person.user)) } }
        }
        @if asked.device.is_some() { p.warn { (texts.device_compare) } }
        @if redirect::is_loopback(&asked.redirect_uri) { p.warn { (texts.loopback) } }
        form method="post" action=(paths::request(cx, id)) {
            input type="hidden" name="tag" value=(tag);
            fieldset {
                legend { (texts.may) }
                ul {
                    @for line in lines { (row(texts, line, ask.consent.is_some())) }
                    @for (n, detail) in asked.authorization_details.iter().enumerate() {
                        (detail_row(texts, &asked.target.resource.body, n, detail))
                    }
                }
            }
            @if can_allow {
                p { label for="duration" { (texts.how_long) } (durations(texts, "duration", None)) }
            } @else {
                p.warn { (texts.nothing_possible) }
            }
            div.actions {
                button name="decision" value="deny" { (texts.deny) }
                @if can_allow { button.main name="decision" value="allow" { (texts.allow) } }
            }
            p.quiet { (texts.take_back) " " a href=(paths::me(cx)) { (texts.connected) } }
        }
        footer {
            form method="post" action=(paths::sign_out(cx)) {
                input type="hidden" name="request" value=(id);
                input type="hidden" name="tag" value=(tag);
                button { (texts.another_person) }
            }
        }
    };
    Page { language, title, content, form_targets: vec![paths::target(&asked.redirect_uri)] }
}

/// How the client is known.
pub fn known(texts: &Texts, (client, registration): (&str, Registration)) -> Markup {
    html! {
        @match registration {
            Registration::Admin => p.quiet { (texts.known_admin) },
            Registration::MetadataDocument => p { (texts.known_document) " " strong { (redirect::host(client)) } },
            Registration::Dynamic => p.warn { (texts.known_dynamic) },
        }
    }
}

/// What a person is called: never by an id alone where there is a name.
pub fn name(user: &User) -> &str {
    let names = [&user.body.name, &user.body.email];
    names.into_iter().flatten().next().map_or(user.id.as_str(), String::as_str)
}

/// What a line does.
pub fn effect(texts: &Texts, effect: Effect) -> Markup {
    let (word, class) = match effect {
        Effect::Reads => (texts.reads, "effect"),
        Effect::Changes => (texts.changes, "effect changes"),
        Effect::Deletes => (texts.deletes, "effect deletes"),
    };
    html! { span class=(class) { (word) } }
}

fn row(texts: &Texts, line: &Line, is_again: bool) -> Markup {
    let is_possible = !matches!(line.possible, Possible::No(_));
    let described =
        line.description.as_deref().filter(|text| !text.is_empty()).unwrap_or_else(|| words(texts, &line.scope));
    html! {
        li {
            label {
                input type="checkbox" name="scope" value=(line.scope) checked[is_possible && (line.is_ticked || line.is_held)] disabled[!is_possible];
                span class=(if is_possible { "" } else { "off" }) {
                    (effect(texts, line.effect))
                    (described)
                    @if is_again && line.is_held {
                        small { (texts.already) ", " (layout::end(texts, line.until)) }
                    } @else if is_again && is_possible {
                        small { strong { (texts.new_line) } }
                    }
                    @match line.possible {
                        Possible::Yes => {}
                        Possible::AsksAgain => small { (texts.asks_again) }
                        Possible::No(because) => small { (texts.not_possible) ": " (why(texts, because)) }
                    }
                }
            }
            @if line.description.is_some() {
                details {
                    summary { code { (line.scope) } }
                    @if let Some(tool) = &line.tool { small { (texts.tool) ": " code { (tool) } } }
                    @if is_possible { p.line-for { label { span { (texts.how_long) } (durations(texts, &["for ", &line.scope].concat(), Some(if line.is_held { texts.as_before } else { texts.as_above }))) } } }
                }
            }
        }
    }
}

/// The field of the authorization detail at that place of the request.
pub fn detail_field(n: usize) -> String {
    format!("detail {n}")
}

/// An authorization detail, with every member of it.
fn detail_row(texts: &Texts, resource: &ResourceBody, n: usize, detail: &AuthorizationDetail) -> Markup {
    let known = resource.authorization_details_type(detail.kind());
    let does = known.and_then(|known| known.effect).unwrap_or(Effect::Changes);
    html! {
        li {
            label {
                input type="checkbox" name=(detail_field(n)) value="allow" checked[does != Effect::Deletes];
                span {
                    (effect(texts, does))
                    (known.map_or(detail.kind(), |known| &known.description))
                    small { (texts.detail_once) " " code { (detail.kind()) } }
                }
            }
            dl.members { @for (name, shown) in detail.members() { dt { (name) } dd { (value(shown)) } } }
        }
    }
}

fn value(shown: &Value) -> Markup {
    html! {
        @match shown {
            Value::String(text) => span.value { (text) },
            Value::Array(all) => @for one in all { div { (value(one)) } },
            Value::Object(members) => dl { @for (name, inner) in members { dt { (name) } dd { (value(inner)) } } },
            other => span.value { (other) },
        }
    }
}

/// A choice of durations; the default one is the middle of what is sensible, or `as_above`.
fn durations(texts: &Texts, name: &str, as_above: Option<&str>) -> Markup {
    let word = |duration: Duration| match duration {
        Duration::Once => texts.once,
        Duration::Hour => texts.hour,
        Duration::Day => texts.day,
        Duration::Month => texts.month,
        Duration::Open => texts.open,
    };
    html! {
        " "
        select name=(name) id=[as_above.is_none().then_some(name)] {
            @if let Some(above) = as_above { option value="" { (above) } }
            @for duration in Duration::ALL {
                option value=(duration.as_str()) selected[as_above.is_none() && duration == Duration::Month] { (word(duration)) }
            }
        }
    }
}

fn why(texts: &Texts, because: Because) -> &'static str {
    match because {
        Because::Forbidden => texts.forbidden,
        Because::Error => texts.undecided,
        _ => texts.no_permit,
    }
}

/// A scope that has no description, in words where it is about the person.
pub fn words<'a>(texts: &'a Texts, scope: &'a str) -> &'a str {
    match scope {
        "openid" => texts.openid,
        "profile" => texts.profile,
        "email" => texts.email,
        "offline_access" => texts.offline_access,
        _ => scope,
    }
}
