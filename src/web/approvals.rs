//! `/t/{tenant}/approvals`: an agent or a resource server asks a person for an approval, looks what became of it, and redeems it.
//!
//! 1. The caller is a confidential client. A resource server asks for the agent whose token it presents; an agent asks for itself, or for the user of
//!    its own token.
//! 2. What is asked is bounded, and is text that a person can be shown. It is what policy would give: see `grants::approval`.
//! 3. Who has asked sees and redeems it, and nobody else: to others it is not there. What is stopped or revoked meanwhile, the token too, is not redeemed.

use super::guard::{ClientCall, refused};
use super::schema::{Kind, Member, members, object};
use super::{Call, Response};
use crate::approvals::{self, Asked, INTERVAL, SECONDS, With, uri};
use crate::authn::client::{Authenticated, Callers};
use crate::context::Cx;
use crate::crypto::sha256;
use crate::error::{Error, Reason, Result};
use crate::grants::approval::{self, Party, Wanted};
use crate::jose::is_strict;
use crate::model::approval::{Approval, ApprovalStatus, Door, number};
use crate::model::event::Facts;
use crate::model::{ClientKind, EventType};
use crate::oauth::authorization_details::is_deceptive;
use crate::oauth::{AuthorizationDetail, Form, ResourceUri, Scope};
use crate::tokens::{self, Accepted};
use crate::vault::{Trail, is_tool};
use serde_json::{Map, Value, json};

/// How many bytes the arguments of a call may have as JSON.
const MAX_ARGUMENTS: usize = 8_192;
/// How many characters a reason may have.
const MAX_REASON: usize = 500;
/// The least and the most time that those who decide have, in seconds.
const LEAST_SECONDS: i64 = 60;
const MOST_SECONDS: i64 = 86_400;

object!(
    /// The form in which an approval is asked for.
    APPROVAL_REQUEST = "ApprovalRequest" [members![
        may "subject_token" Kind::Word,
        may "resource" super::schema::RESOURCE,
        may "connection" super::schema::objects::SLUG,
        may "scope" super::schema::SCOPE,
        may "authorization_details" Kind::Word,
        may "tool" Kind::Word,
        may "arguments" Kind::Word,
        may "amount" Kind::Word,
        may "currency" Kind::Word,
        may "reason" Kind::Word,
        may "require" Kind::Word,
        may "expires_in" Kind::Word,
        may "client_id" Kind::Word,
        may "client_secret" Kind::Word,
    ]]
);

object!(
    /// The form of a question about an approval, where the client does not authenticate by its header.
    APPROVAL_QUERY = "ApprovalQuery" [members![may "client_id" Kind::Word, may "client_secret" Kind::Word]]
);

/// What a client is told of an approval.
pub const TOLD: &[Member] = members![
    must "approval_id" Kind::Word,
    must "status" Kind::Words("ApprovalStatus", || ApprovalStatus::ALL.iter().map(|one| one.as_str()).chain(["expired"]).collect()),
    may "approval_uri" Kind::Word,
    may "approval_number" Kind::Word,
    may "approval_note" Kind::Word,
    must "hash" Kind::Word,
    must "statement" Kind::Word,
    must "interval" Kind::Count,
    must "expires_in" Kind::Count,
];

object!(
    /// An approval, as the client that has asked for it sees it.
    APPROVAL_STATE = "ApprovalState" [TOLD]
);

const READS: &[&str] = &[
    "subject_token",
    "resource",
    "connection",
    "scope",
    "authorization_details",
    "tool",
    "arguments",
    "amount",
    "currency",
    "reason",
    "require",
    "expires_in",
];

/// Asks for an approval.
pub async fn create(call: Call<'_>) -> Result<Response> {
    let client_call = authenticate(call).await?;
    let mut trail = Trail::default();
    let made = ask(call.cx, &client_call, &mut trail).await.map(|approval| {
        let location = [&call.cx.issuer(), "/approvals/", &approval.id].concat();
        Response::json(201, &told(call.cx, &approval)).with("location", location)
    });
    answer(call, &client_call, made, trail).await
}

/// Shows an approval to the client that has asked for it.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let client_call = ClientCall::of_header(call.cx, call.request, EventType::ApprovalRefused).await?;
    show(call, &client_call).await
}

/// The same for a client that authenticates in the form.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let client_call = authenticate(call).await?;
    show(call, &client_call).await
}

async fn show(call: Call<'_>, client_call: &ClientCall) -> Result<Response> {
    let found = of(call, &client_call.caller).await;
    let shown = found.map(|approval| Response::json(200, &told(call.cx, &approval)));
    answer(call, client_call, shown, Trail::default()).await
}

/// Redeems an approval: of any number of requests one is answered.
pub async fn redeem(call: Call<'_>) -> Result<Response> {
    let client_call = authenticate(call).await?;
    let mut trail = Trail::default();
    let redeemed = async {
        let approval = of(call, &client_call.caller).await?;
        if approval.door != Door::Request {
            return Err(Reason::NotFound.into());
        }
        if approval.status != ApprovalStatus::Approved {
            return Err(approvals::refusal(call.cx, &approval, false));
        }
        trail = trail_of(&client_call.caller, &approval.client);
        trail.facts.approval = Some(approval.id.clone());
        // As fresh as introspection: what was stopped, revoked or forbidden after the yes is not redeemed.
        let cx = &call.cx.refreshed().await?;
        approval::expect_permitted(cx, &client_call.caller, &approval, &mut trail.facts).await?;
        approvals::redeem(cx, &approval.id).await?;
        let redeemed = Approval { status: ApprovalStatus::Redeemed, ..approval };
        Ok(Response::json(200, &told(call.cx, &redeemed)))
    };
    let redeemed = redeemed.await;
    answer(call, &client_call, redeemed, trail).await
}

/// As of a lease: the client that acts, and who asks for it.
fn trail_of(caller: &Authenticated, agent: &str) -> Trail {
    let resource_server = Some(caller.client.id.clone()).filter(|id| id != agent);
    let auth_method = Some(caller.method.as_str().to_owned());
    Trail { agent: Some(agent.to_owned()), facts: Facts { resource_server, auth_method, ..Facts::default() } }
}

async fn authenticate(call: Call<'_>) -> Result<ClientCall> {
    ClientCall::read(call.cx, call.request, Callers::Confidential, EventType::ApprovalRefused).await
}

/// A refusal is one event, but where it only says that nobody has decided, or that there is nothing.
async fn answer(
    call: Call<'_>,
    client_call: &ClientCall,
    answer: Result<Response>,
    Trail { agent, facts }: Trail,
) -> Result<Response> {
    match answer {
        Err(Error::Refused(refusal)) if refusal.is_poll() || refusal.reason == Reason::NotFound => {
            Err(Error::Refused(refusal))
        }
        Err(Error::Refused(refusal)) => {
            let client = agent.as_ref().unwrap_or(&client_call.caller.client.id);
            Err(refused(call.cx, refusal, EventType::ApprovalRefused, Some(client), facts).await?)
        }
        answer => answer,
    }
}

/// The approval of the path, if that client has asked for it.
async fn of(call: Call<'_>, caller: &Authenticated) -> Result<Approval> {
    let approval = approvals::find(call.cx, call.id(0)?).await?;
    match approval.requester == caller.client.id {
        true => Ok(approval),
        false => Err(Reason::NotFound.into()),
    }
}

fn told(cx: &Cx<'_>, approval: &Approval) -> Map<String, Value> {
    let now = cx.now.seconds();
    let is_pending = approval.is_pending(now);
    let all = [
        ("approval_id", Some(json!(approval.id))),
        ("status", Some(json!(approval.standing(now)))),
        ("approval_uri", is_pending.then(|| json!(uri(cx, &approval.id)))),
        ("approval_number", is_pending.then(|| json!(number(&approval.id)))),
        ("approval_note", approval.body.note.as_ref().map(|note| json!(note))),
        ("hash", Some(json!(sha256(approval.granted()).to_text()))),
        ("statement", Some(json!(approval.granted()))),
        ("interval", Some(json!(INTERVAL))),
        ("expires_in", Some(json!(approval.expires_at.saturating_sub(now).max(0)))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn invalid(why: &str) -> Error {
    Reason::InvalidApprovalRequest.because(why)
}

/// A text that a person can be shown.
fn shown(form: &Form, name: &'static str, most: usize) -> Result<Option<String>> {
    let Some(text) = form.get(name) else { return Ok(None) };
    match text.chars().count() <= most && !text.chars().any(is_deceptive) {
        true => Ok(Some(text.to_owned())),
        false => Err(invalid(&["`", name, "` is too long, or has characters that are not shown"].concat())),
    }
}

async fn ask(cx: &Cx<'_>, ClientCall { form, caller }: &ClientCall, trail: &mut Trail) -> Result<Approval> {
    let form = &form.clone().keeping(READS);
    let party = party(cx, form, caller).await?;
    *trail = trail_of(caller, &party.client.id);
    let details = form.get("authorization_details");
    let details = details.map(|text| AuthorizationDetail::parse(text).ok_or(Reason::MalformedAuthorizationDetails));
    let details = details.transpose()?.unwrap_or_default();
    let resource = form.get("resource");
    let resource = resource.map(|text| ResourceUri::parse(text).ok_or(Reason::MalformedResource)).transpose()?;
    let wanted = Wanted {
        resource,
        connection: form.get("connection"),
        scope: form.get("scope"),
        authorization_details: &details,
        tool: form.get("tool"),
        require: form.get("require"),
    };
    let what = what(form, &party, &wanted)?;
    let seconds = match form.get("expires_in") {
        None => SECONDS,
        Some(text) => {
            let seconds = text.parse().ok().filter(|seconds| (LEAST_SECONDS..=MOST_SECONDS).contains(seconds));
            seconds.ok_or_else(|| invalid("`expires_in` is 60 to 86400"))?
        }
    };
    let mut told = party.told();
    if let Some(reason) = shown(form, "reason", MAX_REASON)? {
        told.insert("reason".to_owned(), reason.into());
    }
    let require = approval::required(cx, caller, &party, &wanted, &mut trail.facts).await?;
    let asked = Asked {
        door: Door::Request,
        client: &party.client,
        requester: &caller.client.id,
        subject: &party.subject,
        require,
        what,
        told,
        seconds,
    };
    Ok(approvals::ask(cx, &asked, With::default()).await?.0)
}

/// Who is to do it and for whom: the parties of the token that is presented, or the client itself.
async fn party(cx: &Cx<'_>, form: &Form, caller: &Authenticated) -> Result<Party> {
    let own = &caller.client;
    let is_server = own.metadata.kind == ClientKind::ResourceServer;
    let Some(token) = form.get("subject_token") else {
        if is_server {
            return Err(Reason::MissingSubjectToken.into());
        }
        return Ok(Party {
            client: own.clone(),
            subject: own.id.clone(),
            user: None,
            chain: vec![],
            scope: None,
            audience: None,
            acr: None,
            auth_time: None,
            jkt: None,
            lineage: vec![],
            issued_at: None,
        });
    };
    // As fresh as at redemption: a revocation looks for what was asked before it (docs/decisions.md 224).
    let cx = &cx.refreshed().await?;
    let verified = tokens::verify(cx, token, |aud| !is_server || tokens::serves(cx, own, aud)).await;
    let Accepted { claims, client, user, iat, .. } =
        verified.map_err(|rejection| rejection.refuse(Reason::InvalidSubjectToken))?;
    if !is_server && client.id != own.id {
        return Err(Reason::InvalidSubjectToken.because("it is another client's"));
    }
    let jti = sha256(&claims.jti).to_text();
    Ok(Party {
        client,
        user,
        chain: claims.actors().into_iter().map(str::to_owned).collect(),
        scope: Some(claims.scope.clone()),
        audience: Some(claims.aud.resource().to_owned()),
        lineage: std::iter::once(jti).chain(claims.lineage).collect(),
        acr: claims.acr,
        auth_time: claims.auth_time,
        jkt: claims.cnf.map(|cnf| cnf.jkt),
        subject: claims.sub,
        issued_at: Some(iat),
    })
}

/// What is to be done, as the form says it.
fn what(form: &Form, party: &Party, wanted: &Wanted<'_>) -> Result<Map<String, Value>> {
    let Wanted { resource, connection, authorization_details: details, tool, .. } = wanted;
    let scope = wanted.scope.map(|text| Scope::parse(text).ok_or(Reason::MalformedScope)).transpose()?;
    if tool.is_some_and(|tool| !is_tool(tool) || tool.chars().any(is_deceptive)) {
        return Err(invalid("`tool` is too long, or has characters that are not shown"));
    }
    let arguments = match form.get("arguments") {
        None => None,
        Some(text) => {
            let strict = text.len() <= MAX_ARGUMENTS && is_strict(text.as_bytes());
            let read = strict.then(|| serde_json::from_str::<Map<String, Value>>(text).ok()).flatten();
            Some(read.ok_or_else(|| invalid("`arguments` is one JSON object of 8192 bytes at the most"))?)
        }
    };
    let (amount, currency) = (shown(form, "amount", 40)?, shown(form, "currency", 10)?);
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.parse::<f64>().is_ok();
    if amount.is_some() != currency.is_some() || amount.as_deref().is_some_and(|amount| !is_number(amount)) {
        return Err(invalid("`amount` is a number, and comes with `currency`"));
    }
    if resource.is_none() && connection.is_none() && tool.is_none() && details.is_empty() {
        return Err(invalid("say what is to be done: `resource`, `connection`, `tool` or `authorization_details`"));
    }
    let details = (!details.is_empty()).then_some(details);
    let what = json!({
        "action": "request", "resource": resource.as_ref().map(ToString::to_string), "audience": party.audience, "connection": connection,
        "scope": scope.map(|scope| scope.to_vec()), "authorization_details": details, "tool": tool, "arguments": arguments,
        "money": amount.map(|amount| json!({"amount": amount, "currency": currency})), "chain": party.chain,
        "jkt": party.jkt,
    });
    Ok(what.as_object().cloned().unwrap_or_default())
}
