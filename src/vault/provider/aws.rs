//! Temporary credentials of a role at AWS (docs.aws.amazon.com, "AssumeRoleWithWebIdentity"), for a token that Writ issues: no key of AWS is stored.
//!
//! 1. The role trusts the tenant's issuer as an OpenID Connect provider; `sub` of the token is `connection:{name}`.
//! 2. The session is named after the agent, so each agent gets credentials of its own, and CloudTrail tells them apart.
//! 3. `scopes` of the config are statements of session policies by name, the ceiling of what a lease gets. A lease narrows it by their names.
//! 4. A call through the proxy is signed for `service` and `region` (`crypto::sigv4`), and goes to AWS alone.

use super::{ExchangeRequest, Provider, Token, Tokens, USUAL, answer, fields, xml};
use crate::config::Config;
use crate::context::Cx;
use crate::crypto::sigv4::Signing;
use crate::crypto::{Secret, sha256};
use crate::error::{Error, Reason, Result};
use crate::oauth::scope;
use crate::outbound;
use crate::ports::Answer;
use crate::vault::own_token;
use crate::vault::proxy::inject::Injection;
use crate::vault::proxy::rules::AllowList;
use crate::vault::service::Proxy;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub const PROVIDER: Provider = Provider {
    kind: "aws",
    read_config,
    has_secret: |_| false,
    offers: |config| Some(fields::stored::<Settings>(config).ok()?.scopes.into_keys().collect()),
    gives_access_tokens: false,
    tokens: Tokens::OfAgent,
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    inject: Some(inject),
    ..USUAL
};

/// What the hosts of AWS end with.
const HOSTS: &[&str] = &[".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws"];
/// The longest name of a region, and of a service.
const MAX_NAME: usize = 32;
const VERSION: &str = "2011-06-15";
/// The longest session policy, in characters.
const MAX_POLICY: usize = 2048;
/// The longest name of a session.
const MAX_SESSION: usize = 64;
/// What a session's name has of the id of a client that is no such name itself, and of its digest.
const MAX_LIKE: usize = 40;
const DIGEST: usize = 22;
/// Codes of errors that say something about the role or its trust in Writ.
const ERRORS: &[&str] = &[
    "AccessDenied",
    "ExpiredTokenException",
    "IDPRejectedClaim",
    "InvalidIdentityToken",
    "MalformedPolicyDocument",
    "PackedPolicyTooLarge",
    "RegionDisabledException",
    "ValidationError",
];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    role_arn: String,
    #[serde(default = "audience")]
    audience: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// The endpoint of the security token service, where it is not the usual one of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sts_url: Option<String>,
    #[serde(default = "duration")]
    duration_seconds: u32,
    /// Statements of session policies, by the name of a scope.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    scopes: BTreeMap<String, Vec<Value>>,
    /// Where calls through the proxy go, such as `https://s3.eu-central-1.amazonaws.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    /// The service that calls are signed for, such as `s3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// The calls that may go through the proxy.
    #[serde(default, skip_serializing_if = "AllowList::is_empty")]
    allow: AllowList,
}

fn audience() -> String {
    "sts.amazonaws.com".to_owned()
}

fn duration() -> u32 {
    3600
}

impl Settings {
    /// Whether its endpoint may be called: the one of the region with FIPS 140, or one that development may call.
    fn has_endpoint(&self, config: &Config) -> bool {
        self.sts_url.as_ref().is_none_or(|url| {
            let region = self.region.as_deref().unwrap_or_default();
            *url == format!("https://sts-fips.{region}.amazonaws.com/") || outbound::is_development(config, url)
        })
    }

    /// The endpoint of the region, in the partition of the role.
    fn endpoint(&self) -> String {
        if let Some(url) = &self.sts_url {
            return url.clone();
        }
        let ending = if self.role_arn.starts_with("arn:aws-cn:") { "amazonaws.com.cn" } else { "amazonaws.com" };
        match &self.region {
            Some(region) => format!("https://sts.{region}.{ending}/"),
            None => format!("https://sts.{ending}/"),
        }
    }

    /// The session policy of a scope; nothing where the config has none.
    fn policy(&self, scope: &str) -> Option<String> {
        let wanted = scope.split(' ').filter_map(|name| self.scopes.get(name)).flatten();
        let statements: Vec<&Value> = wanted.collect();
        (!statements.is_empty()).then(|| json!({"Version": "2012-10-17", "Statement": statements}).to_string())
    }
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let settings: Settings = fields::config(value)?;
    fields::expect_audience(config, &settings.audience)?;
    let parts: Vec<&str> = settings.role_arn.splitn(6, ':').collect();
    let is_role = match parts.as_slice() {
        ["arn", "aws" | "aws-cn" | "aws-us-gov", "iam", "", account, role] => {
            account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && role.starts_with("role/")
        }
        _ => false,
    };
    let is_text =
        settings.role_arn.len() <= fields::MAX_TEXT && settings.role_arn.bytes().all(|b| b.is_ascii_graphic());
    if !is_role || !is_text {
        return Err(fields::invalid("`config.role_arn` must look like arn:aws:iam::123456789012:role/name"));
    }
    let is_name = |text: &String| {
        (1..=MAX_NAME).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    // `sts.s3.amazonaws.com` is a bucket.
    let is_region = |text: &String| is_name(text) && !text.starts_with("s3");
    if !settings.region.as_ref().is_none_or(is_region) {
        return Err(fields::invalid("`config.region` must look like eu-central-1"));
    }
    if settings.region.is_none() && !settings.role_arn.starts_with("arn:aws:") {
        return Err(fields::invalid("`config.region` is missing: this partition has no global endpoint"));
    }
    if !settings.has_endpoint(config) {
        let example = "https://sts-fips.us-east-1.amazonaws.com/";
        return Err(fields::invalid(format!("`config.sts_url` must be the endpoint of the region such as {example}")));
    }
    if settings.base_url.as_deref().is_some_and(|url| !fields::is_api(config, url, HOSTS)) {
        let example = "https://s3.eu-central-1.amazonaws.com";
        return Err(fields::invalid(format!("`config.base_url` must be an endpoint of AWS such as {example}")));
    }
    if !settings.service.as_ref().is_none_or(is_name) {
        return Err(fields::invalid("`config.service` must be the name that AWS signs for, such as s3"));
    }
    if settings.base_url.is_some() && (settings.service.is_none() || settings.region.is_none()) {
        return Err(fields::invalid("`config.base_url` needs `service` and `region`, for which calls are signed"));
    }
    settings.allow.check(settings.base_url.is_some())?;
    if !(900..=43_200).contains(&settings.duration_seconds) {
        return Err(fields::invalid("`config.duration_seconds` must be 900 to 43200"));
    }
    let is_scope = |(name, statements): (&String, &Vec<Value>)| {
        name.len() <= fields::MAX_TEXT
            && scope::is_token(name)
            && !statements.is_empty()
            && statements.iter().all(Value::is_object)
    };
    if !settings.scopes.iter().all(is_scope) {
        return Err(fields::invalid("`config.scopes` must hold arrays of policy statements, by the name of a scope"));
    }
    let all: Vec<&str> = settings.scopes.keys().map(String::as_str).collect();
    if settings.policy(&all.join(" ")).is_some_and(|policy| policy.chars().count() > MAX_POLICY) {
        return Err(fields::invalid(format!("`config.scopes` may have {MAX_POLICY} characters as one session policy")));
    }
    fields::store(&settings)
}

fn inject(config: &Value) -> Result<Injection> {
    let Settings { base_url, service, region, allow, .. } = fields::stored(config)?;
    let (Some(base_url), Some(service), Some(region)) = (base_url, service, region) else {
        return Err(Reason::CallNotAllowed.because("it has no `base_url`"));
    };
    let signing = Some(Signing { service, region });
    Ok(Injection { proxy: Proxy { base_url, ..Proxy::default() }, allow, signing })
}

/// The name of a session of an agent: its id, or, where AWS does not take that, what is like it and a digest of it.
fn session(client: &str) -> String {
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || "+=,.@-_".contains(sign);
    if client.len() <= MAX_SESSION && client.chars().all(is_sign) {
        return client.to_owned();
    }
    let like = client.chars().map(|sign| if is_sign(sign) { sign } else { '-' }).take(MAX_LIKE);
    like.chain(['-']).chain(sha256(client).to_text().chars().take(DIGEST)).collect()
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let settings: Settings = fields::stored(request.config)?;
    let token = own_token::issue(cx, request.connection, &settings.audience).await?;
    let (session, policy) = (session(request.party), settings.policy(request.scope));
    let duration = settings.duration_seconds.to_string();
    let mut parameters = vec![
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", VERSION),
        ("RoleArn", &settings.role_arn),
        ("RoleSessionName", &session),
        ("WebIdentityToken", token.expose()),
        ("DurationSeconds", &duration),
    ];
    parameters.extend(policy.as_deref().map(|policy| ("Policy", policy)));
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let headers =
        vec![("content-type", "application/x-www-form-urlencoded".to_owned()), ("accept", "text/xml".to_owned())];
    read(outbound::post(cx, &settings.endpoint(), headers, body).await?, request.now)
}

fn read(answer: Answer, now: i64) -> Result<Token> {
    let body = Secret::new(answer.body);
    let text = std::str::from_utf8(body.expose()).unwrap_or_default();
    match answer.status {
        200 => {
            credentials(text, now).ok_or_else(|| Reason::ProviderFailed.because("its answer is no usable credentials"))
        }
        400 | 403 => Err(refusal(text)),
        _ => Err(Reason::ProviderFailed.because("its status says that it is in trouble")),
    }
}

fn credentials(text: &str, now: i64) -> Option<Token> {
    let path = ["AssumeRoleWithWebIdentityResponse", "AssumeRoleWithWebIdentityResult", "Credentials"];
    let found = xml::children(text, &path)?;
    let value = |name: &str| found.get(name).map(|value| value.expose()).filter(|value| answer::is_token(value));
    let expiration = value("Expiration")?;
    let members = [
        ("access_key_id", value("AccessKeyId")?),
        ("secret_access_key", value("SecretAccessKey")?),
        ("session_token", value("SessionToken")?),
        ("expiration", expiration),
    ];
    let members: Map<String, Value> =
        members.into_iter().map(|(name, value)| (name.to_owned(), value.as_str().into())).collect();
    Some(Token::of(members, Some(answer::seconds_until(expiration, now)?)))
}

/// The refusal for an error; AWS that cannot read the keys of the tenant is in trouble, and refuses nothing.
fn refusal(text: &str) -> Error {
    let found = xml::children(text, &["ErrorResponse", "Error"]).unwrap_or_default();
    match found.get("Code").map(|code| code.expose().as_str()) {
        Some("IDPCommunicationError") => Reason::ProviderFailed.because("it could not read the keys of the tenant"),
        Some(code) => match ERRORS.iter().find(|known| **known == code) {
            Some(known) => Reason::ProviderRefused.because(*known),
            None => Reason::ProviderRefused.into(),
        },
        None => Reason::ProviderFailed.because("its error is none of AWS"),
    }
}

#[cfg(test)]
mod tests {
    use super::session;

    #[test]
    fn sessions_of_two_agents_have_two_names_which_aws_takes() {
        let long = format!("https://agents.example/{}", "a".repeat(100));
        let names = [
            "client_01h455vb4pex5vsknk084sn02q",
            "https://a.example/x",
            "https://a.example-x",
            &long,
            &[&long, "b"].concat(),
        ];
        let made: std::collections::BTreeSet<_> = names.iter().map(|name| session(name)).collect();
        assert_eq!(made.len(), names.len());
        assert!(made.contains(names[0]));
        let is_name = |name: &String| {
            name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@-_".contains(&b))
        };
        assert!(made.iter().all(is_name), "{made:?}");
    }
}
