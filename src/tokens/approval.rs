//! The approval of an issuance: what policy requires and a person gives.
//!
//! 1. A person is asked only where nothing of the requested scope is left without it: who asks for more gets what needs no approval, and asks again
//!    for the rest alone (docs/decisions.md 165).
//! 2. What was approved is looked for under what is asked: client, subject, chain, resource, scope, details and key. So it serves no other request.
//!    A token that has nothing of what was approved leaves the approval as it is.
//! 3. An approval that the grant itself has obtained meets a requirement that asks the same person.

use super::target::Target;
use crate::approvals::{self, Asked, SECONDS};
use crate::cedar::{Action, Required, Verdict};
use crate::context::Cx;
use crate::error::{Error, Reason, Result};
use crate::model::Client;
use crate::model::approval::{Approval, Door, member};
use crate::model::event::Facts;
use crate::oauth::{AuthorizationDetail, Scope};
use crate::policy;
use serde_json::{Map, Value, json};

/// What an issuance needs an approval for.
pub struct Sought<'a> {
    /// The client, as it stands now.
    pub client: &'a Client,
    /// Whom the token is about.
    pub subject: &'a str,
    /// The action that policy decides about.
    pub action: Action,
    /// The resource and the scope.
    pub target: &'a Target,
    /// The thumbprint of the key that it is bound to.
    pub jkt: Option<&'a str>,
    /// The authorization details.
    pub authorization_details: &'a [AuthorizationDetail],
    /// The approval that the grant itself has obtained.
    pub own: Option<&'a Approval>,
}

/// What approvals give an issuance, and what could still be asked.
#[derive(Default)]
pub struct Met<'a> {
    asked: Option<Asked<'a>>,
    given: Vec<Given>,
}

/// An approval that gives something.
struct Given {
    id: String,
    /// The scopes without which it is not needed; nothing: it is needed in any case.
    scope: Option<Vec<String>>,
    /// The authorization details, where it leaves less of them.
    details: Option<Vec<AuthorizationDetail>>,
}

impl Met<'_> {
    /// The authorization details, where an approval leaves less of them.
    pub fn authorization_details(&self) -> Option<&[AuthorizationDetail]> {
        self.given.iter().rev().find_map(|one| one.details.as_deref())
    }

    /// The ids of the approvals that a token of this scope rests on, and the authorization details that they leave.
    pub fn given(mut self, scope: &Scope) -> (Vec<String>, Option<Vec<AuthorizationDetail>>) {
        let is_used = |approved: &Vec<String>| approved.iter().any(|one| scope.contains(one));
        self.given.retain(|one| one.scope.as_ref().is_none_or(is_used));
        let details = self.authorization_details().map(<[_]>::to_vec);
        (self.given.into_iter().map(|one| one.id).collect(), details)
    }

    /// The refusal where nothing is left: a person is asked, or for want of that the reason.
    pub async fn refuse(self, cx: &Cx<'_>, reason: Reason, facts: &mut Facts) -> Error {
        match &self.asked {
            Some(asked) => approvals::refuse(cx, asked, facts).await,
            None => reason.decided(facts.decision.clone().unwrap_or_default()),
        }
    }
}

/// Takes off what the verdicts require and approvals give.
pub async fn meet<'a>(cx: &Cx<'_>, sought: Sought<'a>, verdicts: &mut [Verdict], facts: &Facts) -> Result<Met<'a>> {
    let Sought { client, subject, action, target, jkt, authorization_details, own } = sought;
    let mut met = Met::default();
    if let Some(own) = own {
        met.add(own, None);
        let owner = client.metadata.owner.as_deref();
        let meets = |required: &Required| required.approval().is_some_and(|text| own.was_asked(text, owner));
        for verdict in verdicts.iter_mut().filter(|verdict| policy::lacks_approval(verdict)) {
            verdict.require.retain(|required| !meets(required));
        }
    }
    let all = target.scope.iter().zip(verdicts.iter());
    let lacking: Vec<(&str, &Verdict)> =
        all.filter(|(scope, verdict)| client.may_have(scope) && policy::lacks_approval(verdict)).collect();
    if lacking.is_empty() {
        return Ok(met);
    }
    let all = lacking.iter().flat_map(|(_, verdict)| &verdict.require);
    let mut require: Vec<String> = all.filter_map(Required::approval).map(str::to_owned).collect();
    require.sort_unstable();
    require.dedup();
    let scope: Vec<&str> = lacking.iter().map(|(scope, _)| *scope).collect();
    let what = json!({
        "action": action.as_str(), "resource": target.resource.body.resource.to_string(), "scope": scope,
        "authorization_details": authorization_details, "chain": facts.chain, "jkt": jkt,
    });
    let asked = Asked {
        door: Door::Policy,
        client,
        requester: &client.id,
        subject,
        require,
        what: members(what),
        told: members(json!({"policies": facts.policies})),
        seconds: SECONDS,
    };
    if let Some(found) = approvals::met(cx, &asked).await? {
        let granted = found.texts("scope");
        for (scope, verdict) in target.scope.iter().zip(verdicts) {
            if policy::lacks_approval(verdict) && granted.iter().any(|one| one == scope) {
                verdict.require.clear();
            }
        }
        met.add(&found, Some(granted));
    }
    met.asked = Some(asked);
    Ok(met)
}

impl Met<'_> {
    fn add(&mut self, approval: &Approval, scope: Option<Vec<String>>) {
        let left = || serde_json::from_value(member(approval.granted(), "authorization_details")).unwrap_or_default();
        let details = approval.body.narrowed.is_some().then(left);
        self.given.push(Given { id: approval.id.clone(), scope, details });
    }
}

/// Redeems the approvals of a decision.
pub async fn redeem(cx: &Cx<'_>, approvals: &[String], facts: &mut Facts) -> Result<()> {
    for id in approvals {
        approvals::redeem(cx, id).await?;
        facts.approval = Some(id.clone());
    }
    Ok(())
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
