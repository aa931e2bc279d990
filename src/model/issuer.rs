//! Outside issuers whose assertions count in a tenant, and the rules by which their claims are read.

use super::Registered;
use crate::oauth::Scope;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How many characters a name or the path of a claim may have.
pub const MAX_TEXT: usize = 200;
/// How many bytes a URI, or the value of a rule, may have.
pub const MAX_URI: usize = 2_048;
/// How many rules an issuer or a workload may have.
pub const MAX_RULES: usize = 20;
/// How many claims of an issuer policies may see.
pub const MAX_CLAIMS: usize = 20;
/// What an issuer is asked for at `sign_in` unless it says otherwise.
pub const SCOPES: &str = "openid profile email";
/// How many values a rule may have.
pub const MAX_VALUES: usize = 100;

/// What an administrator says about an outside issuer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerBody {
    /// Its name in paths; absent: one is made up.
    #[serde(default, skip_serializing)]
    pub id: Option<String>,
    /// Its `iss`, compared byte by byte.
    pub issuer: String,
    /// For people.
    pub name: String,
    /// What it issues tokens for: `oidc`, or one of the presets.
    #[serde(default = "oidc")]
    pub preset: String,
    /// What its assertions may be used for.
    pub uses: Vec<Use>,
    /// What its assertions about workloads name as `aud` where that cannot be our issuer, as Azure has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Its public keys; never together with `jwks_uri`. Neither: found by its OpenID configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<serde_json::Value>,
    /// Where its public keys are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// What must hold for every assertion of this issuer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Whether a user whom it names and nobody knows is made on the spot.
    #[serde(default)]
    pub creates_users: bool,
    /// The most that its assertions about users are worth; absent: no ceiling but policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// What it calls us, for `sign_in`: the `aud` of its ID tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The secret that goes with `client_id`: in a request as it is, in a record sealed, and never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// What it is asked for at `sign_in`; absent: [`SCOPES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scope>,
    /// The claim that has the groups of a user; absent: an administrator says them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// The same of roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles_claim: Option<String>,
    /// The claims that policies may see of a user, or of a workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// What people are shown on the button; absent: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

fn oidc() -> String {
    "oidc".to_owned()
}

impl IssuerBody {
    /// Everything that is wrong with it beyond its shape; each problem names the member.
    pub fn problems(&self) -> Vec<String> {
        let texts = [("name", Some(&self.name), MAX_TEXT), ("issuer", Some(&self.issuer), MAX_URI)];
        let others = [
            ("jwks_uri", self.jwks_uri.as_ref(), MAX_URI),
            ("audience", self.audience.as_ref(), MAX_URI),
            ("client_id", self.client_id.as_ref(), MAX_TEXT),
            ("client_secret", self.client_secret.as_ref(), MAX_URI),
            ("groups_claim", self.groups_claim.as_ref(), MAX_TEXT),
            ("roles_claim", self.roles_claim.as_ref(), MAX_TEXT),
            ("label", self.label.as_ref(), MAX_TEXT),
        ];
        let claims = self.claims.iter().map(|claim| ("claims", Some(claim), MAX_TEXT));
        let texts = texts.into_iter().chain(others).chain(claims);
        let mut all: Vec<String> = texts.filter_map(|(name, text, most)| fits(name, text?, most).err()).collect();
        let mut refuse = |when: bool, why: &str| {
            if when {
                all.push(why.to_owned())
            }
        };
        refuse(self.uses.is_empty(), "`uses` must name what its assertions may be used for");
        refuse(
            self.audience.is_some() && self.uses != [Use::Workload],
            "`audience` goes with `workload` as the one use: others have to name this issuer",
        );
        let signs_in = self.uses.contains(&Use::SignIn);
        refuse(signs_in && self.client_id.is_none(), "`sign_in` needs the `client_id` that this issuer has given");
        refuse(
            !signs_in && [&self.client_id, &self.client_secret, &self.label].into_iter().any(Option::is_some),
            "`client_id`, `client_secret` and `label` go with `sign_in` among the `uses`",
        );
        refuse(self.scopes.as_ref().is_some_and(|all| !all.contains("openid")), "`scopes` must have `openid`");
        refuse(
            self.claims.len() > MAX_CLAIMS || self.claims.iter().any(|claim| claim.contains('=')),
            "`claims` may have 20 names at most, without `=`",
        );
        refuse(
            self.jwks.is_some() && self.jwks_uri.is_some(),
            "`jwks` and `jwks_uri` exclude each other: leave one out",
        );
        all.extend(check_rules("rules", &self.rules).err());
        all
    }
}

/// What the assertions of an issuer may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// They say which workload a client is: client authentication, or the JWT bearer grant without any.
    Workload,
    /// They say who a user is: the JWT bearer grant (RFC 7523 §2.1).
    JwtBearer,
    /// They are Identity Assertion Authorization Grants.
    IdJag,
    /// They are subject tokens of a token exchange (RFC 8693 §2.1).
    TokenExchange,
    /// People sign in there (OpenID Connect Core §3.1).
    SignIn,
}

impl Use {
    /// Every use there is.
    pub const ALL: [Self; 5] = [Self::Workload, Self::JwtBearer, Self::IdJag, Self::TokenExchange, Self::SignIn];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::JwtBearer => "jwt_bearer",
            Self::IdJag => "id_jag",
            Self::TokenExchange => "token_exchange",
            Self::SignIn => "sign_in",
        }
    }
}

/// What the claims have under a path: members of objects are reached with `.` or `/`, in every reading of the path.
pub fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = claims.get(path).into_iter().collect();
    for (at, separator) in path.match_indices(['.', '/']) {
        let (name, rest) = path.split_at(at);
        if let Some(Value::Object(inner)) = claims.get(name) {
            found.extend(find(inner, rest.strip_prefix(separator).unwrap_or(rest)));
        }
    }
    found
}

/// What one claim must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WireRule", into = "WireRule")]
pub struct Rule {
    /// The claim; members of objects are reached with `.` or `/`.
    pub claim: String,
    /// What it must be.
    pub test: Test,
}

/// How a claim is compared; numbers and booleans by their JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Exactly this.
    Equals(String),
    /// Beginning with this.
    Prefix(String),
    /// One of these.
    OneOf(Vec<String>),
}

/// A rule as it is written: one of the three members says the test.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRule {
    claim: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    equals: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    one_of: Option<Vec<String>>,
}

impl TryFrom<WireRule> for Rule {
    type Error = &'static str;

    fn try_from(WireRule { claim, equals, prefix, one_of }: WireRule) -> Result<Self, Self::Error> {
        let test = match (equals, prefix, one_of) {
            (Some(text), None, None) => Test::Equals(text),
            (None, Some(text), None) => Test::Prefix(text),
            (None, None, Some(texts)) => Test::OneOf(texts),
            _ => return Err("must have exactly one of `equals`, `prefix` and `one_of`"),
        };
        Ok(Self { claim, test })
    }
}

impl From<Rule> for WireRule {
    fn from(Rule { claim, test }: Rule) -> Self {
        let bare = Self { claim, ..Self::default() };
        match test {
            Test::Equals(text) => Self { equals: Some(text), ..bare },
            Test::Prefix(text) => Self { prefix: Some(text), ..bare },
            Test::OneOf(texts) => Self { one_of: Some(texts), ..bare },
        }
    }
}

fn check_rules(field: &str, rules: &[Rule]) -> Result<(), String> {
    if rules.len() > MAX_RULES {
        return Err(format!("`{field}` may have {MAX_RULES} items at most"));
    }
    rules.iter().try_for_each(|rule| {
        fits(&format!("{field}.claim"), &rule.claim, MAX_TEXT)?;
        match &rule.test {
            Test::Equals(text) => fits(&format!("{field}.equals"), text, MAX_URI),
            Test::Prefix(text) => fits(&format!("{field}.prefix"), text, MAX_URI),
            Test::OneOf(texts) if texts.is_empty() || texts.len() > MAX_VALUES => {
                Err(format!("`{field}.one_of` must have 1 to {MAX_VALUES} items"))
            }
            Test::OneOf(texts) => texts.iter().try_for_each(|text| fits(&format!("{field}.one_of"), text, MAX_URI)),
        }
    })
}

fn fits(field: &str, text: &str, most: usize) -> Result<(), String> {
    match text.trim().is_empty() || text.len() > most {
        true => Err(format!("`{field}` must have 1 to {most} characters")),
        false => Ok(()),
    }
}

/// A workload that is a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadIdentity {
    /// The `iss` of its assertions; a registered issuer.
    pub issuer: String,
    /// What its claims must be; all of them.
    pub rules: Vec<Rule>,
}

impl WorkloadIdentity {
    /// What serde cannot say. The error names the field.
    pub fn check(&self) -> Result<(), String> {
        fits("workload_identities.issuer", &self.issuer, MAX_URI)?;
        match self.rules.is_empty() {
            true => Err("`workload_identities.rules` must say which workload of its issuer it is".to_owned()),
            false => check_rules("workload_identities.rules", &self.rules),
        }
    }
}

/// An outside issuer of a tenant.
pub type Issuer = Registered<IssuerBody>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_exactly_one_test_and_is_written_as_it_was_read() {
        for text in [
            r#"{"claim":"sub","equals":"x"}"#,
            r#"{"claim":"sub","prefix":"x"}"#,
            r#"{"claim":"a.b","one_of":["x","y"]}"#,
        ] {
            let rule: Rule = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&rule).unwrap(), text);
        }
        for bad in [
            r#"{"claim":"sub"}"#,
            r#"{"equals":"x"}"#,
            r#"{"claim":"sub","equals":"x","prefix":"y"}"#,
            r#"{"claim":"sub","matches":".*"}"#,
            r#"{"claim":"sub","equals":"x","negate":true}"#,
            r#"{"claim":"sub","equals":1}"#,
        ] {
            assert!(serde_json::from_str::<Rule>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_of_nothing_is_refused() {
        let identity = |rules: &str| {
            let text = format!(r#"{{"issuer":"https://idp.example.com","rules":{rules}}}"#);
            serde_json::from_str::<WorkloadIdentity>(&text).unwrap().check()
        };
        assert!(identity(r#"[{"claim":"sub","equals":"x"}]"#).is_ok());
        for bad in [
            "[]",
            r#"[{"claim":"sub","prefix":""}]"#,
            r#"[{"claim":"sub","equals":""}]"#,
            r#"[{"claim":"sub","one_of":[]}]"#,
            r#"[{"claim":"sub","one_of":["x",""]}]"#,
            r#"[{"claim":"","equals":"x"}]"#,
        ] {
            assert!(identity(bad).is_err(), "{bad}");
        }
    }
}
