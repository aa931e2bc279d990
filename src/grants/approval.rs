//! What a client asks a person for at `approvals`: whether policy would give it, and whom it may ask.
//!
//! 1. What is asked about is at a resource or a connection. Policy is asked whether the client could have it (`issue`, `exchange`, `lease`): nobody is
//!    asked to approve what the client never gets. A sign-in that permits require comes first; what else they require besides is no matter here. A resource server asks from an address of its own:
//!    of the scope of the token that it presents it is asked whether anything forbids it.
//! 2. The accountable people are asked: the user for whom the client acts, or the client's owner. A role or a group is asked where the permits name it,
//!    or an administrator does (`settings.approvals.deciders`).
//!    Whom the client names comes in addition to whom the permits name.
//! 3. The same is asked again when the approval is redeemed, about the parties of the token as they are then: what the permits require by then has
//!    to be among what was asked.
//! 4. Nobody is asked while the limits of the permits have no room, as at the use itself. The scopes of a token that is presented were counted when it
//!    was issued: their limits are not looked at.
//! 5. A connection that is not there looks like one that policy forbids (docs/requirements.md R54).

use crate::authn::client::Authenticated;
use crate::cedar::{Action, Circumstance, Required, Target as PolicyTarget, Verdict};
use crate::context::Cx;
use crate::directory::{connections, identities};
use crate::error::{Error, Reason, Refusal, Result};
use crate::model::approval::{member, texts};
use crate::model::event::{Because, Facts};
use crate::model::requirement::Requirement;
use crate::model::{Approval, Client, ClientKind, Status, User};
use crate::oauth::{AuthorizationDetail, ResourceUri, Scope};
use crate::policy::{self, Inquiry, obligations};
use crate::revocation::breach::{self, Using};
use crate::revocation::check::{self, Parties, Standing};
use crate::tokens::decide::as_policy_targets;
use crate::tokens::{Requested, target};
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// For whom an approval is asked.
pub struct Party {
    /// The client that is to do it.
    pub client: Rc<Client>,
    /// For whom: a user, or the client itself.
    pub subject: String,
    /// The user.
    pub user: Option<Rc<User>>,
    /// The actors of the token that was presented.
    pub chain: Vec<String>,
    /// The scope of that token.
    pub scope: Option<String>,
    /// The resource that it is for.
    pub audience: Option<String>,
    /// How the user has authenticated.
    pub acr: Option<String>,
    /// When the user has, in seconds.
    pub auth_time: Option<i64>,
    /// The thumbprint of the key that it is bound to.
    pub jkt: Option<String>,
    /// Digests of its `jti` and of those that it was made from.
    pub lineage: Vec<String>,
    /// When it was issued, in seconds.
    pub issued_at: Option<i64>,
}

/// What is to be done.
#[derive(Default)]
pub struct Wanted<'a> {
    /// The resource.
    pub resource: Option<ResourceUri>,
    /// The connection.
    pub connection: Option<&'a str>,
    /// The scope.
    pub scope: Option<&'a str>,
    /// The authorization details.
    pub authorization_details: &'a [AuthorizationDetail],
    /// The tool.
    pub tool: Option<&'a str>,
    /// Who is to approve, as `@require` has it; absent: whom policy names, or else the accountable people.
    pub require: Option<&'a str>,
}

/// What is required, as `@require` has it, if policy would give the client what it wants and those may be asked.
pub async fn required(
    cx: &Cx<'_>,
    caller: &Authenticated,
    party: &Party,
    wanted: &Wanted<'_>,
    facts: &mut Facts,
) -> Result<Vec<String>> {
    let all = verdicts(cx, caller, party, wanted, facts).await?;
    expect_sign_in(cx, party, (wanted, &all), facts)?;
    expect_room(cx, (caller, party), (wanted, &all), facts).await?;
    let mut named = all.named();
    let Some(text) = wanted.require else {
        return Ok(if named.is_empty() { vec!["approval".to_owned()] } else { named });
    };
    let asked = Requirement::parse(text).ok_or_else(|| {
        Reason::InvalidApprovalRequest.because("`require` is read as in policies: `approval:role=finance,n=2`")
    })?;
    let by_policy: Vec<Requirement> = named.iter().filter_map(|text| Requirement::parse(text)).collect();
    let by_administrator = &cx.tenant.settings.approvals.deciders;
    let may_be_asked = |one: &String| {
        by_policy.iter().any(|requirement| requirement.named().contains(one))
            || by_administrator.iter().any(|text| text.replacen('=', ":", 1) == *one)
    };
    match asked.named().iter().find(|one| !may_be_asked(one)) {
        None => {
            named.push(text.to_owned());
            named.sort_unstable();
            named.dedup();
            Ok(named)
        }
        Some(one) => Err(Reason::DeciderNotNamed.because(one.clone())),
    }
}

/// What policy says of a connection and of scopes, where it permits.
struct Verdicts {
    connection: Option<Verdict>,
    scopes: Vec<OfScope>,
}

/// What policy says of a scope.
struct OfScope {
    verdict: Verdict,
    /// Whether the token that is presented has it: then it was counted.
    is_held: bool,
}

impl Verdicts {
    /// The approvals that the permits require, each once.
    fn named(&self) -> Vec<String> {
        let all = self.connection.iter().chain(self.scopes.iter().map(|one| &one.verdict));
        let all = all.flat_map(|verdict| &verdict.require);
        let mut named: Vec<String> = all.filter_map(Required::approval).map(str::to_owned).collect();
        named.sort_unstable();
        named.dedup();
        named
    }
}

async fn verdicts(
    cx: &Cx<'_>,
    caller: &Authenticated,
    party: &Party,
    wanted: &Wanted<'_>,
    facts: &mut Facts,
) -> Result<Verdicts> {
    facts.subject = Some(party.subject.clone());
    facts.chain.clone_from(&party.chain);
    facts.tool = wanted.tool.map(str::to_owned);
    let connection = match wanted.connection {
        Some(name) => Some(of_connection(cx, caller, party, (name, wanted.tool), facts).await?),
        None => None,
    };
    let scopes = match connection.is_none() || wanted.resource.is_some() || !wanted.authorization_details.is_empty() {
        true => of_resource(cx, caller, party, wanted, facts).await?,
        false => vec![],
    };
    Ok(Verdicts { connection, scopes })
}

/// Refuses where what is asked about needs a sign-in that the presented token does not tell of: that comes first, as it does where a token or a lease is asked for.
fn expect_sign_in(cx: &Cx<'_>, party: &Party, (wanted, all): (&Wanted<'_>, &Verdicts), facts: &Facts) -> Result<()> {
    let means = obligations::Means { auth_time: party.auth_time, acr: party.acr.clone(), ..Default::default() };
    let lacking = |verdict: &Verdict| obligations::wanting_sign_in(cx.now, verdict, &means);
    let of_connection = all.connection.iter().filter_map(lacking);
    // What the token has was given after the sign-in that it needs.
    let of_scopes: Vec<Verdict> =
        all.scopes.iter().filter(|one| !one.is_held).filter_map(|one| lacking(&one.verdict)).collect();
    // Of scopes that are named, each is needed; else one is enough.
    let are_needed = wanted.scope.is_some() || of_scopes.len() == all.scopes.len();
    let lacking: Vec<Verdict> = of_connection.chain(of_scopes.into_iter().filter(|_| are_needed)).collect();
    let reason = Reason::StepUpRequired;
    match (lacking.is_empty(), &party.user) {
        (true, _) => Ok(()),
        (false, Some(_)) => Err(reason.signing_in(obligations::sign_in(reason, &lacking), facts.decision.clone())),
        (false, None) => Err(forbidden(facts, "policy wants a sign-in of a user")),
    }
}

/// Refuses where the limits of the permits have no room for what is asked about. What somebody else asks with a client's token is no breach of that client's.
async fn expect_room(
    cx: &Cx<'_>,
    (caller, party): (&Authenticated, &Party),
    (wanted, all): (&Wanted<'_>, &Verdicts),
    facts: &Facts,
) -> Result<()> {
    let parties = (&*party.client.id, &*party.subject);
    let using = Using { client: &party.client.id, subject: &party.subject, grant_type: "client_credentials" };
    let uncounted = || all.scopes.iter().filter(|one| !one.is_held).map(|one| &one.verdict);
    // Of scopes that are named, each is needed.
    let are_named = wanted.scope.is_some();
    let needed = all.connection.iter().chain(uncounted().filter(|_| are_named));
    let mut full = obligations::full(cx, parties, &obligations::limits(needed)).await?;
    if full.is_empty() && !are_named && !all.scopes.iter().any(|one| one.is_held) {
        full = obligations::all_full(cx, parties, uncounted()).await?;
    }
    if caller.client.id == party.client.id {
        breach::act(cx, using, &full).await?;
    }
    match full.is_empty() {
        true => Ok(()),
        false => Err(obligations::refusal(cx, &full, facts.decision.clone())),
    }
}

impl Party {
    /// What a statement tells of the token that was presented, so that policy can be asked again when the approval is redeemed.
    pub fn told(&self) -> Map<String, Value> {
        let Self { scope, acr, auth_time, lineage, issued_at, .. } = self;
        let told = json!({
            "token_scope": scope, "acr": acr, "auth_time": auth_time, "lineage": lineage, "issued_at": issued_at,
        });
        let all = told.as_object().cloned().unwrap_or_default();
        all.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }
}

/// Passes if no party of an approval has been stopped, nor its token revoked, and policy would still give what was approved.
pub async fn expect_permitted(
    cx: &Cx<'_>,
    caller: &Authenticated,
    approval: &Approval,
    facts: &mut Facts,
) -> Result<()> {
    let member = |name: &str| member(approval.granted(), name);
    let text = |name: &str| member(name).as_str().map(str::to_owned);
    let (actors, lineage) = (approval.texts("chain"), approval.texts("lineage"));
    let parties = Parties {
        client: &approval.client,
        subject: &approval.subject,
        actors: &actors.iter().map(String::as_str).collect::<Vec<_>>(),
        chain: &lineage.iter().map(String::as_str).collect::<Vec<_>>(),
        issued_at: member("issued_at").as_i64().or(Some(approval.created_at)),
    };
    let standing = check::check(cx, &parties).await;
    let Standing { client, user } = standing.map_err(|rejection| rejection.refuse(Reason::Stopped))?;
    let party = Party {
        client,
        user,
        subject: approval.subject.clone(),
        chain: actors,
        scope: text("token_scope"),
        audience: text("audience"),
        acr: text("acr"),
        auth_time: member("auth_time").as_i64(),
        jkt: text("jkt"),
        lineage,
        issued_at: None,
    };
    // Where all scopes were taken off, those count for which details were left.
    let scope = Some(approval.texts("scope")).filter(|left| !left.is_empty());
    let scope = scope.unwrap_or_else(|| texts(&approval.statement, "scope")).join(" ");
    let (connection, tool) = (text("connection"), text("tool"));
    let details: Vec<AuthorizationDetail> = serde_json::from_value(member("authorization_details")).unwrap_or_default();
    let wanted = Wanted {
        resource: text("resource").and_then(|text| ResourceUri::parse(&text)),
        connection: connection.as_deref(),
        scope: (!scope.is_empty()).then_some(&*scope),
        authorization_details: &details,
        tool: tool.as_deref(),
        require: None,
    };
    let by_now = verdicts(cx, caller, &party, &wanted, facts).await?.named();
    let owner = party.client.metadata.owner.as_deref();
    match by_now.iter().all(|text| approval.was_asked(text, owner)) {
        true => Ok(()),
        false => Err(forbidden(facts, "policy asks others by now")),
    }
}

fn forbidden(facts: &Facts, why: &str) -> Error {
    match Reason::ApprovalForbidden.because(why) {
        Error::Refused(refusal) => Error::Refused(Refusal { decision: facts.decision.clone(), ..refusal }),
        fault @ Error::Fault(_) => fault,
    }
}

/// What every question about it shares.
async fn circumstance(cx: &Cx<'_>, caller: &Authenticated, party: &Party) -> Result<Circumstance> {
    let Party { client, subject, user, chain, scope, acr, jkt, lineage, .. } = party;
    Ok(Circumstance {
        auth_method: Some(caller.method.as_str().to_owned()),
        workload_claims: if caller.client.id == client.id { caller.workload_claims.clone() } else { vec![] },
        acr: acr.clone(),
        // Where no token is presented, the client can still prove a key when it gets one.
        dpop: jkt.is_some() || lineage.is_empty(),
        scopes: scope.as_deref().and_then(Scope::parse).unwrap_or_default().to_vec(),
        chain_tags: policy::shared_tags(cx, &client.id, subject, chain).await?,
        chain: chain.clone(),
        subject: user.as_deref().map(policy::subject),
        ..policy::circumstance(cx)
    })
}

/// The verdict about a use of a connection.
async fn of_connection(
    cx: &Cx<'_>,
    caller: &Authenticated,
    party: &Party,
    (name, tool): (&str, Option<&str>),
    facts: &mut Facts,
) -> Result<Verdict> {
    let found = connections::load(cx, name).await?.filter(|found| found.status == Status::Active);
    if found.is_some() {
        facts.connection = Some(name.to_owned());
    }
    let is_server = caller.client.metadata.kind == ClientKind::ResourceServer;
    // As `vault::permit` asks about the use.
    let circumstance = circumstance(cx, caller, party).await?;
    let circumstance = Circumstance {
        auth_method: Some(
            if is_server { caller.method } else { party.client.metadata.token_endpoint_auth_method }
                .as_str()
                .to_owned(),
        ),
        dpop: circumstance.dpop && !is_server,
        workload_claims: vec![],
        tool: tool.map(str::to_owned),
        resource_server: is_server.then(|| caller.client.id.clone()),
        ..circumstance
    };
    let kind = found.as_ref().map(|found| found.kind.clone()).unwrap_or_default();
    let targets = [PolicyTarget::Connection { name: name.to_owned(), kind }];
    let inquiry = Inquiry { action: Action::Lease, targets: &targets, circumstance: &circumstance };
    let verdict = policy::ask(cx, &party.client, inquiry, facts).await?.into_iter().next();
    if let Some(question) = &mut facts.question {
        (question.auth_time, question.bound) = (party.auth_time, party.jkt.is_some() && is_server);
    }
    let permitted = verdict.filter(|verdict| found.is_some() && verdict.can_be_met());
    permitted.ok_or_else(|| forbidden(facts, "the connection is not there, or policy does not let the client use it"))
}

/// The verdicts that permit, about the scopes that it is about: those that are named, each of which has to be permitted; or those of the tool, of the
/// token, or of the resource, of which one is enough.
async fn of_resource(
    cx: &Cx<'_>,
    caller: &Authenticated,
    party: &Party,
    wanted: &Wanted<'_>,
    facts: &mut Facts,
) -> Result<Vec<OfScope>> {
    let client = &*party.client;
    let audience = party.audience.as_deref().and_then(ResourceUri::parse);
    let Some(uri) = wanted.resource.clone().or_else(|| audience.clone()) else {
        let why = "say where: `resource` or `connection`, or present a `subject_token`";
        return Err(Reason::InvalidApprovalRequest.because(why));
    };
    let of_token = party.scope.as_deref().filter(|_| audience.is_some_and(|audience| audience.is_same(&uri)));
    let scope = wanted.scope.or(of_token.filter(|scope| !scope.is_empty()));
    let requested = Requested { resource: uri, scope, ceilings: vec![], authorization_server: None };
    let mut target = target(cx, client, &requested, facts).await?;
    let resource = target.resource.clone();
    let is_known = |one: &AuthorizationDetail| {
        resource.body.authorization_details_type(one.kind()).is_some() && one.is_at(&resource.body.resource)
    };
    if !wanted.authorization_details.iter().all(is_known) {
        return Err(Reason::UnsupportedAuthorizationDetails.into());
    }
    if wanted.scope.and_then(Scope::parse).is_some_and(|named| named.iter().any(|one| !target.scope.contains(one))) {
        return Err(forbidden(facts, "a scope is not registered for the resource, or beyond the client's ceiling"));
    }
    let of_tool = |name: &str| {
        resource.body.scopes.iter().any(|scope| scope.name == name && scope.tool.as_deref() == wanted.tool)
    };
    if wanted.scope.is_none() && resource.body.scopes.iter().any(|scope| scope.tool.is_some() && of_tool(&scope.name)) {
        target.scope = target.scope.narrowed(of_tool);
    }
    let identity = identities::load(cx, &client.id, &party.subject).await?;
    let circumstance = circumstance(cx, caller, party).await?;
    // An agent that has no token yet gets one for itself.
    let own = || party.lineage.is_empty().then(|| "client_credentials".to_owned());
    let circumstance = Circumstance {
        grant_type: identity.map(|identity| identity.registered_by.clone()).or_else(own),
        auth_method: match caller.client.id == client.id {
            true => circumstance.auth_method,
            false => Some(client.metadata.token_endpoint_auth_method.as_str().to_owned()),
        },
        scopes: target.scope.to_vec(),
        ..circumstance
    };
    facts.grant_type.clone_from(&circumstance.grant_type);
    // As an API of the tenant asks about a token that is presented: see `web::guard`.
    let action = if party.chain.is_empty() { Action::Issue } else { Action::Exchange };
    let targets = as_policy_targets(&target);
    let inquiry = Inquiry { action, targets: &targets, circumstance: &circumstance };
    let verdicts = policy::ask(cx, client, inquiry, facts).await?;
    facts.question.iter_mut().for_each(|question| question.auth_time = party.auth_time);
    // What the token of another client has was permitted to that one, at its address: here it is enough that nothing forbids it.
    let is_others = caller.client.id != client.id;
    let held = of_token.and_then(Scope::parse).unwrap_or_default();
    let is_open = |OfScope { verdict, is_held }: &OfScope| {
        let is_forbidden = matches!(policy::refusal(verdict), Some(Because::Forbidden | Because::Error));
        verdict.can_be_met() || *is_held && is_others && !is_forbidden
    };
    let all = verdicts.len();
    let verdicts = target.scope.iter().zip(verdicts);
    let verdicts = verdicts.map(|(scope, verdict)| OfScope { verdict, is_held: held.contains(scope) });
    let verdicts: Vec<OfScope> = verdicts.filter(is_open).collect();
    let is_enough = if wanted.scope.is_some() { verdicts.len() == all } else { !verdicts.is_empty() };
    match is_enough {
        true => Ok(verdicts),
        false => Err(forbidden(facts, "policy does not give the client the scope")),
    }
}
