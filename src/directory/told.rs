//! What the claims of an outside issuer make of a user: roles, groups, and the claims that policies may see.
//!
//! 1. What is registered with the issuer alone is taken: without `groups_claim`, groups are an administrator's to say.
//! 2. At a sign-in, a claim that is absent says that there is nothing: providers leave out empty lists. In an assertion it says nothing.
//! 3. What does not fit is refused, never cut: a group that was left out could be the one that a policy forbids.

use crate::model::issuer::find;
use crate::model::{IssuerBody, UserBody};
use serde_json::{Map, Value};

/// The body of a user after `claims`; whether these are all there is to say. The error is for the log and the event.
pub fn told(
    issuer: &IssuerBody,
    claims: &Map<String, Value>,
    body: &UserBody,
    is_all: bool,
) -> Result<UserBody, &'static str> {
    let words = |path: &str| -> Result<Option<Vec<String>>, &'static str> {
        match find(claims, path).as_slice() {
            // Microsoft Entra names here what is too long for a token.
            [] if claims.get("_claim_names").is_some_and(|names| names.get(path).is_some()) => {
                Err("it leaves out a claim that is too long for it")
            }
            [] => Ok(is_all.then(Vec::new)),
            [value] => read(value).map(Some).ok_or("a claim about roles, groups or more is of another shape"),
            _ => Err("a claim is there twice under one path"),
        }
    };
    let mut next = body.clone();
    for (path, place) in [(&issuer.roles_claim, &mut next.roles), (&issuer.groups_claim, &mut next.groups)] {
        if let Some(told) = path.as_deref().map(words).transpose()?.flatten() {
            *place = told;
        }
    }
    for path in &issuer.claims {
        if let Some(told) = words(path)? {
            let start = [path, "="].concat();
            next.claims.retain(|claim| !claim.starts_with(&start));
            next.claims.extend(told.iter().map(|value| [&start, value.as_str()].concat()));
        }
    }
    next.claims.sort();
    match next.problems().is_empty() || next == *body {
        true => Ok(next),
        false => Err("it has more roles, groups or claims than a user may have, or longer ones"),
    }
}

/// What policies see of a workload: the claims that are registered with its issuer, as `name=value`. The error is for the log and the event.
pub fn claims(issuer: &IssuerBody, claims: &Map<String, Value>) -> Result<Vec<String>, &'static str> {
    if issuer.claims.is_empty() {
        return Ok(Vec::new());
    }
    told(&IssuerBody { roles_claim: None, groups_claim: None, ..issuer.clone() }, claims, &UserBody::default(), true)
        .map(|body| body.claims)
}

/// Text, a number or a boolean, or a list of them; each once, in order.
fn read(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    let mut all = match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => items.iter().map(one).collect(),
        other => one(other).map(|one| vec![one]),
    }?;
    all.retain(|text| !text.trim().is_empty());
    all.sort();
    all.dedup();
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn issuer() -> IssuerBody {
        let body = json!({
            "issuer": "https://idp.example", "name": "IdP", "uses": ["sign_in"], "client_id": "writ",
            "groups_claim": "groups", "roles_claim": "realm_access.roles", "claims": ["department", "amr"],
        });
        serde_json::from_value(body).unwrap()
    }

    fn ask(claims: &Value, body: &UserBody, is_all: bool) -> Result<UserBody, &'static str> {
        told(&issuer(), claims.as_object().unwrap(), body, is_all)
    }

    fn known() -> UserBody {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        UserBody {
            roles: words(&["r"]),
            groups: words(&["g"]),
            claims: words(&["department=old", "own=x"]),
            ..UserBody::default()
        }
    }

    #[test]
    fn roles_groups_and_chosen_claims_are_as_the_issuer_says_and_the_rest_stays() {
        let claims = json!({
            "groups": ["b", "a", "b"], "realm_access": {"roles": ["admin"]}, "department": "finance", "amr": ["pwd", "otp"],
            "title": "boss",
        });
        let next = ask(&claims, &known(), true).unwrap();
        assert_eq!((next.roles, next.groups), (vec!["admin".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(next.claims, ["amr=otp", "amr=pwd", "department=finance", "own=x"]);
    }

    #[test]
    fn what_a_sign_in_leaves_out_is_gone_and_what_an_assertion_leaves_out_stays() {
        let next = ask(&json!({}), &known(), true).unwrap();
        assert!(next.roles.is_empty() && next.groups.is_empty());
        assert_eq!(next.claims, ["own=x"]);
        assert_eq!(ask(&json!({}), &known(), false).unwrap(), known());
    }

    #[test]
    fn what_does_not_fit_is_refused_and_never_cut() {
        let many: Vec<String> = (0..101).map(|n| format!("g{n}")).collect();
        for bad in [
            json!({"groups": many}),
            json!({"groups": ["x".repeat(201)]}),
            json!({"groups": {"a": 1}}),
            json!({"groups": [["a"]]}),
            json!({"_claim_names": {"groups": "src1"}}),
            json!({"realm_access": {"roles": ["a"]}, "realm_access.roles": ["b"]}),
        ] {
            assert!(ask(&bad, &known(), true).is_err(), "{bad}");
        }
    }
}
