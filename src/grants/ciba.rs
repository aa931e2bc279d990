//! The grant by the backchannel (OpenID CIBA Core §10.1): a client polls until its user has decided elsewhere.
//!
//! 1. A poll that comes before the interval is over lets it grow by 5 seconds, in D1 and so for every location.
//! 2. What was approved is redeemed once, before the token is signed. No refresh token comes of it: the user is asked again.
//! 3. What policy forbids to consent to is asked again when the token is issued: a policy may have come meanwhile.
//! 4. A request of another client is refused before anything is noted.

use super::authorization_code::{allowed, is_of_resource};
use super::request::{TokenRequest, too_early};
use crate::authn::client::Authenticated;
use crate::authorize::lines::{self, Consenting};
use crate::cedar::Action;
use crate::context::Cx;
use crate::crypto::{Kind, is_well_formed, sha256};
use crate::directory::users;
use crate::error::{Fault, Reason, Result};
use crate::model::approval::{Approval, ApprovalStatus, Door, member};
use crate::model::event::Facts;
use crate::oauth::Scope;
use crate::oauth::scope::IDENTITY;
use crate::store;
use crate::tokens::{self, Issuance, Origin, TokenResponse, decide};

pub use crate::oauth::CIBA as GRANT_TYPE;

pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let caller = request.caller()?;
    let text = request.form.get("auth_req_id").ok_or(Reason::MissingAuthReqId)?;
    let refuse = |why: &str| Reason::InvalidAuthReqId.because(why);
    if !is_well_formed(Kind::ApprovalRequest, text) {
        return Err(refuse("it is none of ours"));
    }
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let found = cx.one(store::approvals::by_handle(tenant, &sha256(text).to_text())).await?;
    let approval =
        found.filter(|found| found.door == Door::Backchannel).ok_or_else(|| refuse("there is no such request"))?;
    if approval.client != caller.client.id {
        return Err(refuse("it is another client's"));
    }
    facts.approval = Some(approval.id.clone());
    facts.subject = Some(approval.subject.clone());
    match approval.status {
        ApprovalStatus::Redeemed => Err(refuse("it was used before")),
        ApprovalStatus::Denied | ApprovalStatus::Revoked => Err(Reason::BackchannelDenied.into()),
        _ if approval.expires_at <= now => Err(Reason::BackchannelExpired.into()),
        ApprovalStatus::Pending => {
            let poll = store::approvals::poll(tenant, &approval.id, now);
            let slow_down = store::approvals::slow_down_if_unchanged(tenant, &approval.id, now);
            Err(too_early(cx, poll, slow_down).await)
        }
        ApprovalStatus::Approved => issue(cx, request, approval, caller, facts).await,
    }
}

async fn issue(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    approval: Approval,
    Authenticated { client, method, workload_claims }: &Authenticated,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let broken = Fault::Broken("a stored approval has no resource");
    let resource = member(approval.granted(), "resource").as_str().map(str::to_owned).ok_or(broken)?;
    is_of_resource(request, &resource)?;
    let scope: Vec<String> = approval.texts("scope");
    let part = |is_identity: bool| -> Scope {
        scope.iter().map(String::as_str).filter(|scope| IDENTITY.contains(scope) == is_identity).collect()
    };
    let mut target = allowed(cx, request, &resource, &part(false), facts).await?;
    let details = member(approval.granted(), "authorization_details");
    let vote = approval.word_of_subject().cloned();
    let subject = approval.subject.clone();
    // What a policy forbids to consent to may be another by now than when the user was asked.
    let user = users::load(cx, &subject).await?.ok_or_else(|| Reason::Stopped.because("its user is gone"))?;
    let acr = vote.as_ref().and_then(|vote| vote.acr.as_deref());
    let who = Consenting { user: &user, acr, grant_type: GRANT_TYPE, is_bound: request.jkt().is_some() };
    let forbidden = lines::forbidden(cx, client, &target, who).await?;
    let all = target.scope.clone();
    for (scope, because) in all.iter().zip(&forbidden).filter_map(|(scope, why)| Some((scope, (*why)?))) {
        facts.refuse_scope(scope, because, &[]);
        target.scope = target.scope.narrowed(|one| one != scope);
    }
    if target.scope.is_empty() {
        return Err(Reason::PolicyDenied.because("policy forbids the user to consent to any of it"));
    }
    let origin = Origin {
        issued_at: Some(approval.created_at),
        acr: vote.as_ref().and_then(|vote| vote.acr.clone()),
        auth_time: vote.as_ref().and_then(|vote| vote.auth_time),
        identity: part(true),
        authorization_details: serde_json::from_value(details).unwrap_or_default(),
        approval: Some(approval),
        ..Origin::default()
    };
    let issuance = Issuance {
        client,
        method: Some(*method),
        subject: &subject,
        grant_type: GRANT_TYPE,
        action: Action::Issue,
        target,
        jkt: request.jkt(),
        origin,
        workload_claims,
    };
    // What cannot be had is told before the approval is redeemed.
    tokens::prepare(cx, &issuance).await?;
    let decision = decide(cx, &issuance, facts).await?;
    let mut response = tokens::finish(cx, &issuance, decision, facts).await?;
    response.id_token = tokens::id_token(cx, &issuance, None).await?;
    Ok(response)
}
