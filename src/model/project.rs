//! Names of the Descope-compatible routes: a tenant is a project there, and a resource has a prefix.
//!
//! 1. A project id is `P` and the name of its tenant, filled up with `Z` to 28 characters. No name of a tenant has a capital letter, so the id is
//!    read back without a look-up, and each tenant has one (docs/decisions.md 134).
//! 2. The id of a resource has `RS` or `MS` before it.

use super::id::is_slug;

/// How many characters a project id has, unless the name of its tenant is longer.
const LENGTH: usize = 28;
const FILLER: char = 'Z';

/// The project id of a tenant.
pub fn project_id(tenant: &str) -> String {
    let missing = LENGTH.saturating_sub(tenant.len()).saturating_sub(1);
    let filler: String = std::iter::repeat_n(FILLER, missing).collect();
    ["P", tenant, &filler].concat()
}

/// The tenant of a project id.
pub fn tenant_of(project: &str) -> Option<&str> {
    let tenant = project.strip_prefix('P')?.trim_end_matches(FILLER);
    (is_slug(tenant) && project_id(tenant) == project).then_some(tenant)
}

/// The id of a resource, as compatible routes name it.
pub fn resource_of(name: &str) -> Option<&str> {
    name.strip_prefix("RS").or_else(|| name.strip_prefix("MS")).filter(|id| is_slug(id))
}

/// What a compatible route issues: tokens that name its own issuer, and the project beside their resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The issuer.
    pub issuer: String,
    /// The only resource of its tokens; absent: any.
    pub resource: Option<String>,
}

/// The part of an issuer between the origin and the project, of a route that belongs to one resource and of one that does not.
const OF_RESOURCE: &str = "/v1/apps/agentic/";
const OF_PROJECT: &str = "/v1/apps/";

impl Route {
    /// Its token endpoint: beside its issuer.
    pub fn token_endpoint(&self, origin: &str) -> String {
        let path = self.issuer.strip_prefix(origin).unwrap_or_default();
        [origin, "/oauth2", path, "/token"].concat()
    }

    /// The route of a project, for the resource that `name` stands for, if there is one.
    pub fn new(origin: &str, tenant: &str, name: Option<&str>) -> Option<Self> {
        let project = project_id(tenant);
        match name {
            None => Some(Self { issuer: [origin, OF_PROJECT, &project].concat(), resource: None }),
            Some(name) => {
                let issuer = [origin, OF_RESOURCE, &project, "/", name].concat();
                Some(Self { issuer, resource: Some(resource_of(name)?.to_owned()) })
            }
        }
    }

    /// Whether an issuer is that of a compatible route of the tenant.
    pub fn is_issuer(origin: &str, tenant: &str, issuer: &str) -> bool {
        let Some(path) = issuer.strip_prefix(origin) else { return false };
        let project = project_id(tenant);
        path.strip_prefix(OF_PROJECT) == Some(&*project)
            || path
                .strip_prefix(OF_RESOURCE)
                .and_then(|rest| rest.strip_prefix(&*project)?.strip_prefix('/'))
                .is_some_and(|name| resource_of(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_id_is_read_back_and_no_other_text_names_a_tenant() {
        let longest = "a".repeat(64);
        for tenant in ["main", "a", "acme.eu-1_x", "a-name-of-twenty-seven-char", &longest] {
            let id = project_id(tenant);
            assert!(id.len() >= LENGTH);
            assert_eq!(tenant_of(&id), Some(tenant));
        }
        assert_eq!(project_id("main"), "PmainZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(project_id("main").len(), LENGTH);
        for text in [
            "",
            "P",
            "Pmain",
            "PZZZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "main",
            "PmainZZZZZZZZZZZZZZZZZZZZZZZZ",
            "PMainZZZZZZZZZZZZZZZZZZZZZZZ",
        ] {
            assert_eq!(tenant_of(text), None, "{text}");
        }
    }

    #[test]
    fn an_issuer_is_of_one_tenant() {
        const ORIGIN: &str = "https://id.example";
        let agentic = Route::new(ORIGIN, "main", Some("RSfiles")).unwrap();
        let project = Route::new(ORIGIN, "main", None).unwrap();
        assert_eq!(agentic.resource.as_deref(), Some("files"));
        assert!(Route::new(ORIGIN, "main", Some("files")).is_none());
        for route in [agentic, project] {
            assert!(Route::is_issuer(ORIGIN, "main", &route.issuer));
            assert!(!Route::is_issuer(ORIGIN, "other", &route.issuer));
            assert!(!Route::is_issuer(ORIGIN, "main", &[&*route.issuer, "/"].concat()));
            assert!(!Route::is_issuer("https://id.example.evil", "main", &route.issuer));
        }
    }
}
