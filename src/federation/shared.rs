//! Issuers that serve many customers under one `iss`, and the claims that say which customer a workload belongs to.
//!
//! Such an issuer signs for all of its customers. So a client that trusts it needs a rule that pins the customer, whatever
//! preset the issuer was registered under. A prefix pins only if it goes beyond the customer's name.

use crate::model::issuer::{Rule, Test, WorkloadIdentity};

/// GitHub, "OpenID Connect reference".
pub const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// Buildkite, "OIDC in Buildkite Pipelines".
pub const BUILDKITE: &str = "https://agent.buildkite.com";
/// Google, "Verify the identity of Compute Engine instances".
pub const GOOGLE: &str = "https://accounts.google.com";
/// GitLab, "OpenID Connect (OIDC) authentication using ID tokens"; the second serves China.
const GITLAB: [&str; 2] = ["https://gitlab.com", "https://jihulab.com"];
/// HCP Terraform, "Workload identity".
const TERRAFORM: &str = "https://app.terraform.io";
/// Vercel, "OIDC Federation Reference": the global issuer; that of a team has the team in its path and is its own.
const VERCEL: &str = "https://oidc.vercel.com";
/// Pulumi, "Configuring OIDC", "Token formats".
const PULUMI: [&str; 2] = ["https://api.pulumi.com/oidc", "https://api.pulumi.com/oidc/v2"];

/// A claim that says whose workload it is. A prefix of it does if it begins like this and, with at least one character in
/// between, ends the customer's name with this; nothing: only whole values do.
struct Pin(&'static str, Option<(&'static str, char)>);

/// GitHub's `job_workflow_ref` is not among the pins: any repository may call a public workflow.
const GITHUB_PINS: &[Pin] = &[
    Pin("repository_owner_id", None),
    Pin("repository_owner", None),
    Pin("repository_id", None),
    Pin("repository", Some(("", '/'))),
    Pin("enterprise_id", None),
    Pin("enterprise", None),
    Pin("sub", Some(("repo:", '/'))),
];

const GITLAB_PINS: &[Pin] = &[
    Pin("namespace_id", None),
    Pin("namespace_path", Some(("", '/'))),
    Pin("project_id", None),
    Pin("project_path", Some(("", '/'))),
    Pin("sub", Some(("project_path:", '/'))),
];

/// Buildkite's `sub` is not among the pins, because a job may choose what it is made of.
const BUILDKITE_PINS: &[Pin] = &[Pin("organization_slug", None), Pin("organization_id", None)];

const GOOGLE_PINS: &[Pin] = &[
    Pin("sub", None),
    Pin("azp", None),
    Pin("email", None),
    Pin("google.compute_engine.project_id", None),
    Pin("google.compute_engine.project_number", None),
];

const TERRAFORM_PINS: &[Pin] = &[
    Pin("terraform_organization_id", None),
    Pin("terraform_organization_name", None),
    Pin("terraform_project_id", None),
    Pin("terraform_workspace_id", None),
    Pin("sub", Some(("organization:", ':'))),
];

const VERCEL_PINS: &[Pin] =
    &[Pin("owner_id", None), Pin("owner", None), Pin("project_id", None), Pin("sub", Some(("owner:", ':')))];

const PULUMI_PINS: &[Pin] = &[
    Pin("https://pulumi.com/org_id", None),
    Pin("https://pulumi.com/org", None),
    Pin("org", None),
    Pin("sub", Some(("pulumi:deploy:org:", ':'))),
    Pin("sub", Some(("pulumi:environments:org:", ':'))),
];

/// What pins a customer of that issuer; nothing if the issuer has one customer, as far as is known here.
fn pins(issuer: &str) -> Option<&'static [Pin]> {
    Some(match issuer {
        GITHUB => GITHUB_PINS,
        BUILDKITE => BUILDKITE_PINS,
        GOOGLE => GOOGLE_PINS,
        TERRAFORM => TERRAFORM_PINS,
        VERCEL => VERCEL_PINS,
        _ if GITLAB.contains(&issuer) => GITLAB_PINS,
        _ if PULUMI.contains(&issuer) => PULUMI_PINS,
        _ => return None,
    })
}

/// Whether a workload identity pins the customer of an issuer that serves many. The error says how to.
pub fn check_identity(identity: &WorkloadIdentity) -> Result<(), String> {
    let Some(pins) = pins(&identity.issuer) else { return Ok(()) };
    if identity.rules.iter().any(|rule| pins.iter().any(|pin| pin.is_held_by(rule))) {
        return Ok(());
    }
    let mut names: Vec<&str> = pins.iter().map(|Pin(claim, _)| *claim).collect();
    names.dedup();
    Err(["this issuer serves many customers: add a rule that says which one you are, on ", &names.join(", ")].concat())
}

impl Pin {
    fn is_held_by(&self, rule: &Rule) -> bool {
        let Self(claim, prefix) = self;
        rule.claim.replace('/', ".") == claim.replace('/', ".")
            && match &rule.test {
                Test::Equals(_) | Test::OneOf(_) => true,
                Test::Prefix(text) => prefix.is_some_and(|(start, end)| {
                    let name = text.strip_prefix(start).and_then(|rest| rest.split_once(end));
                    name.is_some_and(|(name, _)| !name.is_empty())
                }),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("https://gitlab.com", "project_path", prefix("group/")),
            ("https://gitlab.com", "sub", prefix("project_path:group/app:ref_type:branch:")),
            (BUILDKITE, "organization_slug", equals("acme")),
            (GOOGLE, "sub", equals("104029292853099978293")),
            (GOOGLE, "google.compute_engine.project_id", equals("acme-prod")),
            (GOOGLE, "google/compute_engine/project_number", equals("739419398126")),
            (TERRAFORM, "terraform_organization_id", equals("org-GRNbCjYNpBB6NEH9")),
            (TERRAFORM, "sub", prefix("organization:acme:project:")),
            (VERCEL, "owner_id", equals("team_1")),
            (VERCEL, "sub", prefix("owner:acme:project:")),
            (PULUMI[0], "sub", prefix("pulumi:deploy:org:acme:")),
            (PULUMI[0], "sub", prefix("pulumi:environments:org:acme:env:")),
            (PULUMI[1], "https://pulumi.com/org", equals("acme")),
            ("https://jihulab.com", "namespace_id", equals("7")),
            ("https://oidc.vercel.com/acme", "environment", equals("production")),
            ("https://oidc.circleci.com/org/1", "sub", prefix("org/1/")),
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
            ("https://gitlab.com", "ref_protected", equals("true")),
            ("https://gitlab.com", "sub", prefix("project_path:group")),
            (TERRAFORM, "terraform_run_phase", equals("apply")),
            (TERRAFORM, "sub", prefix("organization:acme")),
            (TERRAFORM, "sub", prefix("organization::project:")),
            (VERCEL, "environment", equals("production")),
            (VERCEL, "sub", prefix("owner:")),
            (PULUMI[0], "sub", prefix("pulumi:deploy:org:acme")),
            (PULUMI[0], "sub", prefix("pulumi:")),
            (PULUMI[1], "https://pulumi.com/actor", equals("octocat")),
            ("https://jihulab.com", "ref", equals("main")),
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
