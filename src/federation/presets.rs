//! The platforms that vouch for workloads: which `iss` each has, and which claims say whose workload it is.
//!
//! 1. A preset refuses an `iss` that is not of its platform. What its tokens are about stands below, as their
//!    documentation has it.
//! 2. An issuer that serves many customers signs for all of them: a client that trusts it needs a rule that pins the
//!    customer, whatever preset the issuer was registered under. A prefix pins only if it goes beyond the name.
//!
//! | preset | `iss` | claims besides `aud exp iat iss sub` |
//! | --- | --- | --- |
//! | `github_actions` | `https://token.actions.githubusercontent.com`, also `/ENTERPRISE`; a server's `/_services/token` | `repository[_id]` `repository_owner[_id]` `ref` `environment` `workflow_ref` `job_workflow_ref` `actor[_id]` `event_name` `run_id` `enterprise[_id]` … |
//! | `gitlab` | `https://gitlab.com`, or the own server | `namespace_id` `namespace_path` `project_id` `project_path` `ref` `ref_type` `ref_protected` `environment` `user_login` … |
//! | `buildkite` | `https://agent.buildkite.com` | `organization_slug` `pipeline_slug` `build_branch` `step_key` `job_id` `agent_id`, by request `organization_id` `pipeline_id` |
//! | `gcp` | `https://accounts.google.com` | `azp` `email` `email_verified` `google.compute_engine.{project_id,project_number,zone,instance_id,instance_name}` |
//! | `aws_sts`, signed with RS256 | `https://ID.tokens.sts.global.api.aws` of one account | `https://sts.amazonaws.com/` with `aws_account` `org_id` `principal_tags` `request_tags` … |
//! | `aws_eks` | `https://oidc.eks.REGION.amazonaws.com/id/ID` of one cluster | as `kubernetes` |
//! | `kubernetes` | whatever the cluster calls itself | `kubernetes.io` with `namespace` `serviceaccount` `pod` `node` |
//! | `azure` | `https://login.microsoftonline.com/TENANT/v2.0` or `https://sts.windows.net/TENANT/` | `tid` `oid` `appid` or `azp` `idtyp` `xms_mirid` |
//! | `spiffe` | `spiffe://TRUST-DOMAIN` | none; `sub` is the SPIFFE ID |
//! | `oidc` | any | any |

use super::keysets;
use crate::config::Config;
use crate::model::IssuerBody;
use crate::model::issuer::{Rule, Test, Use, WorkloadIdentity};
use crate::outbound;
use url::{Host, Url};

/// The preset of SPIFFE trust domains.
pub const SPIFFE: &str = "spiffe";

struct Preset {
    name: &'static str,
    fits: fn(&str) -> bool,
}

const PRESETS: &[Preset] = &[
    Preset { name: "oidc", fits: is_https },
    Preset { name: "kubernetes", fits: is_https },
    Preset {
        name: "github_actions",
        fits: |iss| {
            let enterprise = iss.strip_prefix(GITHUB).and_then(|rest| rest.strip_prefix('/'));
            let of_server = iss.ends_with("/_services/token") && is_https(iss);
            iss == GITHUB || enterprise.is_some_and(is_word) || of_server
        },
    },
    Preset { name: "gitlab", fits: is_https },
    Preset { name: "buildkite", fits: |iss| iss == BUILDKITE },
    Preset { name: "gcp", fits: |iss| iss == GOOGLE },
    Preset { name: "aws_sts", fits: |iss| between(iss, "https://", ".tokens.sts.global.api.aws").is_some_and(is_word) },
    Preset {
        name: "aws_eks",
        fits: |iss| {
            let cluster = between(iss, "https://oidc.eks.", "").or_else(|| between(iss, "https://oidc-eks.", ""));
            cluster.and_then(|rest| rest.split_once("/id/")).is_some_and(|(host, id)| {
                let region = ["amazonaws.com", "amazonaws.com.cn", "api.aws"]
                    .into_iter()
                    .find_map(|zone| host.strip_suffix(zone)?.strip_suffix('.'));
                region.is_some_and(is_word) && is_word(id)
            })
        },
    },
    Preset {
        name: "azure",
        fits: |iss| {
            let tenant = between(iss, "https://login.microsoftonline.com/", "/v2.0")
                .or_else(|| between(iss, "https://sts.windows.net/", "/"));
            tenant.is_some_and(is_uuid)
        },
    },
    Preset {
        name: SPIFFE,
        fits: |iss| {
            let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
            iss.strip_prefix("spiffe://").is_some_and(|domain| !domain.is_empty() && domain.chars().all(is_part))
        },
    },
];

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const GITLAB: &str = "https://gitlab.com";
const BUILDKITE: &str = "https://agent.buildkite.com";
const GOOGLE: &str = "https://accounts.google.com";

/// A claim that says whose workload it is. A prefix of it does if it begins like this and, with at least one character in
/// between, ends the customer's name with this; nothing: only whole values do.
struct Pin(&'static str, Option<(&'static str, char)>);

/// Issuers of many customers. GitHub's `job_workflow_ref` is not among the pins: any repository may call a public workflow.
/// Buildkite's `sub` is not, because a job may choose what it is made of.
const SHARED: &[(&str, &[Pin])] = &[
    (
        GITHUB,
        &[
            Pin("repository_owner_id", None),
            Pin("repository_owner", None),
            Pin("repository_id", None),
            Pin("repository", Some(("", '/'))),
            Pin("enterprise_id", None),
            Pin("enterprise", None),
            Pin("sub", Some(("repo:", '/'))),
        ],
    ),
    (
        GITLAB,
        &[
            Pin("namespace_id", None),
            Pin("namespace_path", Some(("", '/'))),
            Pin("project_id", None),
            Pin("project_path", Some(("", '/'))),
            Pin("sub", Some(("project_path:", '/'))),
        ],
    ),
    (BUILDKITE, &[Pin("organization_slug", None), Pin("organization_id", None)]),
    (
        GOOGLE,
        &[
            Pin("sub", None),
            Pin("azp", None),
            Pin("email", None),
            Pin("google.compute_engine.project_id", None),
            Pin("google.compute_engine.project_number", None),
        ],
    ),
];

/// What the issuer itself cannot say. The error names the field.
pub fn check(config: &Config, body: &IssuerBody) -> Result<(), String> {
    body.check()?;
    let preset = PRESETS.iter().find(|preset| preset.name == body.preset);
    let Some(preset) = preset else {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        return Err(["`preset` must be one of: ", &names.join(", ")].concat());
    };
    if !(preset.fits)(&body.issuer) {
        return Err(["`issuer` is no issuer of the preset `", preset.name, "`"].concat());
    }
    let is_spiffe = body.preset == SPIFFE;
    if is_spiffe && (body.uses != [Use::Workload] || (body.jwks.is_none() && body.jwks_uri.is_none())) {
        return Err(
            "a trust domain has `workload` as its one use, and its bundle as `jwks` or at `jwks_uri`".to_owned()
        );
    }
    body.jwks.iter().try_for_each(|jwks| keysets::check(jwks, is_spiffe))?;
    let fetched = match (&body.jwks, &body.jwks_uri) {
        (Some(_), _) => None,
        (None, Some(uri)) => Some(("jwks_uri", uri)),
        (None, None) => Some(("issuer", &body.issuer)),
    };
    match fetched.filter(|(_, uri)| outbound::admit(config, uri).is_none()) {
        Some((field, _)) => {
            Err(["`", field, "` may not be called: its keys are fetched over https from a public name"].concat())
        }
        None => Ok(()),
    }
}

/// Whether a workload identity pins the customer of an issuer that serves many. The error says how to.
pub fn check_identity(identity: &WorkloadIdentity) -> Result<(), String> {
    let Some((_, pins)) = SHARED.iter().find(|(issuer, _)| *issuer == identity.issuer) else { return Ok(()) };
    if identity.rules.iter().any(|rule| pins.iter().any(|pin| pin.is_held_by(rule))) {
        return Ok(());
    }
    let names: Vec<&str> = pins.iter().map(|Pin(claim, _)| *claim).collect();
    Err(["this issuer serves many customers: add a rule that says which one you are, on ", &names.join(", ")].concat())
}

impl Pin {
    fn is_held_by(&self, rule: &Rule) -> bool {
        let Self(claim, prefix) = self;
        rule.claim.replace('/', ".") == *claim
            && match &rule.test {
                Test::Equals(_) | Test::OneOf(_) => true,
                Test::Prefix(text) => prefix.is_some_and(|(start, end)| {
                    let name = text.strip_prefix(start).and_then(|rest| rest.split_once(end));
                    name.is_some_and(|(name, _)| !name.is_empty())
                }),
            }
    }
}

fn is_https(iss: &str) -> bool {
    let url = Url::parse(iss).ok();
    url.is_some_and(|url| {
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        // On this machine, for development: whether it may be called is for the outbound gate to say.
        let local = matches!(url.host(), Some(Host::Domain("localhost")) | Some(Host::Ipv4(_) | Host::Ipv6(_)));
        plain && (url.scheme() == "https" || (url.scheme() == "http" && local))
    })
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.strip_suffix(end)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(preset: &str, iss: &str) -> bool {
        (PRESETS.iter().find(|known| known.name == preset).unwrap().fits)(iss)
    }

    #[test]
    fn a_preset_takes_the_issuers_of_its_platform_and_no_others() {
        let tenant = "8f1b2c3d-0000-4000-8000-0123456789ab";
        for (preset, iss) in [
            ("github_actions", "https://token.actions.githubusercontent.com"),
            ("github_actions", "https://token.actions.githubusercontent.com/octo-enterprise"),
            ("github_actions", "https://github.example.com/_services/token"),
            ("gitlab", "https://gitlab.com"),
            ("gitlab", "https://gitlab.example.com"),
            ("buildkite", "https://agent.buildkite.com"),
            ("gcp", "https://accounts.google.com"),
            ("aws_sts", "https://a1b2c3d4-e5f6-7890-abcd-ef1234567890.tokens.sts.global.api.aws"),
            ("aws_eks", "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"),
            ("aws_eks", "https://oidc.eks.cn-north-1.amazonaws.com.cn/id/EXAMPLED539D4633E53DE1B71EXAMPLE"),
            ("kubernetes", "https://kubernetes.default.svc.cluster.local"),
            ("azure", &format!("https://login.microsoftonline.com/{tenant}/v2.0")),
            ("azure", &format!("https://sts.windows.net/{tenant}/")),
            ("spiffe", "spiffe://prod.example.org"),
            ("oidc", "https://idp.example.com/realms/agents"),
        ] {
            assert!(fits(preset, iss), "{preset} {iss}");
        }
        for (preset, iss) in [
            ("github_actions", "https://token.actions.githubusercontent.com/"),
            ("github_actions", "https://token.actions.githubusercontent.com.evil.example"),
            ("github_actions", "https://token.actions.githubusercontent.com/a/b"),
            ("buildkite", "https://agent.buildkite.com/"),
            ("gcp", "accounts.google.com"),
            ("gcp", "https://accounts.google.com.evil.example"),
            ("aws_sts", "https://.tokens.sts.global.api.aws"),
            ("aws_sts", "https://evil.example/.tokens.sts.global.api.aws"),
            ("aws_eks", "https://oidc.eks.evil.example/id/X"),
            ("aws_eks", "https://oidc.eks.eu.amazonaws.com.evil.example/id/X"),
            ("aws_eks", "https://oidc.eks.evil.example/x.amazonaws.com/id/X"),
            ("azure", "https://login.microsoftonline.com/common/v2.0"),
            ("azure", "https://login.microsoftonline.com/organizations/v2.0"),
            ("azure", "https://sts.windows.net/common/"),
            ("spiffe", "spiffe://"),
            ("spiffe", "spiffe://prod.example.org/path"),
            ("spiffe", "https://prod.example.org"),
            ("oidc", "http://idp.example.com"),
            ("oidc", "https://idp.example.com?x"),
            ("oidc", "https://idp.example.com#"),
            ("oidc", "idp"),
        ] {
            assert!(!fits(preset, iss), "{preset} {iss}");
        }
    }

    #[test]
    fn an_issuer_of_many_customers_needs_a_rule_that_pins_one() {
        let identity = |issuer: &str, claim: &str, test: Test| {
            let rules = vec![Rule { claim: claim.to_owned(), test }];
            check_identity(&WorkloadIdentity { issuer: issuer.to_owned(), rules })
        };
        let equals = |text: &str| Test::Equals(text.to_owned());
        let prefix = |text: &str| Test::Prefix(text.to_owned());
        for (issuer, claim, test) in [
            (GITHUB, "repository_owner_id", equals("123")),
            (GITHUB, "repository", Test::OneOf(vec!["octo/a".into(), "octo/b".into()])),
            (GITHUB, "repository", prefix("octo/")),
            (GITHUB, "sub", prefix("repo:octo/")),
            (GITHUB, "sub", equals("repo:octo/app:environment:prod")),
            (GITLAB, "project_path", prefix("group/")),
            (GITLAB, "sub", prefix("project_path:group/app:ref_type:branch:")),
            (BUILDKITE, "organization_slug", equals("acme")),
            (GOOGLE, "sub", equals("104029292853099978293")),
            (GOOGLE, "google.compute_engine.project_id", equals("acme-prod")),
            (GOOGLE, "google/compute_engine/project_number", equals("739419398126")),
            ("https://oidc.eks.eu-central-1.amazonaws.com/id/X", "sub", prefix("system:")),
        ] {
            assert!(identity(issuer, claim, test.clone()).is_ok(), "{issuer} {claim} {test:?}");
        }
        for (issuer, claim, test) in [
            (GITHUB, "ref", equals("refs/heads/main")),
            (GITHUB, "job_workflow_ref", prefix("octo/app/")),
            (GITHUB, "sub", prefix("repo:")),
            (GITHUB, "sub", prefix("repo:octo")),
            (GITHUB, "sub", prefix("repo:/")),
            (GITHUB, "repository", prefix("octo")),
            (GITHUB, "repository_owner", prefix("octo/")),
            (GITLAB, "ref_protected", equals("true")),
            (GITLAB, "sub", prefix("project_path:group")),
            (BUILDKITE, "sub", prefix("organization:acme:")),
            (BUILDKITE, "pipeline_slug", equals("deploy")),
            (GOOGLE, "email_verified", equals("true")),
            (GOOGLE, "email", prefix("agent@acme-prod.")),
            (GOOGLE, "google.compute_engine.zone", equals("europe-west1-b")),
        ] {
            assert!(identity(issuer, claim, test.clone()).is_err(), "{issuer} {claim} {test:?}");
        }
    }
}
