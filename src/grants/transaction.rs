//! The transaction challenge (draft-rosomakho-oauth-txn-challenge-00): a resource wants a person's word for one operation, says so in a signed
//! challenge, and the client gets a token for that operation.
//!
//! In scope: taking a challenge, polling, the token. Out of scope: making challenges, which resources do.
//!
//! 1. A challenge is by a resource that is registered here with its keys, for us, live, and worth one approval (§4.6). It is used up in the
//!    transaction that makes the approval.
//! 2. What is asked is what the challenge says, and nothing that the client says. Its authorization details are of types that the resource has.
//! 3. Who acts according to the challenge has to be the client, or to act in the token that it presents (§4.6).
//! 4. The token names the resource and the transaction, has details that were approved and never others (§5.4), and no scope that the client would
//!    not get without the challenge.
//! 5. The client is confidential: its name alone would let anybody fetch the token.

use super::authorization_code::allowed;
use super::request::{TokenRequest, too_early};
use crate::approvals::{self, Asked, SECONDS, With};
use crate::authn::client::Authenticated;
use crate::cedar::{Action, Circumstance};
use crate::context::{Cx, remembered_until};
use crate::crypto::sha256;
use crate::directory::resources;
use crate::error::{Error, Fault, Reason, Result};
use crate::federation::{self, KeySource, Wanted};
use crate::jose::Actor;
use crate::model::approval::{Approval, ApprovalStatus, Door, member};
use crate::model::event::Facts;
use crate::model::{Client, Resource};
use crate::oauth::authorization_details::is_deceptive;
use crate::oauth::{AuthorizationDetail, Parameters, ResourceUri, Scope};
use crate::policy::{self, Inquiry};
use crate::revocation::breach::Using;
use crate::store;
use crate::tokens::{self, Accepted, Issuance, Origin, Requested, Target, TokenResponse, decide, target};
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// What the token's event calls the grant.
const GRANT_TYPE: &str = "transaction_authorization";
/// The type of a challenge (§4.2.1), in small letters.
const TYPE: &str = "txn-authz-challenge+jwt";
/// What the endpoint reads.
pub const READS: &[&str] =
    &["transaction_challenge", "transaction_authorization_id", "subject_token", "subject_token_type"];

const MAX_TXN: usize = 128;
const MAX_REASON: usize = 500;

fn invalid(why: &str) -> Error {
    Reason::InvalidChallenge.because(why)
}

/// A challenge that holds.
struct Challenge {
    resource: Rc<Resource>,
    txn: String,
    jti: String,
    exp: i64,
    details: Vec<AuthorizationDetail>,
    reason: String,
    actor: Option<String>,
}

/// Takes a challenge: the approval that waits, or that was given before.
pub async fn start(cx: &Cx<'_>, form: Parameters<'_>, caller: &Authenticated, facts: &mut Facts) -> Result<Approval> {
    let client = &*caller.client;
    let challenge = verify(cx, form.get("transaction_challenge").ok_or(Reason::MissingChallengeOfResource)?).await?;
    facts.resource = Some(challenge.resource.body.resource.to_string());
    if !client.may_ask_for(&challenge.resource) {
        return Err(Reason::UnknownResource.into());
    }
    let presented = match form.get("subject_token") {
        Some(token) => Some(presented(cx, token, client, &challenge).await?),
        None => None,
    };
    let claims = presented.as_ref().map(|presented| &presented.claims);
    let chain: Vec<&str> = claims.map(|claims| claims.actors()).unwrap_or_default();
    if challenge.actor.as_deref().is_some_and(|actor| actor != client.id && !chain.contains(&actor)) {
        return Err(invalid("`act` is another party than the client"));
    }
    let scope = scope(cx, client, &challenge.resource, claims.map(|claims| claims.scope.as_str()), facts).await?;
    let lineage: Vec<String> = claims
        .map(|claims| std::iter::once(sha256(&claims.jti).to_text()).chain(claims.lineage.iter().cloned()).collect())
        .unwrap_or_default();
    let require = required(cx, (caller, presented.as_ref()), (&challenge.resource, &scope)).await?;
    let what = json!({
        "action": "transaction", "resource": challenge.resource.body.resource.to_string(), "scope": scope.to_vec(),
        "authorization_details": challenge.details, "txn": challenge.txn, "challenge": challenge.jti, "chain": chain,
        "jkt": claims.and_then(|claims| claims.cnf.as_ref()).map(|cnf| &cnf.jkt),
    });
    let told =
        json!({"reason": challenge.reason, "lineage": lineage, "issued_at": presented.as_ref().map(|one| one.iat)});
    let subject = claims.map_or(client.id.as_str(), |claims| claims.sub.as_str());
    let asked = Asked {
        door: Door::Transaction,
        client,
        requester: &client.id,
        subject,
        require,
        what: members(what),
        told: members(told),
        seconds: SECONDS,
    };
    // The same challenge of the same client is the same request, until it is over; then it is worth nothing. It is used up with the approval that
    // comes of it: where there is none, it can be sent again.
    let once = cx.redeemable("txn-challenge", challenge.resource.body.resource.as_str(), &challenge.jti);
    let with = With { once: Some((&once, remembered_until(challenge.exp))), ..With::default() };
    match approvals::ask(cx, &asked, with).await {
        Ok((approval, _)) => {
            facts.approval = Some(approval.id.clone());
            Ok(approval)
        }
        Err(Error::Refused(_)) if cx.is_redeemed(&once).await? => Err(invalid("it was used before")),
        Err(error) => Err(error),
    }
}

/// What permits require of people. Whether they hold is asked when the token is fetched, with its key and the user's `acr`.
async fn required(
    cx: &Cx<'_>,
    (caller, presented): (&Authenticated, Option<&Accepted>),
    (resource, scope): (&Rc<Resource>, &Scope),
) -> Result<Vec<String>> {
    let client = &*caller.client;
    let claims = presented.map(|presented| &presented.claims);
    let subject = claims.map_or(client.id.as_str(), |claims| claims.sub.as_str());
    let chain: Vec<String> =
        claims.map(|claims| claims.actors().into_iter().map(str::to_owned).collect()).unwrap_or_default();
    let circumstance = Circumstance {
        grant_type: Some(GRANT_TYPE.to_owned()),
        auth_method: Some(caller.method.as_str().to_owned()),
        // A key can still be proved when the token is fetched.
        dpop: true,
        scopes: scope.to_vec(),
        chain_tags: policy::shared_tags(cx, &client.id, subject, &chain).await?,
        chain,
        workload_claims: caller.workload_claims.clone(),
        subject: presented.and_then(|presented| presented.user.as_deref()).map(policy::subject),
        ..policy::circumstance(cx)
    };
    let target = Target { resource: resource.clone(), scope: scope.clone() };
    let targets = tokens::decide::as_policy_targets(&target);
    let inquiry = Inquiry { action: Action::Issue, targets: &targets, circumstance: &circumstance };
    let verdicts = policy::decide(cx, client, inquiry).await?;
    let using = Using { client: &client.id, subject, grant_type: GRANT_TYPE };
    approvals::required(cx, client, using, &verdicts).await
}

/// The challenge, if a resource of ours has made it for us.
async fn verify(cx: &Cx<'_>, text: &str) -> Result<Challenge> {
    let iss = federation::claimed_issuer(text).and_then(|iss| ResourceUri::parse(&iss));
    let iss = iss.ok_or_else(|| invalid("it has no `iss`"))?;
    let resource = resources::load(cx, &iss).await?.filter(|found| !found.is_built_in());
    let resource = resource.ok_or_else(|| invalid("its `iss` is no resource of this tenant"))?;
    let audience = [cx.issuer()];
    let wanted = Wanted {
        keys: KeySource::Resource(&resource),
        types: &[TYPE],
        audience: &audience,
        single_use: false,
        needs_iat: true,
        needs_sub: false,
    };
    let verified = federation::verify(cx, text, &wanted).await;
    let verified = verified.map_err(|rejection| rejection.refuse(Reason::InvalidChallenge))?;
    let shown = |name: &str, most: usize| {
        let text = verified.text(name).filter(|text| !text.is_empty() && text.chars().count() <= most);
        text.filter(|text| !text.chars().any(is_deceptive)).map(str::to_owned)
    };
    let details = verified.claims.get("authorization_details").map(Value::to_string);
    let details = details.and_then(|text| AuthorizationDetail::parse(&text));
    let is_known = |one: &AuthorizationDetail| resource.body.authorization_details_type(one.kind()).is_some();
    let details = details.filter(|all| all.iter().all(is_known));
    let exp = verified.exp;
    Ok(Challenge {
        txn: shown("txn", MAX_TXN).ok_or_else(|| invalid("`txn` is missing or cannot be shown"))?,
        jti: shown("jti", MAX_TXN).ok_or_else(|| invalid("`jti` is missing or cannot be shown"))?,
        reason: shown("reason", MAX_REASON).ok_or_else(|| invalid("`reason` is missing or cannot be shown"))?,
        details: details.ok_or_else(|| {
            invalid("`authorization_details` are missing, or of a type that the resource does not have")
        })?,
        actor: verified.claims.get("act").and_then(|act| act.get("sub")?.as_str().map(str::to_owned)),
        exp,
        resource,
    })
}

/// The token of the client for the resource, for whose user it acts.
async fn presented(cx: &Cx<'_>, token: &str, client: &Client, challenge: &Challenge) -> Result<Accepted> {
    let aud = challenge.resource.body.resource.as_str();
    let verified = tokens::verify(cx, token, |other| other == aud).await;
    let accepted = verified.map_err(|rejection| rejection.refuse(Reason::InvalidSubjectToken))?;
    match accepted.claims.client_id == client.id {
        true => Ok(accepted),
        false => Err(Reason::InvalidSubjectToken.because("it is another client's")),
    }
}

/// The scope of the token: that of the presented one, or all that the client may have.
async fn scope(
    cx: &Cx<'_>,
    client: &Client,
    resource: &Resource,
    scope: Option<&str>,
    facts: &mut Facts,
) -> Result<Scope> {
    let resource = resource.body.resource.clone();
    let requested = Requested { resource, scope, ceilings: vec![], authorization_server: None };
    let mut unseen = Facts::default();
    let found = target(cx, client, &requested, &mut unseen).await?;
    facts.scope_asked = unseen.scope_asked;
    Ok(found.scope)
}

/// Answers a poll (§5.3).
pub async fn poll(cx: &Cx<'_>, request: &TokenRequest<'_>, id: &str, facts: &mut Facts) -> Result<TokenResponse> {
    let caller = request.caller()?;
    let found = match approvals::find(cx, id).await {
        Ok(found) if found.door == Door::Transaction && found.client == caller.client.id => found,
        Ok(_) => return Err(invalid("it is another client's")),
        Err(Error::Refused(_)) => return Err(invalid("there is no such request")),
        Err(fault) => return Err(fault),
    };
    facts.approval = Some(found.id.clone());
    facts.subject = Some(found.subject.clone());
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    match found.status {
        ApprovalStatus::Redeemed => Err(invalid("it was used before")),
        ApprovalStatus::Denied | ApprovalStatus::Revoked => Err(Reason::BackchannelDenied.into()),
        _ if found.expires_at <= now => Err(Reason::BackchannelExpired.into()),
        ApprovalStatus::Pending => {
            let poll = store::approvals::poll(tenant, &found.id, now);
            let slow_down = store::approvals::slow_down_if_unchanged(tenant, &found.id, now);
            Err(too_early(cx, poll, slow_down).await)
        }
        ApprovalStatus::Approved => issue(cx, request, found, facts).await,
    }
}

async fn issue(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    approval: Approval,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let Authenticated { client, method, workload_claims } = request.caller()?;
    let granted = |name: &str| member(approval.granted(), name);
    let text = |name: &str| granted(name).as_str().map(str::to_owned);
    let broken = Fault::Broken("a stored approval of a transaction is none");
    let (resource, txn) = (text("resource").ok_or(broken)?, text("txn").ok_or(broken)?);
    let scope: Scope = approval.texts("scope").iter().map(String::as_str).collect();
    let jkt = text("jkt");
    if jkt.as_deref().is_some_and(|jkt| request.jkt() != Some(jkt)) {
        return Err(invalid("it is bound to a key that was not proved"));
    }
    let target = allowed(cx, request, &resource, &scope, facts).await?;
    // The newest actor is outermost, and stands first in the list.
    let act = approval.texts("chain").into_iter().rev();
    let act = act.fold(None, |act, sub| Some(Actor { sub, act: act.map(Box::new) }));
    let vote = approval.word_of_subject();
    let (acr, auth_time) = (vote.and_then(|vote| vote.acr.clone()), vote.and_then(|vote| vote.auth_time));
    let subject = approval.subject.clone();
    let origin = Origin {
        act,
        lineage: approval.texts("lineage"),
        issued_at: Some(granted("issued_at").as_i64().unwrap_or(approval.created_at)),
        acr,
        auth_time,
        authorization_details: serde_json::from_value(granted("authorization_details")).unwrap_or_default(),
        txn: Some(txn),
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
    tokens::prepare(cx, &issuance).await?;
    let decision = decide(cx, &issuance, facts).await?;
    tokens::finish(cx, &issuance, decision, facts).await
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
