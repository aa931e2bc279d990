//! `/t/{tenant}/me`: the agents that are connected to a person, what each may do and did, and taking it back.
//!
//! 1. Everything that a person has allowed is on the page, and can be taken back there with one click: a line, an agent for a while, an agent
//!    until it is allowed anew, every session.
//! 2. A form counts in the session that it was shown in (`super::expect_tag`), and reaches what is this person's alone: what is somebody
//!    else's looks as if it were not there.
//! 3. The page after it says from when on it holds, and until when a resource server that does not ask may honour a token.

use super::layout::{Page, end, time};
use super::texts::Texts;
use super::{consent, cookies, expect_tag, form, language, paths, person, sign_in, tag};
use crate::authn::people::{Person, session};
use crate::context::Cx;
use crate::directory::connected::{self, Agent, COUNTED, Tokens};
use crate::directory::resources;
use crate::error::{Reason, Result};
use crate::model::identity::Held;
use crate::model::{AccountStatus, ConnectedAccount, Consent, Resource};
use crate::oauth::{Form, ResourceUri};
use crate::revocation::consents::{self, By, Taken};
use crate::store;
use crate::vault::accounts;
use crate::vault::connect::{self, Wanted};
use crate::vault::service::Service;
use crate::web::{Call, Response};
use maud::{Markup, html};
use std::collections::HashMap;
use std::rc::Rc;

/// How many connected accounts are shown.
const ACCOUNTS: i64 = 200;
/// What the tag of its forms is made for.
const TAGGED: &str = "me";

/// What a form has done.
enum Done {
    Taken(Taken),
    Resumed,
    Disconnected,
}

/// Leads from the root of a tenant to the page.
pub async fn root(call: Call<'_>) -> Result<Response> {
    Ok(Response::redirect(paths::me(call.cx)))
}

/// Shows the page.
pub async fn get(call: Call<'_>) -> Result<Response> {
    match person(call).await? {
        Some(person) => page(call, &person, None).await,
        None => {
            let again = call.request.query == sign_in::AGAIN;
            Ok(sign_in::page(call, language(call.request), None, again).await?.respond(200))
        }
    }
}

/// Takes something back, or lets a paused agent go on; shows the page with what came of it.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let form = form(call)?;
    let Some(person) = person(call).await? else { return get(call).await };
    expect_tag(call, &form, &person, TAGGED)?;
    if form.get("do") == Some("everywhere") {
        session::end_all(call.cx, &person).await?;
        let page = sign_in::page(call, language(call.request), None, false).await?.respond(200);
        return Ok(page.cookie(&cookies::session(call.cx), "", 0));
    }
    let done = act(call, &form, &person).await?;
    page(call, &person, Some(done)).await
}

async fn act(call: Call<'_>, form: &Form, person: &Person) -> Result<Done> {
    let (cx, user) = (call.cx, person.user.id.as_str());
    if let Some(scope) = form.get("take_back") {
        let id = form.get("consent").ok_or(Reason::NotFound)?;
        connected::consent(cx, id, user).await?;
        let taken = consents::narrow(cx, id, By::Person, |_, line| line.scope != scope).await?;
        return taken.map(Done::Taken).ok_or_else(|| Reason::ConsentChanged.into());
    }
    if let Some(id) = form.get("disconnect") {
        let account = cx.one(store::accounts::get(&cx.tenant.id, id)).await?;
        let account = account.filter(|account| account.owner == user).ok_or(Reason::NotFound)?;
        if account.status == AccountStatus::Disabled {
            return Err(Reason::AccountDisabled.into());
        }
        return accounts::disconnect(cx, &account, None).await.map(|()| Done::Disconnected);
    }
    let client = form.get("client").ok_or(Reason::NotFound)?;
    match form.get("do") {
        Some("pause") => consents::pause(cx, client, user).await.map(Done::Taken),
        Some("stop") => consents::stop(cx, client, user).await.map(Done::Taken),
        Some("resume") => consents::resume(cx, client, user).await.map(|()| Done::Resumed),
        _ => Err(Reason::NotFound.into()),
    }
}

/// What the page is made from.
struct View<'a> {
    texts: &'static Texts,
    path: String,
    tag: &'a str,
    now: i64,
    resources: HashMap<String, Rc<Resource>>,
}

async fn page(call: Call<'_>, person: &Person, done: Option<Done>) -> Result<Response> {
    let (cx, language) = (call.cx, language(call.request));
    let agents = connected::of(cx, &person.user.id).await?;
    let accounts = cx.all(store::accounts::of_user(&cx.tenant.id, &person.user.id, ACCOUNTS)).await?;
    let mut known = HashMap::new();
    for consent in agents.iter().flat_map(|agent| &agent.consents) {
        if !known.contains_key(&consent.resource)
            && let Some(uri) = ResourceUri::parse(&consent.resource)
            && let Some(resource) = resources::load(cx, &uri).await?
        {
            known.insert(consent.resource.clone(), resource);
        }
    }
    let mut services = HashMap::new();
    for name in accounts.iter().map(|account| &*account.connection) {
        if !services.contains_key(name)
            && let Some(service) = connect::service(cx, name).await?
        {
            services.insert(name, service);
        }
    }
    let (own, leaving) = (tag(call, person, TAGGED)?, tag(call, person, "")?);
    let path = paths::me(cx);
    let view = View { texts: language.texts(), path, tag: &own, now: cx.now.seconds(), resources: known };
    let texts = view.texts;
    let content = html! {
        h1 { (texts.connected) }
        p.quiet { (texts.signed_in_as) " " strong { (consent::name(&person.user)) } }
        @if let Some(done) = &done { (receipt(texts, done)) }
        @if agents.is_empty() { p { (texts.none_connected) } }
        @for agent in &agents { (card(&view, agent)) }
        @if !accounts.is_empty() {
            h2 { (texts.accounts) }
            (act_form(&view, None, html! { @for account in &accounts { (connected_account(cx, texts, account, services.get(&*account.connection))) } }))
        }
        footer {
            form method="post" action=(paths::sign_out(cx)) {
                input type="hidden" name="tag" value=(leaving);
                button { (texts.sign_out) }
            }
            (act_form(&view, None, html! { button name="do" value="everywhere" { (texts.sign_out_everywhere) } }))
        }
    };
    Ok(Page { language, title: texts.connected.to_owned(), content, form_targets: vec![] }.respond(200))
}

/// What a person has just done, and from when on it holds.
fn receipt(texts: &Texts, done: &Done) -> Markup {
    html! {
        div.card role="status" {
            @match done {
                Done::Resumed => p { (texts.resumed) },
                Done::Disconnected => p { (texts.disconnected) },
                Done::Taken(taken) => {
                    p { strong { (texts.taken) } }
                    dl {
                        dt { (texts.holds_from) } dd { (time(taken.not_honoured_after)) }
                        dt { (texts.offline_until) } dd { (time(taken.tokens_expire_by)) }
                    }
                }
            }
        }
    }
}

/// A form of the page with its tag, about an agent if one is named.
fn act_form(view: &View<'_>, client: Option<&str>, inner: Markup) -> Markup {
    html! {
        form method="post" action=(view.path) {
            input type="hidden" name="tag" value=(view.tag);
            @if let Some(client) = client { input type="hidden" name="client" value=(client); }
            (inner)
        }
    }
}

fn card(view: &View<'_>, agent: &Agent) -> Markup {
    let texts = view.texts;
    let held = agent.held();
    html! {
        section.card {
            h2 { (agent.client.name) }
            (consent::known(texts, (&agent.client.id, agent.client.registration)))
            @if agent.is_stopped_by_administrator() { p.warn { (texts.stopped_by_administrator) } }
            @match held {
                Held::No => {}
                Held::Paused => p.warn { (texts.paused) },
                Held::Stopped => p.warn { (texts.stopped) },
            }
            @for consent in &agent.consents { (allowed(view, consent)) }
            @if agent.consents.is_empty() && held == Held::No { p { (texts.nothing_allowed) } }
            dl {
                dt { (texts.last_used) }
                dd { @if let Some(at) = agent.used_at() { (time(at)) } @else { (texts.never) } }
                dt { (texts.in_30_days) }
                dd { (counts(texts, agent.tokens.as_ref())) }
            }
            @if held != Held::Stopped {
                (act_form(view, Some(&agent.client.id), html! {
                    div.actions {
                        @if held == Held::Paused { button name="do" value="resume" { (texts.resume) } }
                        @else { button name="do" value="pause" { (texts.pause) } }
                        button name="do" value="stop" { (texts.stop) }
                    }
                }))
            }
        }
    }
}

/// An account at a service, with what became of it.
fn connected_account(cx: &Cx<'_>, texts: &Texts, account: &ConnectedAccount, service: Option<&Service>) -> Markup {
    let now = cx.now.seconds();
    let called = service.map_or(&account.connection, |service| &service.name);
    let scopes: Vec<&str> = account.scope.split(' ').filter(|scope| !scope.is_empty()).collect();
    let status = account.standing(now);
    let wanted = || Wanted {
        connection: account.connection.clone(),
        user: Some(account.owner.clone()),
        owner: account.owner.clone(),
        label: account.label.clone(),
        scopes: account.scope_asked.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        client: None,
        until: connect::link_until(now),
    };
    let is_well = matches!(status, AccountStatus::Active | AccountStatus::Refreshing | AccountStatus::Disabled);
    let link = if is_well { None } else { connect::link(cx, &wanted()).ok() };
    let words = match status {
        AccountStatus::Active | AccountStatus::Refreshing => texts.account_active,
        AccountStatus::Degraded => texts.account_trouble,
        AccountStatus::Uncertain => texts.account_uncertain,
        AccountStatus::Revoked => texts.account_revoked,
        AccountStatus::Expired => texts.account_expired,
        AccountStatus::ConsentWithdrawn => texts.account_withdrawn,
        AccountStatus::ScopeLost => texts.account_scope_lost,
        AccountStatus::AccountChanged => texts.account_changed,
        AccountStatus::ClientMisconfigured => texts.account_misconfigured,
        AccountStatus::Disabled => texts.account_disabled,
    };
    html! {
        section.card {
            h3 { (called) @if !account.label.is_empty() { " · " (account.label) } }
            p { strong { (account.name) } ": " (words) }
            p.quiet { (texts.since) " " (time(account.created_at)) }
            @if !scopes.is_empty() { ul { @for scope in scopes { (super::connect::line(texts, service, scope)) } } }
            div.actions {
                @if let Some(link) = link { a href=(link) { (texts.reconnect) } }
                @if status != AccountStatus::Disabled {
                    button name="disconnect" value=(account.id) aria-label=(format!("{}: {}", texts.disconnect, account.name)) { (texts.disconnect) }
                }
            }
        }
    }
}

/// One consent: at which resource, through which host, each line with its end and a way to take it back.
fn allowed(view: &View<'_>, consent: &Consent) -> Markup {
    let texts = view.texts;
    let resource = view.resources.get(&consent.resource).map(|resource| &resource.body);
    let live = consent.lines.iter().filter(|line| line.is_live(view.now));
    html! {
        h3 { (resource.map_or(consent.resource.as_str(), |resource| &resource.name)) }
        dl {
            dt { (texts.address) } dd { code { (consent.resource) } }
            dt { (texts.through) } dd { (consent.redirect_host) }
            dt { (texts.since) } dd { (time(consent.created_at)) }
        }
        (act_form(view, None, html! {
            input type="hidden" name="consent" value=(consent.id);
            ul { @for line in live {
                li.taken {
                    span {
                        @match resource.and_then(|resource| resource.scopes.iter().find(|scope| scope.name == line.scope)) {
                            Some(scope) => {
                                (consent::effect(texts, scope.effect()))
                                (if scope.description.is_empty() { &line.scope } else { &scope.description })
                            }
                            None => (consent::words(texts, &line.scope)),
                        }
                        small { code { (line.scope) } " · " (end(texts, line.until)) }
                    }
                    button name="take_back" value=(line.scope) aria-label=(format!("{}: {}", texts.take_line_back, line.scope)) {
                        (texts.take_line_back)
                    }
                }
            } }
        }))
    }
}

/// How many tokens an agent got, by scope.
fn counts(texts: &Texts, tokens: Option<&Tokens>) -> Markup {
    html! {
        @match tokens {
            None => (texts.not_known),
            Some(tokens) => {
                @if tokens.count >= COUNTED { (texts.more_than) " " }
                (tokens.count)
                @for (scope, count) in &tokens.by_scope { small { code { (scope) } ": " (count) } }
            }
        }
    }
}
