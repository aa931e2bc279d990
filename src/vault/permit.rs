//! Whether a connection may be used: the one decision of leases and of calls through the proxy.
//!
//! 1. A resource server uses it for the agent whose token it presents, which was issued for a resource that it serves (RFC 8693 §2.1). An
//!    agent uses it itself with a token for [`API`]. At compatible routes, whoever bears a token that names the project uses it for the token's
//!    agent, and a client for itself; for a user whom it names, a resource server alone (docs/decisions.md 136).
//! 2. Policy decides each time, with the agent as principal (docs/requirements.md R53). An unknown connection is asked about like any other
//!    and refused like a forbidden one, so names cannot be probed (R54).
//! 3. What permits ask for in return is met by the agent's token (its key, its authorization details, when its user signed in) or by an approval: of a
//!    use that lasts one approval is enough, while it is not taken back. What is not met denies.
//! 4. A use that lasts is decided again while it does: that its token has expired meanwhile does not end it, that a party was stopped does.
//! 5. Limits count a use once, when nothing is left to do but it: what is decided again is not counted again. Without room nobody is asked to approve it.

use super::provider;
use crate::approvals::{self, Asked, Held, SECONDS};
use crate::cedar::{Action, Circumstance, Limit, Required, Target, Verdict};
use crate::context::Cx;
use crate::crypto::sha256;
use crate::directory::clients;
use crate::directory::connections;
use crate::error::{Error, Reason, Refusal, Rejection, Result};
use crate::jose::AccessToken;
use crate::model::approval::Door;
use crate::model::event::Facts;
use crate::model::id::is_slug;
use crate::model::{AuthMethod, Client, ClientKind, Connection, Status, User};
use crate::oauth::Scope;
use crate::policy::obligations::{self, Means};
use crate::policy::{self, Inquiry};
use crate::ports::Now;
use crate::revocation::breach::{self, Using};
use crate::revocation::check::{self, Parties, Standing};
use crate::tokens::{self, Accepted};
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// The resource, below the issuer, of agents that use connections themselves.
pub const API: &str = "connections";

/// What the event of a use has.
#[derive(Default)]
pub struct Trail {
    /// The agent.
    pub agent: Option<String>,
    /// Everything else.
    pub facts: Facts,
}

/// Who uses a connection.
#[derive(Clone)]
pub enum Caller {
    /// A resource server, for the agent whose token it presents.
    Server {
        /// Its `client_id`.
        id: String,
        /// How it has authenticated.
        method: AuthMethod,
    },
    /// The agent itself.
    Agent,
    /// The bearer of a token that names the project beside its resource.
    Bearer {
        /// Whom the token has to be about, where the bearer names somebody.
        subject: Option<String>,
    },
    /// A client without a token of an agent.
    Client {
        /// Its `client_id`.
        id: String,
        /// How it has authenticated.
        method: AuthMethod,
        /// The user whom it names.
        user: Option<String>,
    },
}

/// For whom a connection is used.
pub struct Party {
    /// The client: the agent, where there is one.
    pub client: Rc<Client>,
    /// The user.
    pub user: Option<Rc<User>>,
    /// The claims of the agent's token, where there is one.
    claims: Option<AccessToken>,
    /// The limits of the permits that let it.
    limits: Vec<Limit>,
}

impl Party {
    /// The user's id, or the client's.
    pub fn subject(&self) -> &str {
        match &self.claims {
            Some(claims) => &claims.sub,
            None => self.user.as_ref().map_or(&self.client.id, |user| &user.id),
        }
    }

    /// A client without a token has shown its own credentials.
    fn using(&self) -> Using<'_> {
        Using { client: &self.client.id, subject: self.subject(), grant_type: "client_credentials" }
    }

    /// Refuses if a limit has no room for another use, before anything is asked of a service.
    pub(super) async fn expect_room(&self, cx: &Cx<'_>, facts: &Facts) -> Result<()> {
        let full = breach::full(cx, self.using(), &self.limits).await?;
        if full.is_empty() { Ok(()) } else { Err(obligations::refusal(cx, &full, facts.decision.clone())) }
    }

    /// Counts this use.
    pub(super) async fn count(&self, cx: &Cx<'_>, facts: &Facts) -> Result<()> {
        let full = breach::count(cx, self.using(), &self.limits).await?;
        if full.is_empty() { Ok(()) } else { Err(obligations::refusal(cx, &full, facts.decision.clone())) }
    }
}

impl From<Accepted> for Party {
    fn from(Accepted { claims, client, user, .. }: Accepted) -> Self {
        Self { client, user, claims: Some(claims), limits: Vec::new() }
    }
}

/// A call through the proxy, as policy sees it.
#[derive(Clone)]
pub struct CallLine {
    /// The method.
    pub method: String,
    /// What follows the base URL, without the query.
    pub path: String,
}

/// The use of a connection.
#[derive(Clone)]
pub struct Use {
    /// The connection that the path names.
    pub connection: String,
    /// The token of the agent; empty where a client uses the connection without one.
    pub token: String,
    /// The caller.
    pub caller: Caller,
    /// The tool that it is for.
    pub tool: Option<String>,
    /// The call that it is for, where it is one through the proxy.
    pub call: Option<CallLine>,
    /// The scope of the lease, as it is asked for; absent: all that the connection offers.
    pub scope: Option<String>,
    /// The label of the account; empty for the one without.
    pub account: String,
    /// When it began: the token has to hold then.
    pub began: Now,
    /// The approval that it has, once it has one.
    pub held: Held,
}

impl Use {
    /// The agent's token and the connection, if no party has been stopped and policy lets the agent use the connection here and now.
    pub async fn permitted(&self, cx: &Cx<'_>, trail: &mut Trail) -> Result<(Party, Rc<Connection>)> {
        if is_slug(&self.connection) {
            trail.facts.connection = Some(self.connection.clone());
        }
        let mut party: Party = match &self.caller {
            Caller::Server { id, .. } => {
                let server = clients::load(cx, id).await?.filter(|server| server.is_live(cx.now));
                let server = server.ok_or(Reason::ClientNotActive)?;
                if server.metadata.kind != ClientKind::ResourceServer {
                    return Err(Reason::NotAResourceServer.into());
                }
                let verified =
                    tokens::verify_begun(cx, &self.token, self.began, |aud| tokens::serves(cx, &server, aud));
                verified.await.map_err(|rejection| rejection.refuse(Reason::InvalidSubjectToken))?.into()
            }
            Caller::Agent => {
                let api = [&cx.issuer(), "/", API].concat();
                let verified = tokens::verify_begun(cx, &self.token, self.began, |aud| aud == api);
                verified.await.map_err(|rejection| rejection.refuse(Reason::InvalidToken))?.into()
            }
            Caller::Bearer { subject } => {
                let verified = tokens::verify_begun(cx, &self.token, self.began, |_| true).await;
                let accepted = verified.map_err(|rejection| rejection.refuse(Reason::InvalidToken))?;
                if accepted.claims.aud.project().is_none() || accepted.claims.cnf.is_some() {
                    return Err(Reason::InvalidToken.because("it does not name the project, or is bound to a key"));
                }
                let party = Party::from(accepted);
                if subject.as_ref().is_some_and(|subject| subject != party.subject()) {
                    describe(&party, trail);
                    return Err(Reason::LeaseDenied.because("the token is about somebody else"));
                }
                party
            }
            Caller::Client { id, user, .. } => client(cx, id, user.as_deref()).await?,
        };
        describe(&party, trail);
        let (connection, limits) = self.decide(cx, &party, &mut trail.facts).await?;
        party.limits = limits;
        Ok((party, connection))
    }

    /// The connection, if it is there and policy lets the agent use it here and now, and the limits of the permits.
    async fn decide(&self, cx: &Cx<'_>, party: &Party, facts: &mut Facts) -> Result<(Rc<Connection>, Vec<Limit>)> {
        let found = connections::load(cx, &self.connection).await?;
        let connection = found.filter(|connection| connection.status == Status::Active);
        let claims = party.claims.as_ref();
        let is_bound = claims.is_some_and(|claims| claims.cnf.is_some());
        let (auth_method, resource_server, dpop) = match &self.caller {
            Caller::Server { id, method } => (*method, Some(id.clone()), false),
            Caller::Client { method, .. } => (*method, None, false),
            Caller::Agent | Caller::Bearer { .. } => (party.client.metadata.token_endpoint_auth_method, None, is_bound),
        };
        let host = connection.as_ref().filter(|_| self.call.is_some()).and_then(|connection| host(connection));
        if host.is_some() {
            facts.host.clone_from(&host);
        }
        let circumstance = Circumstance {
            auth_method: Some(auth_method.as_str().to_owned()),
            acr: claims.and_then(|claims| claims.acr.clone()),
            dpop,
            scopes: claims.and_then(|claims| Scope::parse(&claims.scope)).unwrap_or_default().to_vec(),
            tool: self.tool.clone(),
            resource_server,
            method: self.call.as_ref().map(|call| call.method.clone()),
            host,
            path: self.call.as_ref().map(|call| call.path.clone()),
            chain: facts.chain.clone(),
            chain_tags: policy::shared_tags(cx, &party.client.id, party.subject(), &facts.chain).await?,
            subject: party.user.as_deref().map(policy::subject),
            ..policy::circumstance(cx)
        };
        let kind = connection.as_ref().map(|connection| connection.kind.clone()).unwrap_or_default();
        let targets = [Target::Connection { name: self.connection.clone(), kind }];
        let inquiry = Inquiry { action: Action::Lease, targets: &targets, circumstance: &circumstance };
        let mut verdicts = policy::ask(cx, &party.client, inquiry, facts).await?;
        let means = claims.map(means).unwrap_or_default();
        if let Some(question) = &mut facts.question {
            (question.auth_time, question.bound) = (means.auth_time, means.is_bound && !dpop);
        }
        obligations::meet(cx.now, &mut verdicts, &means);
        let is_permitted = |verdict: &&Verdict| verdict.allow && verdict.require.is_empty();
        let detail = match (verdicts.first().filter(is_permitted), connection) {
            (Some(verdict), Some(connection)) => return Ok((connection, verdict.limits.clone())),
            (None, Some(connection)) => match verdicts.first().filter(|verdict| policy::lacks_approval(verdict)) {
                Some(verdict) => {
                    if self.held.get().is_none() {
                        let full = breach::full(cx, party.using(), &verdict.limits).await?;
                        if !full.is_empty() {
                            return Err(obligations::refusal(cx, &full, facts.decision.clone()));
                        }
                    }
                    let asked = self.asked(party, verdict, facts);
                    approvals::permit(cx, &asked, &self.held, facts).await?;
                    return Ok((connection, verdict.limits.clone()));
                }
                None => obligations::lacking(&verdicts),
            },
            (_, None) => Some("there is no such connection, or it is stopped".to_owned()),
        };
        // That it is not there must look like that it is forbidden, at every hour.
        let reason = obligations::reason(&verdicts).filter(|reason| *reason != Reason::QuietHours);
        let asks_for_sign_in = policy::asks_for_sign_in(party.user.is_some(), &verdicts);
        let reason = reason.or(asks_for_sign_in.then_some(Reason::StepUpRequired)).unwrap_or(Reason::LeaseDenied);
        Err(Error::Refused(Refusal {
            reason,
            detail,
            decision: facts.decision.clone(),
            scope: None,
            retry_after: None,
            remedy: obligations::sign_in(reason, &verdicts),
        }))
    }
}

/// What an agent's token brings for the requirements of policies.
fn means(claims: &AccessToken) -> Means {
    let kind = |detail: &Map<String, Value>| detail.get("type").and_then(Value::as_str).map(str::to_owned);
    Means {
        auth_time: claims.auth_time,
        acr: claims.acr.clone(),
        is_bound: claims.cnf.is_some(),
        details: claims.authorization_details.iter().filter_map(kind).collect(),
    }
}

impl Use {
    /// What a person is asked where policy requires an approval.
    fn asked<'a>(&'a self, party: &'a Party, verdict: &Verdict, facts: &Facts) -> Asked<'a> {
        let requester = match &self.caller {
            Caller::Server { id, .. } | Caller::Client { id, .. } => id,
            Caller::Agent | Caller::Bearer { .. } => &party.client.id,
        };
        let claims = party.claims.as_ref();
        let call = self.call.as_ref().map(|call| json!({"method": call.method, "path": call.path}));
        let what = json!({
            "action": "lease", "connection": self.connection, "tool": self.tool, "call": call, "chain": facts.chain,
            "resource": claims.map(|claims| claims.aud.resource()),
            "jkt": claims.and_then(|claims| claims.cnf.as_ref()).map(|cnf| &cnf.jkt),
            "lease_scope": self.scope, "account": self.account, "host": facts.host,
        });
        let told = json!({"policies": facts.policies});
        Asked {
            door: Door::Policy,
            client: &party.client,
            requester,
            subject: party.subject(),
            require: required(verdict),
            what: what.as_object().cloned().unwrap_or_default(),
            told: told.as_object().cloned().unwrap_or_default(),
            seconds: SECONDS,
        }
    }
}

/// The approvals that a verdict requires, in order.
fn required(verdict: &Verdict) -> Vec<String> {
    let mut texts: Vec<String> = verdict.require.iter().filter_map(Required::approval).map(str::to_owned).collect();
    texts.sort_unstable();
    texts
}

/// The host that calls through a connection go to.
fn host(connection: &Connection) -> Option<String> {
    let inject = provider::find(&connection.kind)?.inject?;
    inject(&connection.settings.config).ok()?.host()
}

/// A client that is not stopped, and the user whom it names. That there is no such user is told like any other refusal.
async fn client(cx: &Cx<'_>, id: &str, user: Option<&str>) -> Result<Party> {
    let parties = Parties { client: id, subject: user.unwrap_or(id), actors: &[], chain: &[], issued_at: None };
    let denied = |rejection: Rejection| rejection.refuse(Reason::LeaseDenied);
    let Standing { client, user: found } = check::check(cx, &parties).await.map_err(denied)?;
    match user {
        Some(_) if client.metadata.kind != ClientKind::ResourceServer => Err(Reason::NotAResourceServer.into()),
        Some(_) if found.is_none() => Err(Reason::LeaseDenied.because("it names no user")),
        _ => Ok(Party { client, user: found, claims: None, limits: Vec::new() }),
    }
}

fn describe(party: &Party, trail: &mut Trail) {
    trail.agent = Some(party.client.id.clone());
    trail.facts.subject = Some(party.subject().to_owned());
    let Some(claims) = &party.claims else { return };
    trail.facts.chain = claims.actors().into_iter().map(str::to_owned).collect();
    trail.facts.resource = Some(claims.aud.resource().to_owned());
    let details = &claims.authorization_details;
    trail.facts.authorization_details = if details.is_empty() { None } else { serde_json::to_string(details).ok() };
    trail.facts.jti_hash = Some(sha256(&claims.jti).to_text());
}
