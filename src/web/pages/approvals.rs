//! `/t/{tenant}/me/approvals` and the page of each: a person sees what waits, and decides.
//!
//! 1. A link only opens the page. A decision is a form of the page, with the tag of its session; what Enter sends is no.
//! 2. All that is asked is on the page, escaped; what is not shown, or changes how others are shown, is spelt out.
//! 3. An approval is there for those who are asked, and for nobody else.
//! 4. With a passkey the person signs the digest of what is left, on a page of its own.

use super::layout::{self, Page, time};
use super::texts::Texts;
use super::{consent, expect_tag, form, language, passkey, paths, person, sign_in, tag};
use crate::approvals::{self, By, Choice};
use crate::authn::people::{Person, browser, passkey as passkeys};
use crate::crypto::sha256;
use crate::directory::{clients, resources, users};
use crate::error::{Error, Reason, Refusal, Result};
use crate::model::approval::{Approval, MAX_NOTE, Narrowing, member, narrowed, number, resource};
use crate::model::{Resource, id};
use crate::oauth::authorization_details::is_deceptive;
use crate::oauth::{Form, ResourceUri};
use crate::web::{Call, Response};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a choice that waits for a passkey is sealed as.
const KIND: &str = "approval";

/// What a person leaves of an approval, while a passkey signs it.
#[derive(Serialize, Deserialize)]
struct Chosen {
    approval: String,
    scope: Option<Vec<String>>,
    details: Option<Vec<Value>>,
    note: Option<String>,
}

/// What waits for the person who is signed in.
pub async fn list(call: Call<'_>) -> Result<Response> {
    let (cx, language) = (call.cx, language(call.request));
    let texts = language.texts();
    let Some(person) = person(call).await? else {
        let page = sign_in::page(call, language, Some(sign_in::For::any(paths::APPROVALS)), false).await?;
        return Ok(page.respond(200));
    };
    let waiting = approvals::waiting(cx, &person).await?;
    let decided = approvals::decided_by(cx, &person).await?;
    let now = cx.now.seconds();
    let content = html! {
        h1 { (texts.approvals) }
        p.quiet { (texts.signed_in_as) " " strong { (consent::name(&person.user)) } }
        @if waiting.is_empty() { p { (texts.approvals_none) } }
        ul { @for approval in &waiting {
            li {
                a href=(paths::approval(cx, &approval.id)) { strong { (text(approval, "client_name")) } " " (texts.approval_asks) }
                small { (texts.approval_number) " " (number(&approval.id)) " · " (summary(approval)) " · " (texts.until) " " (time(approval.expires_at)) }
            }
        } }
        @if !decided.is_empty() {
            h2 { (texts.approvals_decided) }
            ul { @for approval in &decided {
                li {
                    a href=(paths::approval(cx, &approval.id)) { (text(approval, "client_name")) " · " (summary(approval)) }
                    small { (time(approval.created_at)) " · " (standing(texts, approval, now)) }
                }
            } }
        }
        p { a href=(paths::me(cx)) { (texts.connected) } }
    };
    Ok(Page { language, title: texts.approvals.to_owned(), content, form_targets: vec![] }.respond(200))
}

/// The page of one approval.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let language = language(call.request);
    let Some(person) = person(call).await? else {
        let id = call.id(0)?;
        let back = [paths::APPROVALS, "/", id].concat();
        let back = id::is_plausible(id).then_some(sign_in::For::any(&back));
        return Ok(sign_in::page(call, language, back, false).await?.respond(200));
    };
    let approval = asked(call, &person).await?;
    show(call, &approval, &person, None).await
}

/// The person decides.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    let form = form(call)?;
    let Some(person) = person(call).await? else { return get(call).await };
    let approval = asked(call, &person).await?;
    expect_tag(call, &form, &person, &tagged(&approval))?;
    let choice = match form.get("decision") {
        Some("approve") => chosen(&form, &approval),
        _ => Chosen { approval: approval.id.clone(), scope: None, details: None, note: note(&form) },
    };
    let approves = form.get("decision") == Some("approve");
    if approves && approval.needs_passkey() {
        return match sign(call, &form, &approval, (&person, choice)).await {
            Err(Error::Refused(Refusal { reason: reason @ Reason::ApprovalWidened, .. })) => {
                show(call, &approval, &person, Some(reason)).await
            }
            answered => answered,
        };
    }
    let choice = Choice {
        approves,
        narrowing: Narrowing { scope: choice.scope, authorization_details: choice.details },
        note: choice.note,
        passkey: None,
    };
    match approvals::decide(cx, &approval.id, By::Person(&person), &choice).await {
        Ok(_) => Ok(Response::redirect(paths::approval(cx, &approval.id))),
        Err(Error::Refused(Refusal { reason: reason @ Reason::ApprovalWidened, .. })) => {
            show(call, &approval, &person, Some(reason)).await
        }
        Err(error) => Err(error),
    }
}

/// Has a passkey sign what is left, and decides with it.
async fn sign(
    call: Call<'_>,
    form: &Form,
    approval: &Approval,
    (person, chosen): (&Person, Chosen),
) -> Result<Response> {
    let cx = call.cx;
    let sealed = form.get("chosen").and_then(|sealed| browser::open::<Chosen>(cx, KIND, sealed));
    let chosen = sealed.filter(|sealed| sealed.approval == approval.id).unwrap_or(chosen);
    let narrowing = Narrowing { scope: chosen.scope.clone(), authorization_details: chosen.details.clone() };
    let left = narrowed(approval.granted(), &narrowing).ok_or(Reason::ApprovalWidened)?;
    let digest = sha256(&left);
    let problem = match form.get("credential") {
        None => None,
        Some(credential) => match passkeys::approve(cx, &person.user, &digest, credential).await {
            Ok(evidence) => {
                let choice = Choice { approves: true, narrowing, note: chosen.note, passkey: Some(evidence) };
                approvals::decide(cx, &approval.id, By::Person(person), &choice).await?;
                return Ok(Response::redirect(paths::approval(cx, &approval.id)));
            }
            Err(Error::Refused(refusal)) => Some(refusal.reason),
            Err(fault) => return Err(fault),
        },
    };
    let language = language(call.request);
    let texts = language.texts();
    let content = html! {
        h1 { (texts.approval_sign) }
        p { strong { (text(approval, "client_name")) } " " (texts.approval_asks) ": " (summary_of(&left)) }
        p.quiet { (texts.approval_digest) " " code { (digest.to_text()) } }
        form method="post" action=(paths::approval(cx, &approval.id)) data-options=(passkeys::begin_approval(cx, &digest)) {
            input type="hidden" name="tag" value=(tag(call, person, &tagged(approval))?);
            input type="hidden" name="decision" value="approve";
            input type="hidden" name="chosen" value=(browser::seal(cx, KIND, &chosen, passkeys::SECONDS)?);
            (passkey::rest(language, "", texts.approval_sign, problem))
        }
        p { a href=(paths::approval(cx, &approval.id)) { (texts.approval_back) } }
    };
    let page = Page { language, title: texts.approval_sign.to_owned(), content, form_targets: vec![] };
    Ok(passkey::with_script(page.respond(problem.map_or(200, |reason| reason.wire().status))))
}

/// The approval of the path, if the person is asked.
async fn asked(call: Call<'_>, person: &Person) -> Result<Approval> {
    let approval = approvals::find(call.cx, call.id(0)?).await?;
    if approval.is_asked(&person.user) { Ok(approval) } else { Err(Reason::NotFound.into()) }
}

/// What the tag of a form is made for: the approval as it was shown. A form of before another has narrowed it does not count.
fn tagged(approval: &Approval) -> String {
    ["approval ", &approval.id, " ", &sha256(approval.granted()).to_text()].concat()
}

fn note(form: &Form) -> Option<String> {
    let text = form.get("note")?.trim().chars().filter(|c| !is_deceptive(*c)).take(MAX_NOTE).collect::<String>();
    Some(text).filter(|text| !text.is_empty())
}

/// What is ticked.
fn chosen(form: &Form, approval: &Approval) -> Chosen {
    let asked = details(approval);
    let is_ticked = |n: &usize| form.get(&consent::detail_field(*n)).is_some();
    let ticked = asked.iter().enumerate().filter(|(n, _)| is_ticked(n)).map(|(_, detail)| detail.clone());
    Chosen {
        approval: approval.id.clone(),
        scope: (!approval.texts("scope").is_empty()).then(|| form.all("scope").map(str::to_owned).collect()),
        details: (!asked.is_empty()).then(|| ticked.collect()),
        note: note(form),
    }
}

fn details(approval: &Approval) -> Vec<Value> {
    member(approval.granted(), "authorization_details").as_array().cloned().unwrap_or_default()
}

fn text(approval: &Approval, name: &str) -> String {
    member(&approval.statement, name).as_str().map(plain).unwrap_or_default()
}

/// A text as it is shown: what is not shown itself, or changes how others are shown, is spelt out.
fn plain(text: &str) -> String {
    let spell = |c: char| if is_deceptive(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(spell).collect()
}

fn summary(approval: &Approval) -> String {
    summary_of(approval.granted())
}

/// What it is about, in a line.
fn summary_of(statement: &str) -> String {
    let members: Map<String, Value> = serde_json::from_str(statement).unwrap_or_default();
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(plain);
    let scope = members.get("scope").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let resource = resource(statement).as_deref().map(plain);
    let parts = [text("tool"), text("connection"), resource].into_iter().flatten().chain(scope.map(plain));
    parts.collect::<Vec<_>>().join(" · ")
}

async fn show(call: Call<'_>, approval: &Approval, person: &Person, problem: Option<Reason>) -> Result<Response> {
    let (cx, language) = (call.cx, language(call.request));
    let texts = language.texts();
    let now = cx.now.seconds();
    let client = clients::load(cx, &approval.client).await?;
    let subject = match id::is_user(&approval.subject) {
        true => users::load(cx, &approval.subject).await?.map(|user| consent::name(&user).to_owned()),
        false => None,
    };
    let resource = match approval.resource().and_then(|uri| ResourceUri::parse(&uri)) {
        Some(uri) => resources::load(cx, &uri).await?,
        None => None,
    };
    let title = [&*text(approval, "client_name"), texts.approval_asks].join(" ");
    let has_voted = approval.body.votes.iter().any(|vote| vote.by == person.user.id);
    let content = html! {
        h1 { (title) }
        @if let Some(reason) = problem { (layout::problem(reason, language)) }
        @if let Some(client) = &client { (consent::known(texts, (&client.id, client.registration))) }
        dl {
            dt { (texts.approval_number) } dd { strong.code { (number(&approval.id)) } }
            dt { (texts.approval_for) } dd { (subject.as_deref().unwrap_or(texts.approval_itself)) }
            (facts(texts, approval, resource.as_deref()))
            dt { (texts.approval_until) } dd { (time(approval.expires_at)) }
            dt { (texts.signed_in_as) } dd { strong { (consent::name(&person.user)) } }
        }
        @if approval.is_pending(now) && !has_voted { (decision(call, approval, person, resource.as_deref())?) }
        @else { p role="status" { strong { (standing(texts, approval, now)) } } }
        p.quiet { a href=(paths::approvals(cx)) { (texts.approvals) } }
    };
    let page = Page { language, title, content, form_targets: vec![] };
    Ok(page.respond(problem.map_or(200, |reason| reason.wire().status)))
}

/// What is asked, a row for each part of it.
fn facts(texts: &Texts, approval: &Approval, resource: Option<&Resource>) -> Markup {
    let shown = |name: &str| Some(text(approval, name)).filter(|text| !text.is_empty());
    let chain = approval.texts("chain");
    let object = |name: &str| match member(&approval.statement, name) {
        Value::Object(members) => Some(members),
        _ => None,
    };
    let policies = member(&approval.statement, "policies");
    let policies: Vec<&str> = policies.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    html! {
        @if approval.requester != approval.client { dt { (texts.approval_asked_by) } dd { code { (approval.requester) } } }
        @if !chain.is_empty() { dt { (texts.through) } dd { @for actor in &chain { code { (actor) } " " } } }
        @if let Some(uri) = approval.resource() { dt { (texts.at) } dd { @if let Some(resource) = resource { (resource.body.name) " " } code { (plain(&uri)) } } }
        @if let Some(connection) = shown("connection") { dt { (texts.approval_connection) } dd { code { (connection) } } }
        @if let Some(account) = shown("account") { dt { (texts.approval_account) } dd { code { (account) } } }
        @if let Some(scope) = shown("lease_scope") { dt { (texts.approval_scope) } dd { code { (scope) } } }
        @if let Some(host) = shown("host") { dt { (texts.at) } dd { code { (host) } } }
        @if let Some(tool) = shown("tool") { dt { (texts.tool) } dd { code { (tool) } } }
        @if let Some(call) = object("call") { dt { (texts.approval_call) } dd { code { (value(call.get("method"))) " " (value(call.get("path"))) } } }
        @if let Some(money) = object("money") { dt { (texts.approval_money) } dd { strong { (value(money.get("amount"))) " " (value(money.get("currency"))) } } }
        @if let Some(reason) = shown("binding_message").or_else(|| shown("reason")) { dt { (texts.approval_reason) } dd { q { (reason) } } }
        @if !policies.is_empty() { dt { (texts.approval_policies) } dd { @for policy in policies { code { (policy) } " " } } }
        @if let Some(arguments) = object("arguments") {
            @for (name, one) in &arguments { dt { (texts.approval_with) " " code { (plain(name)) } } dd { span.value { (value(Some(one))) } } }
        }
    }
}

fn value(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => plain(text),
        Some(other) => plain(&other.to_string()),
    }
}

/// The form of the decision. The first button is what Enter sends.
fn decision(call: Call<'_>, approval: &Approval, person: &Person, resource: Option<&Resource>) -> Result<Markup> {
    let texts = language(call.request).texts();
    let known = |scope: &str| resource?.body.scopes.iter().find(|known| known.name == scope);
    let tag = tag(call, person, &tagged(approval))?;
    let (scope, details) = (approval.texts("scope"), details(approval));
    Ok(html! {
        p.warn { (texts.approval_compare) }
        form method="post" action=(paths::approval(call.cx, &approval.id)) {
            input type="hidden" name="tag" value=(tag);
            @if !scope.is_empty() || !details.is_empty() {
                fieldset {
                    legend { (texts.may) }
                    ul {
                        @for scope in &scope {
                            li { label {
                                input type="checkbox" name="scope" value=(scope) checked;
                                span {
                                    @match known(scope) {
                                        Some(known) => { (consent::effect(texts, known.effect())) (known.description) small { code { (scope) } } }
                                        None => (consent::words(texts, scope)),
                                    }
                                }
                            } }
                        }
                        @for (n, detail) in details.iter().enumerate() {
                            li {
                                label {
                                    input type="checkbox" name=(consent::detail_field(n)) value="allow" checked;
                                    span { code { (value(detail.get("type"))) } }
                                }
                                dl.members { @for (name, one) in detail.as_object().into_iter().flatten().filter(|(name, _)| *name != "type") {
                                    dt { (plain(name)) } dd { span.value { (value(Some(one))) } }
                                } }
                            }
                        }
                    }
                }
            }
            p { label for="note" { (texts.approval_note) } input type="text" id="note" name="note" maxlength=(MAX_NOTE); }
            p.quiet { (texts.approval_once) }
            div.actions {
                button name="decision" value="deny" { (texts.deny) }
                button.main name="decision" value="approve" { (texts.approval_approve) }
            }
        }
    })
}

fn standing(texts: &Texts, approval: &Approval, now: i64) -> &'static str {
    match approval.standing(now) {
        "pending" => texts.approval_others,
        "approved" => texts.approval_approved,
        "redeemed" => texts.approval_used,
        "denied" => texts.approval_denied,
        "revoked" => texts.approval_revoked,
        _ => texts.approval_over,
    }
}
