//! Whether a token is issued: no party of it has been stopped, policy permits it, the limits of its permits have room for one, and the
//! tenant's quota has one left.
//!
//! 1. All are asked at the end, limits and the quota last. They are asked on fresh records if the request has waited for another service: a
//!    kill during a wait is not escaped.

use super::approval::{self, Sought};
use super::quota;
use super::target::Target;
use crate::cedar::{Action, Circumstance, Target as PolicyTarget, Verdict};
use crate::context::Cx;
use crate::error::{Error, Reason, Refusal, Result};
use crate::jose::{Actor, MayAct};
use crate::model::event::Facts;
use crate::model::{Approval, AuthMethod, Client};
use crate::oauth::{AuthorizationDetail, Scope};
use crate::policy::obligations::{self, Means, Reached};
use crate::policy::{self, Inquiry};
use crate::revocation::breach::{self, Using};
use crate::revocation::check::{self, Parties, Standing};

/// How often limits are asked, each time for less: another request may take the last use meanwhile.
const ATTEMPTS: usize = 3;

/// A token that is minted if nobody in it is stopped and policy permits it.
pub struct Issuance<'a> {
    /// The client that gets it.
    pub client: &'a Client,
    /// How the client authenticated; nothing for a client that only an assertion has shown.
    pub method: Option<AuthMethod>,
    /// Its `sub`: the client itself, or a user.
    pub subject: &'a str,
    /// The `grant_type` of the request.
    pub grant_type: &'static str,
    /// The action that policy decides about.
    pub action: Action,
    /// The resource and the scope.
    pub target: Target,
    /// The thumbprint of the key that it is bound to.
    pub jkt: Option<&'a str>,
    /// The tokens that it is made from.
    pub origin: Origin,
    /// What the issuer of the assertion that the client authenticated with says of the workload, as `name=value`.
    pub workload_claims: &'a [String],
}

/// What a token takes over from the tokens that it is made from. The default is for a token that its subject gets itself.
#[derive(Default)]
pub struct Origin {
    /// Its `act` (RFC 8693 §4.1), the newest actor outermost.
    pub act: Option<Actor>,
    /// The lineage: digests of the `jti` of those tokens, newest first.
    pub lineage: Vec<String>,
    /// When the oldest of those tokens was issued, in seconds.
    pub issued_at: Option<i64>,
    /// When the first of those tokens expires, in seconds: no token made from them lives longer.
    pub expires_at: Option<i64>,
    /// Its `may_act` (RFC 8693 §4.4): the one actor that it may get.
    pub may_act: Option<MayAct>,
    /// Its `acr`: how the user authenticated.
    pub acr: Option<String>,
    /// Its `auth_time`: when the user authenticated, in seconds.
    pub auth_time: Option<i64>,
    /// The scope about the user (OpenID Connect Core §5.4), on which policy has no say: the user has allowed it.
    pub identity: Scope,
    /// The authorization details (RFC 9396), on which policy has no say either (docs/decisions.md 114).
    pub authorization_details: Vec<AuthorizationDetail>,
    /// The approval that it is issued for, where the grant itself asks a person.
    pub approval: Option<Approval>,
    /// Its `txn` (RFC 8417 §2.2): the transaction that it is for.
    pub txn: Option<String>,
    /// `issued_token_type` of the response (RFC 8693 §2.2.1), where the grant has one.
    pub issued_token_type: Option<&'static str>,
}

impl<'a> Issuance<'a> {
    /// A client's issuance for itself.
    pub fn own(client: &'a Client, method: AuthMethod, grant_type: &'static str, target: Target) -> Self {
        let (action, origin) = (Action::Issue, Origin::default());
        let (method, subject) = (Some(method), client.id.as_str());
        Self { client, method, subject, grant_type, action, target, jkt: None, origin, workload_claims: &[] }
    }
}

/// The scope and the lifetime that policy permits.
pub struct Decision {
    /// The scope.
    pub scope: Scope,
    /// How long the token lives, in seconds.
    pub lifetime: u32,
    /// The approvals that it rests on; redeemed.
    pub approvals: Vec<String>,
    /// The authorization details, where an approval leaves less of them.
    pub authorization_details: Option<Vec<AuthorizationDetail>>,
}

/// Decides about an issuance. The client has sent a proof if it needs one, no party is stopped, policy permits, the quota has a token left.
pub async fn decide(cx: &Cx<'_>, issuance: &Issuance<'_>, facts: &mut Facts) -> Result<Decision> {
    decide_as(cx, issuance, facts, true).await
}

/// The same about a request that may do what the token would let it do, and gets none: limits have to have room, and are not counted.
pub async fn decide_without_token(cx: &Cx<'_>, issuance: &Issuance<'_>, facts: &mut Facts) -> Result<Decision> {
    decide_as(cx, issuance, facts, false).await
}

async fn decide_as(cx: &Cx<'_>, issuance: &Issuance<'_>, facts: &mut Facts, counts: bool) -> Result<Decision> {
    if issuance.client.metadata.dpop_bound_access_tokens && issuance.jkt.is_none() {
        return Err(Reason::ProofRequired.into());
    }
    facts.subject = Some(issuance.subject.to_owned());
    // Of a token that is issued, what it has takes their place.
    facts.authorization_details = AuthorizationDetail::print(&issuance.origin.authorization_details);
    facts.chain = issuance.origin.act.iter().flat_map(Actor::chain).map(str::to_owned).collect();
    let named = |may_act: &MayAct| may_act.names(&cx.issuer(), &issuance.client.id);
    if !issuance.origin.may_act.as_ref().is_none_or(named) {
        return Err(Reason::ActorNotNamed.into());
    }
    let fresh = cx.refreshed_after_wait().await?;
    let cx = fresh.as_ref().unwrap_or(cx);
    let standing = standing(cx, issuance).await?;
    if !standing.client.may_ask_for(&issuance.target.resource) || !cx.issues_for(&issuance.target.resource) {
        return Err(Reason::UnknownResource.into());
    }
    let decision = permitted(cx, issuance, &standing, facts, counts).await?;
    quota::take(cx, &issuance.target).await?;
    approval::redeem(cx, &decision.approvals, facts).await?;
    Ok(decision)
}

/// The parties of the issuance, if none of them has been stopped.
async fn standing(cx: &Cx<'_>, Issuance { client, subject, origin, .. }: &Issuance<'_>) -> Result<Standing> {
    let actors: Vec<&str> = origin.act.iter().flat_map(Actor::chain).collect();
    let chain: Vec<&str> = origin.lineage.iter().map(String::as_str).collect();
    let issued_at = origin.issued_at;
    let parties = Parties { client: &client.id, subject, actors: &actors, chain: &chain, issued_at };
    check::check(cx, &parties).await.map_err(|rejection| rejection.refuse(Reason::Stopped))
}

/// The scope and the lifetime that policy permits, within the lifetime of the tokens that it is made from.
async fn permitted(
    cx: &Cx<'_>,
    issuance: &Issuance<'_>,
    Standing { client, user }: &Standing,
    facts: &mut Facts,
    counts: bool,
) -> Result<Decision> {
    let Issuance { target, origin, .. } = issuance;
    let circumstance = Circumstance {
        grant_type: Some(issuance.grant_type.to_owned()),
        auth_method: issuance.method.map(|method| method.as_str().to_owned()),
        acr: origin.acr.clone(),
        dpop: issuance.jkt.is_some(),
        scopes: target.scope.to_vec(),
        chain: facts.chain.clone(),
        chain_tags: policy::shared_tags(cx, &client.id, issuance.subject, &facts.chain).await?,
        workload_claims: issuance.workload_claims.to_vec(),
        subject: user.as_deref().map(policy::subject),
        ..policy::circumstance(cx)
    };
    let targets = as_policy_targets(target);
    let inquiry = Inquiry { action: issuance.action, targets: &targets, circumstance: &circumstance };
    let mut verdicts = policy::ask(cx, client, inquiry, facts).await?;
    if let Some(question) = &mut facts.question {
        question.auth_time = origin.auth_time;
    }
    let detailed = obligations::details(&verdicts);
    let details = kinds(&origin.authorization_details);
    let (auth_time, acr) = (origin.auth_time, origin.acr.clone());
    let means = Means { auth_time, acr, is_bound: issuance.jkt.is_some(), details };
    obligations::meet(cx.now, &mut verdicts, &means);
    let ends_in = origin.expires_at.map(|exp| u32::try_from(exp.saturating_sub(cx.now.seconds())).unwrap_or_default());
    if ends_in == Some(0) {
        return Err(Reason::Stopped.because("it expires now"));
    }
    let sought = Sought {
        client,
        subject: issuance.subject,
        action: issuance.action,
        target,
        jkt: issuance.jkt,
        authorization_details: &origin.authorization_details,
        own: origin.approval.as_ref(),
    };
    let approval = approval::meet(cx, sought, &mut verdicts, facts).await?;
    if let Some(left) = approval.authorization_details() {
        obligations::require_again(&mut verdicts, detailed, &kinds(left));
    }
    let (granted, reached) = within_limits(cx, issuance, client, &mut verdicts, counts).await?;
    if facts.scope_asked.is_some() || granted.is_none() {
        for (scope, verdict) in target.scope.iter().zip(&verdicts) {
            if let Some(because) = policy::refusal(verdict) {
                facts.refuse_scope(scope, because, &verdict.policies);
            }
        }
    }
    let Some(granted) = granted else {
        if !reached.is_empty() {
            return Err(obligations::refusal(cx, &reached, facts.decision.clone()));
        }
        let lacking = obligations::lacking(&verdicts);
        return Err(match denied(issuance.action, user.is_some(), &verdicts) {
            reason @ (Reason::PolicyDenied | Reason::ImpersonationDenied) => {
                let all = target.scope.iter().zip(&verdicts);
                let lacking = all.filter(|(scope, verdict)| client.may_have(scope) && policy::lacks_approval(verdict));
                let using = Using { client: &client.id, subject: issuance.subject, grant_type: issuance.grant_type };
                let full = breach::all_full(cx, using, lacking.map(|(_, verdict)| verdict)).await?;
                match full.is_empty() {
                    true => approval.refuse(cx, reason, facts).await,
                    false => obligations::refusal(cx, &full, facts.decision.clone()),
                }
            }
            reason => match reason.decided(facts.decision.clone().unwrap_or_default()) {
                Error::Refused(refusal) => {
                    let remedy = obligations::sign_in(reason, &verdicts);
                    Error::Refused(Refusal { detail: lacking, remedy, ..refusal })
                }
                fault @ Error::Fault(_) => fault,
            },
        });
    };
    let (approvals, authorization_details) = approval.given(&granted.scope);
    let lifetime = ends_in.map_or(granted.lifetime, |left| left.min(granted.lifetime));
    Ok(Decision { lifetime, approvals, authorization_details, ..granted })
}

fn kinds(details: &[AuthorizationDetail]) -> Vec<String> {
    details.iter().map(|one| one.kind().to_owned()).collect()
}

/// What the verdicts permit and the limits of their permits have room for, with those that have none: the uses are counted if `counts`.
async fn within_limits(
    cx: &Cx<'_>,
    Issuance { target, subject, grant_type, .. }: &Issuance<'_>,
    client: &Client,
    verdicts: &mut [Verdict],
    counts: bool,
) -> Result<(Option<Decision>, Vec<Reached>)> {
    let mut reached = Vec::new();
    for _ in 0..ATTEMPTS {
        let Some(granted) = left(client, target, verdicts) else { return Ok((None, reached)) };
        let given = target.scope.iter().zip(&*verdicts).filter(|(scope, _)| granted.scope.contains(scope));
        let limits = obligations::limits(given.map(|(_, verdict)| verdict));
        if limits.is_empty() {
            return Ok((Some(granted), reached));
        }
        quota::expect(cx, target).await?;
        let using = Using { client: &client.id, subject, grant_type };
        let full = match counts {
            true => breach::count(cx, using, &limits).await?,
            false => breach::full(cx, using, &limits).await?,
        };
        if full.is_empty() {
            return Ok((Some(granted), reached));
        }
        obligations::mark(verdicts, &full);
        let is_breach = full.iter().any(|one| one.limit.suspends);
        reached.extend(full);
        if is_breach {
            // Who was suspended just now gets no other scope either.
            return Ok((None, reached));
        }
    }
    Ok((None, reached))
}

/// Why nothing is given, with what the client can do about it.
fn denied(action: Action, is_for_user: bool, verdicts: &[Verdict]) -> Reason {
    match (action, obligations::reason(verdicts)) {
        (_, Some(reason)) => reason,
        (Action::Impersonate, None) => Reason::ImpersonationDenied,
        _ if policy::asks_for_sign_in(is_for_user, verdicts) => Reason::StepUpRequired,
        _ => Reason::PolicyDenied,
    }
}

/// The scopes of a target, as policies are asked about them.
pub fn as_policy_targets(target: &Target) -> Vec<PolicyTarget> {
    let resource = &target.resource.body;
    let tool = |name: &str| resource.scopes.iter().find(|scope| scope.name == name)?.tool.clone();
    target
        .scope
        .iter()
        .map(|name| PolicyTarget::Scope {
            resource: resource.resource.to_string(),
            name: name.to_owned(),
            tool: tool(name),
        })
        .collect()
}

/// The scope that the verdicts permit; nothing if that is none. The shortest `@ttl` of a permit bounds the lifetime.
fn left(client: &Client, target: &Target, verdicts: &[Verdict]) -> Option<Decision> {
    let asked = || target.scope.iter().zip(verdicts).filter(|(name, _)| client.may_have(name));
    let permitted = || asked().filter(|(_, verdict)| policy::refusal(verdict).is_none());
    let scope: Scope = permitted().map(|(name, _)| name).collect();
    let lifetime = permitted().filter_map(|(_, verdict)| u32::try_from(verdict.ttl?).ok()).min();
    let longest = target.resource.body.access_token_lifetime;
    (!scope.is_empty()).then(|| Decision {
        scope,
        lifetime: lifetime.map_or(longest, |ttl| ttl.min(longest)),
        approvals: vec![],
        authorization_details: None,
    })
}
