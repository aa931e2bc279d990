//! The platforms that vouch for workloads: which `iss` each has, and which claims say whose workload it is.
//!
//! A preset refuses an `iss` that is not of its platform. What its tokens are about stands below, as their documentation has it.
//! Which of these issuers serve many customers stands in `shared`.
//!
//! | preset | `iss` | claims besides `aud exp iat iss sub` |
//! | --- | --- | --- |
//! | `github_actions` | `https://token.actions.githubusercontent.com`, `https://token.actions.SUBDOMAIN.ghe.com`, both also `/ENTERPRISE`; a server's `/_services/token` | `repository[_id]` `repository_owner[_id]` `ref` `environment` `workflow_ref` `job_workflow_ref` `actor[_id]` `event_name` `run_id` `enterprise[_id]` … |
//! | `gitlab` | `https://gitlab.com`, or the own server | `namespace_id` `namespace_path` `project_id` `project_path` `ref` `ref_type` `ref_protected` `environment` `user_login` … |
//! | `buildkite` | `https://agent.buildkite.com` | `organization_slug` `pipeline_slug` `build_branch` `step_key` `job_id` `agent_id`, by request `organization_id` `pipeline_id` |
//! | `gcp` | `https://accounts.google.com` | `azp` `email` `email_verified` `google.compute_engine.{project_id,project_number,zone,instance_id,instance_name}` |
//! | `aws_sts`, signed with RS256 | `https://ID.tokens.sts.global.api.aws` of one account, in China `https://ID.tokens.sts.global.api.amazonwebservices.com.cn` | `https://sts.amazonaws.com/` with `aws_account` `org_id` `principal_tags` `request_tags` … |
//! | `aws_eks` | `https://oidc.eks.REGION.amazonaws.com/id/ID` of one cluster, or `https://oidc-eks.REGION.api.aws/id/ID`, in every partition | as `kubernetes` |
//! | `kubernetes` | whatever the cluster calls itself | `kubernetes.io` with `namespace` `serviceaccount` `pod` `node` |
//! | `azure` | `https://login.microsoftonline.com/TENANT/v2.0` or `https://sts.windows.net/TENANT/`, and those of the national clouds | `tid` `oid` `appid` or `azp` `idtyp` `xms_mirid` |
//! | `spiffe` | `spiffe://TRUST-DOMAIN` | none; `sub` is the SPIFFE ID |
//! | `oidc` | any | any |

use super::keysets;
use super::shared::{BUILDKITE, GITHUB, GOOGLE};
use crate::config::Config;
use crate::model::IssuerBody;
use crate::model::issuer::Use;
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
            // GitHub, "OpenID Connect reference"; GitHub Enterprise Cloud, "Network details for GHE.com".
            let of_cloud =
                |iss: &str| iss == GITHUB || between(iss, "https://token.actions.", ".ghe.com").is_some_and(is_word);
            let of_enterprise = |(iss, name): (&str, &str)| of_cloud(iss) && is_word(name);
            let of_server = iss.ends_with("/_services/token") && is_https(iss);
            of_cloud(iss) || iss.rsplit_once('/').is_some_and(of_enterprise) || of_server
        },
    },
    Preset { name: "gitlab", fits: is_https },
    Preset { name: "buildkite", fits: |iss| iss == BUILDKITE },
    Preset { name: "gcp", fits: |iss| iss == GOOGLE },
    Preset {
        name: "aws_sts",
        fits: |iss| AWS_STS.iter().any(|domain| between(iss, "https://", domain).is_some_and(is_word)),
    },
    Preset {
        name: "aws_eks",
        fits: |iss| {
            let cluster = between(iss, "https://oidc.eks.", "").or_else(|| between(iss, "https://oidc-eks.", ""));
            cluster.and_then(|rest| rest.split_once("/id/")).is_some_and(|(host, id)| {
                let region = AWS.iter().find_map(|zone| host.strip_suffix(zone)?.strip_suffix('.'));
                region.is_some_and(is_word) && is_word(id)
            })
        },
    },
    Preset {
        name: "azure",
        fits: |iss| {
            let of = |hosts: &[&str], end: &str| {
                let rest = iss.strip_prefix("https://").and_then(|rest| rest.split_once('/'));
                rest.and_then(|(host, path)| path.strip_suffix(end).filter(|_| hosts.contains(&host)))
                    .is_some_and(is_uuid)
            };
            of(AZURE_V2, "/v2.0") || of(AZURE_V1, "/")
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

/// The domains of the issuers of AWS accounts: of the global partition (AWS, "Understanding token claims"), and of the one in China
/// (walkley/china-regions-content-bot, a report of 25 November 2025 that has tried it in cn-northwest-1; AWS documents none).
const AWS_STS: &[&str] = &[".tokens.sts.global.api.aws", ".tokens.sts.global.api.amazonwebservices.com.cn"];

/// The domains of the partitions of AWS, for IPv4 alone and for both (botocore, `partitions.json`, `dnsSuffix` and
/// `dualStackDnsSuffix`).
const AWS: &[&str] = &[
    "amazonaws.com",
    "api.aws",
    "amazonaws.com.cn",
    "api.amazonwebservices.com.cn",
    "amazonaws.eu",
    "api.amazonwebservices.eu",
    "c2s.ic.gov",
    "api.aws.ic.gov",
    "sc2s.sgov.gov",
    "api.aws.scloud",
    "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk",
    "csp.hci.ic.gov",
    "api.aws.hci.ic.gov",
];
/// Who issues tokens of version 2: the world, the government of the USA, China (Microsoft identity platform, "National
/// clouds").
const AZURE_V2: &[&str] =
    &["login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"];
/// Who issues tokens of version 1: the world and the government of the USA, China.
const AZURE_V1: &[&str] = &["sts.windows.net", "sts.chinacloudapi.cn"];

/// What the issuer itself cannot say. The error names the field.
pub fn problems(config: &Config, body: &IssuerBody) -> Vec<String> {
    let mut all = body.problems();
    match PRESETS.iter().find(|preset| preset.name == body.preset) {
        None => {
            let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            all.push(["`preset` must be one of: ", &names.join(", ")].concat());
        }
        Some(preset) if !(preset.fits)(&body.issuer) => {
            all.push(["`issuer` is no issuer of the preset `", preset.name, "`"].concat());
        }
        Some(_) => {}
    }
    let is_spiffe = body.preset == SPIFFE;
    if is_spiffe && (body.uses != [Use::Workload] || (body.jwks.is_none() && body.jwks_uri.is_none())) {
        all.push("a trust domain has `workload` as its one use, and its bundle as `jwks` or at `jwks_uri`".to_owned());
    }
    if body.client_secret.is_some() && config.providers().is_none() {
        all.push(
            "`client_secret` cannot be kept here: this Worker needs the secret `PEOPLE_KEK` of the one with the role `authorize`"
                .to_owned(),
        );
    }
    if body.uses.contains(&Use::SignIn) {
        let is_pinned = body.issuer != GOOGLE || body.rules.iter().any(|rule| rule.claim == "hd");
        if body.creates_users && !is_pinned {
            all.push(
                "everybody has an account there: with `creates_users`, add a rule on `hd`, your domain".to_owned(),
            );
        }
        if outbound::admit(config, &body.issuer).is_none() {
            all.push("`issuer` may not be called: people sign in over https at a public name".to_owned());
        }
    }
    all.extend(body.jwks.as_ref().and_then(|jwks| keysets::check(jwks, is_spiffe).err()));
    let fetched = match (&body.jwks, &body.jwks_uri) {
        (Some(_), _) => None,
        (None, Some(uri)) => Some(("jwks_uri", uri)),
        (None, None) => Some(("issuer", &body.issuer)),
    };
    if let Some((field, _)) = fetched.filter(|(_, uri)| outbound::admit(config, uri).is_none()) {
        all.push(["`", field, "` may not be called: its keys are fetched over https from a public name"].concat());
    }
    all
}

fn is_https(iss: &str) -> bool {
    let url = Url::parse(iss).ok();
    url.is_some_and(|url| {
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        // On this machine, for development: whether it may be called is for `outbound` to say.
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
            ("github_actions", "https://token.actions.octocorp.ghe.com"),
            ("github_actions", "https://token.actions.octocorp.ghe.com/octo-enterprise"),
            ("github_actions", "https://github.example.com/_services/token"),
            ("gitlab", "https://gitlab.com"),
            ("gitlab", "https://gitlab.example.com"),
            ("buildkite", "https://agent.buildkite.com"),
            ("gcp", "https://accounts.google.com"),
            ("aws_sts", "https://a1b2c3d4-e5f6-7890-abcd-ef1234567890.tokens.sts.global.api.aws"),
            ("aws_sts", "https://a1b2c3d4-e5f6-7890-abcd-ef1234567890.tokens.sts.global.api.amazonwebservices.com.cn"),
            ("aws_eks", "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"),
            ("aws_eks", "https://oidc.eks.cn-north-1.amazonaws.com.cn/id/EXAMPLED539D4633E53DE1B71EXAMPLE"),
            ("aws_eks", "https://oidc.eks.eusc-de-east-1.amazonaws.eu/id/EXAMPLED539D4633E53DE1B71EXAMPLE"),
            ("aws_eks", "https://oidc.eks.us-gov-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"),
            ("aws_eks", "https://oidc.eks.us-iso-east-1.c2s.ic.gov/id/EXAMPLED539D4633E53DE1B71EXAMPLE"),
            ("aws_eks", "https://oidc-eks.eu-central-1.api.aws/id/EXAMPLED539D4633E53DE1B71EXAMPLE"),
            ("aws_eks", "https://oidc-eks.cn-north-1.api.amazonwebservices.com.cn/id/EXAMPLED539D4633E53DE1B71EXAMPLE"),
            ("kubernetes", "https://kubernetes.default.svc.cluster.local"),
            ("azure", &format!("https://login.microsoftonline.com/{tenant}/v2.0")),
            ("azure", &format!("https://sts.windows.net/{tenant}/")),
            ("azure", &format!("https://login.microsoftonline.us/{tenant}/v2.0")),
            ("azure", &format!("https://login.partner.microsoftonline.cn/{tenant}/v2.0")),
            ("azure", &format!("https://sts.chinacloudapi.cn/{tenant}/")),
            ("spiffe", "spiffe://prod.example.org"),
            ("oidc", "https://idp.example.com/realms/agents"),
        ] {
            assert!(fits(preset, iss), "{preset} {iss}");
        }
        for (preset, iss) in [
            ("github_actions", "https://token.actions.githubusercontent.com/"),
            ("github_actions", "https://token.actions.githubusercontent.com.evil.example"),
            ("github_actions", "https://token.actions.githubusercontent.com/a/b"),
            ("github_actions", "https://token.actions.ghe.com"),
            ("github_actions", "https://token.actions..ghe.com"),
            ("github_actions", "https://token.actions.a.b.ghe.com"),
            ("github_actions", "https://token.actions.octocorp.ghe.com.evil.example"),
            ("github_actions", "https://token.actions.evil.example/.ghe.com"),
            ("github_actions", "https://token.actions.octocorp.ghe.com/a/b"),
            ("github_actions", "https://octocorp.ghe.com"),
            ("buildkite", "https://agent.buildkite.com/"),
            ("gcp", "accounts.google.com"),
            ("gcp", "https://accounts.google.com.evil.example"),
            ("aws_sts", "https://.tokens.sts.global.api.aws"),
            ("aws_sts", "https://x.tokens.sts.global.api.amazonwebservices.com.cn.evil.example"),
            ("aws_sts", "https://x.tokens.sts.global.amazonaws.com.cn"),
            ("aws_sts", "https://evil.example/.tokens.sts.global.api.aws"),
            ("aws_eks", "https://oidc.eks.evil.example/id/X"),
            ("aws_eks", "https://oidc.eks.eu.amazonaws.com.evil.example/id/X"),
            ("aws_eks", "https://oidc.eks.evil.example/x.amazonaws.com/id/X"),
            ("aws_eks", "https://oidc.eks.eu.evilamazonaws.eu/id/X"),
            ("aws_eks", "https://oidc.eks.amazonaws.eu/id/X"),
            ("azure", "https://login.microsoftonline.com/common/v2.0"),
            ("azure", "https://login.microsoftonline.com/organizations/v2.0"),
            ("azure", &format!("https://login.microsoftonline.com.evil.example/{tenant}/v2.0")),
            ("azure", &format!("https://evil.example/login.microsoftonline.us/{tenant}/v2.0")),
            ("azure", &format!("https://login.microsoftonline.us/{tenant}/")),
            ("azure", &format!("https://sts.chinacloudapi.cn/{tenant}/v2.0")),
            ("azure", &format!("https://sts.windows.net/x/{tenant}/")),
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
}
