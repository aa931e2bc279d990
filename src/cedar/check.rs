//! Check: may this text be stored as a policy?

use cedar_policy::ffi::DetailedError;
use cedar_policy::{ParseErrors, Policy, PolicyId, PolicySet, Schema, ValidationMode, ValidationWarning, Validator};
use serde::Serialize;

use super::SCHEMA_JSON;
use super::advice::takes_a_scope_for_its_resource;
use super::obligations::Obligations;
use super::text::{MAX_DEPTH, MAX_STORED_DEPTH, limit};

/// The most complaints in one answer.
const MAX_COMPLAINTS: usize = 32;

/// What is wrong with a policy text, and where. Line and column count from 1, the column in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Complaint {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
    /// What to do about it.
    pub message: String,
}

impl Complaint {
    /// The complaint in one line.
    pub fn line(&self) -> String {
        format!("line {}, column {}: {}", self.line, self.column, self.message)
    }

    /// A complaint about the byte at `offset`.
    pub fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count().saturating_add(1),
            column: line.chars().count().saturating_add(1),
            message: message.into(),
        }
    }

    /// A complaint of Cedar's, at its own place or else at `fallback`.
    fn from_cedar(text: &str, fallback: usize, error: &DetailedError) -> Self {
        let label = error.source_locations.first();
        let parts = [Some(&error.message), label.and_then(|label| label.label.as_ref()), error.help.as_ref()];
        let message = parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("; ");
        Self::at(text, label.map_or(fallback, |label| label.loc.start), message)
    }
}

/// Whether the text may be stored under this id: it parses, has no templates, validates strictly against the schema, can
/// apply to some request, has only annotations that mean something, and keeps within the limits.
pub fn check(id: &str, cedar: &str) -> Result<(), Vec<Complaint>> {
    limit(cedar, MAX_DEPTH).map_err(|complaint| vec![complaint])?;
    let statements = statements(cedar)?;
    if statements.is_empty() {
        return Err(vec![Complaint::at(cedar, 0, "there is no statement: write permit(…) or forbid(…), ended by `;`")]);
    }
    let mut complaints: Vec<Complaint> = Vec::new();
    let several = statements.len() > 1;
    let mut policies = PolicySet::new();
    let mut places = Vec::new();
    for (number, (offset, policy)) in (1_usize..).zip(statements) {
        if let Some(bad) = Obligations::read(&policy).map_or_else(Some, |read| read.unknown()) {
            let annotations = cedar.get(offset..).unwrap_or_default();
            let inside = annotations.find(&format!("@{}", bad.name)).unwrap_or_default();
            complaints.push(Complaint::at(cedar, offset.saturating_add(inside), bad.message));
        }
        // Cedar's messages name the statement: under the name that the writer knows.
        let name = PolicyId::new(if several { format!("{id}[{number}]") } else { id.to_owned() });
        if let Err(error) = policies.add(policy.new_id(name.clone())) {
            complaints.push(Complaint::at(cedar, offset, error.to_string()));
        }
        places.push((name, offset));
    }
    let place = |id: &PolicyId| places.iter().find(|(name, _)| name == id).map_or(0, |(_, offset)| *offset);

    let schema = Schema::from_json_str(SCHEMA_JSON).map_err(|error| vec![Complaint::at("", 0, error.to_string())])?;
    let result = Validator::new(schema).validate(&policies, ValidationMode::Strict);
    for error in result.validation_errors() {
        complaints.push(Complaint::from_cedar(cedar, place(error.policy_id()), &DetailedError::from(error)));
    }
    // A statement with an error can often not apply either, but only the error helps.
    let warnings = if complaints.is_empty() { Some(result.validation_warnings()) } else { None };
    for warning in warnings.into_iter().flatten().filter(|warning| is_fatal(warning)) {
        let mut complaint = Complaint::from_cedar(cedar, place(warning.policy_id()), &DetailedError::from(warning));
        let statement = cedar.get(place(warning.policy_id())..).unwrap_or_default();
        if matches!(warning, ValidationWarning::ImpossiblePolicy(_)) && takes_a_scope_for_its_resource(statement) {
            complaint.message.push_str(
                "; a policy is asked about a scope, so write `resource in Resource::…` for all scopes of a resource",
            );
        }
        complaints.push(complaint);
    }
    complaints.sort();
    // Cedar says the same again for every action that the statement covers.
    complaints.dedup_by_key(|one| (one.line, one.column));
    complaints.truncate(MAX_COMPLAINTS);
    if complaints.is_empty() { Ok(()) } else { Err(complaints) }
}

/// A policy that can never apply does not do what it says; text that runs both ways does not say what it does. Mixed
/// scripts are fine: not every name is Latin.
fn is_fatal(warning: &ValidationWarning) -> bool {
    use ValidationWarning as W;
    matches!(
        warning,
        W::ImpossiblePolicy(_) | W::InvalidActionApplication(_) | W::BidiCharsInString(_) | W::BidiCharsInIdentifier(_)
    )
}

/// The statements of a text, each with the offset at which it starts. A text beyond the limits of stored ones is not read.
pub(super) fn statements(cedar: &str) -> Result<Vec<(usize, Policy)>, Vec<Complaint>> {
    limit(cedar, MAX_STORED_DEPTH).map_err(|complaint| vec![complaint])?;
    let set: PolicySet = cedar.parse().map_err(|errors: ParseErrors| {
        let all = errors.iter().map(|error| Complaint::from_cedar(cedar, 0, &DetailedError::from(error)));
        all.take(MAX_COMPLAINTS).collect::<Vec<_>>()
    })?;
    let templates: Vec<Complaint> = set
        .templates()
        .map(|template| {
            let text = template.to_cedar();
            let slot = ["?principal", "?resource"].iter().filter_map(|slot| text.find(slot)).min().unwrap_or_default();
            let offset = cedar.find(&text).unwrap_or_default().saturating_add(slot);
            Complaint::at(cedar, offset, "templates are not supported: write the entity in place of the slot")
        })
        .collect();
    if !templates.is_empty() {
        return Err(templates);
    }
    let mut after = 0_usize;
    let mut statements = Vec::new();
    // Cedar numbers the statements as they come.
    for policy in (0..set.num_of_policies()).filter_map(|number| set.policy(&PolicyId::new(format!("policy{number}"))))
    {
        // Its own text; `to_string` would bring along the printers of Cedar's other forms.
        let text = policy.to_cedar().unwrap_or_default();
        let offset =
            cedar.get(after..).and_then(|rest| rest.find(&text)).map_or(after, |found| after.saturating_add(found));
        after = offset.saturating_add(text.len());
        statements.push((offset, policy.clone()));
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cedar::text::{MAX_BYTES, MAX_STATEMENTS};
    use cedar_policy::SchemaFragment;

    /// Line, column and message of the only complaint.
    fn complaint(cedar: &str) -> (usize, usize, String) {
        let mut complaints = check("p", cedar).unwrap_err();
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        let one = complaints.remove(0);
        (one.line, one.column, one.message)
    }

    fn refused_at(cedar: &str, line: usize, column: usize, word: &str) {
        let (at_line, at_column, message) = complaint(cedar);
        assert_eq!((at_line, at_column), (line, column), "{message}");
        assert!(message.contains(word), "{message}");
    }

    #[test]
    fn the_policies_that_users_copy_are_accepted() {
        let texts = [
            r#"permit(principal == Client::"c1", action == Action::"issue", resource in Resource::"http://localhost:8000/mcp")
               when { ["mcp:bigquery.read"].contains(resource.name) && context has ip && context.ip.isInRange(ip("10.0.0.0/8"))
                      && context.hour >= 2 && context.hour < 4 };"#,
            r#"permit(principal, action == Action::"lease", resource == Connection::"bigquery-read")
               when { context.scopes.contains("mcp:bigquery.read") };"#,
            r#"@id("a") @description("Übersicht, обзор") @ttl("60") @require("approval") permit(principal, action, resource);
               forbid(principal, action, resource) unless { principal has owner && principal.owner like "*@example.com" };"#,
            r#"permit(principal is Client, action in [Action::"issue", Action::"exchange"], resource is Scope)
               when { resource has tool && resource.tool == "query" && principal.tags.contains("production") };"#,
            r#"permit(principal, action == Action::"consent", resource) when { context has subject &&
               (context.subject == User::"u1" || context.subject.roles.contains("admin")) && !context.chain.contains("c7") };"#,
            r#"forbid(principal, action, resource) when { context has asn && context.asn == 64496 && context.date == "2026-12-24" };"#,
        ];
        for text in texts {
            assert_eq!(check("p", text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_syntax_error_is_refused_with_its_place() {
        refused_at("permit(principal, action, resource)\nwhen { context.hour > };", 2, 23, "unexpected token");
        refused_at("permit(principal, action, resource)", 1, 36, "unexpected end of input");
        refused_at("// ü\npermit(principal, action, resource) when { \"ü\" == };", 2, 51, "unexpected token");
    }

    #[test]
    fn an_unknown_attribute_is_refused_with_its_place() {
        refused_at("permit(principal, action, resource)\nwhen {\n  principal.nick == \"x\" };", 3, 3, "`nick`");
        refused_at("permit(principal, action, resource) when { context.hours > 3 };", 1, 44, "`hours`");
    }

    #[test]
    fn an_unguarded_optional_attribute_is_refused_with_its_place() {
        let text = "permit(principal, action, resource)\n  when { context.ip.isInRange(ip(\"10.0.0.0/8\")) };";
        refused_at(text, 2, 10, "`ip`");
        assert!(complaint(text).2.contains("has"), "says what to do");
    }

    #[test]
    fn a_wrong_entity_type_is_refused_with_its_place() {
        refused_at("permit(principal == Agent::\"c1\", action, resource);", 1, 21, "Agent");
        refused_at("permit(principal, action == Action::\"fly\", resource);", 1, 29, "fly");
        let never = "impossible";
        refused_at("\npermit(principal,\n  action == Action::\"lease\", resource in Resource::\"r\");", 2, 1, never);
        refused_at(" permit(principal == User::\"u1\", action, resource);", 1, 2, never);
    }

    #[test]
    fn wrong_types_are_refused() {
        for text in [
            "permit(principal, action, resource) when { context.hour == \"2\" };",
            "permit(principal, action, resource) when { context.scopes == \"a\" };",
            "permit(principal, action, resource) when { [\"a\", 1].contains(1) };",
            "permit(principal, action, resource) when { context has ip && context.ip.isInRange(ip(\"10.0.0.0/64\")) };",
            "permit(principal, action, resource) when { principal in Resource::\"r\" };",
        ] {
            assert!(check("p", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_template_is_refused_at_its_slot() {
        refused_at(
            "permit(principal, action, resource);\npermit(principal == ?principal, action, resource);",
            2,
            21,
            "template",
        );
        refused_at("permit(principal, action, resource in ?resource);", 1, 39, "template");
    }

    #[test]
    fn a_policy_that_can_never_apply_is_refused() {
        for text in [
            "permit(principal, action == Action::\"issue\", resource is Connection);",
            "forbid(principal, action, resource) when { false };",
            "permit(principal, action, resource) when { resource is Scope && resource is Connection };",
        ] {
            let (_, _, message) = complaint(text);
            assert!(message.contains("impossible"), "{message}");
        }
    }

    #[test]
    fn a_scope_that_is_taken_for_its_resource_is_refused_with_the_word_that_helps() {
        for text in [
            "permit(principal, action, resource == Resource::\"r\");",
            "permit(principal, action, resource) when { resource == Resource::\"r\" };",
        ] {
            let (_, _, message) = complaint(text);
            assert!(message.contains("resource in Resource::"), "{message}");
        }
        let (_, _, other) = complaint("permit(principal == User::\"u\", action, resource);");
        assert!(!other.contains("resource in"), "{other}");
    }

    #[test]
    fn names_in_several_scripts_are_fine() {
        for name in ["Zürich Склад", "sхаt", "東京 Tokyo", "αβγ abc"] {
            let text = format!("permit(principal, action, resource) when {{ principal.name == \"{name}\" }};");
            assert_eq!(check("p", &text), Ok(()), "{name}");
        }
    }

    #[test]
    fn text_that_runs_both_ways_is_refused() {
        let text = "permit(principal, action, resource) when { principal.name == \"user\u{202e} \u{2066}x\u{2069}\" };";
        assert!(check("p", text).is_err());
    }

    #[test]
    fn every_complaint_names_its_own_statement() {
        let good = "permit(principal, action, resource);\n";
        let text = format!(
            "{good}{good}  permit(principal, action, resource) when {{ context.a }};\n\n{good}@ttl(\"x\") {good}"
        );
        let complaints = check("night", &text).unwrap_err();
        let places: Vec<_> = complaints.iter().map(|one| (one.line, one.column)).collect();
        assert_eq!(places, [(3, 46), (6, 1)]);
        assert!(complaints[0].message.contains("night[3]"), "{complaints:?}");
    }

    #[test]
    fn an_annotation_that_means_nothing_is_refused() {
        let statement = "(principal, action, resource);";
        for (annotation, effect) in [
            ("@ttl(\"0\")", "permit"),
            ("@ttl(\"-1\")", "permit"),
            ("@ttl(\"1m\")", "permit"),
            ("@ttl", "permit"),
            ("@ttl(\"60\")", "forbid"),
            ("@require(\" \")", "permit"),
            ("@require(\"mfa\")", "permit"),
            ("@require(\"dpop\")", "permit"),
            ("@require(\"limit\")", "permit"),
            ("@require(\"details payment\")", "permit"),
            ("@require(\"approval\")", "forbid"),
            ("@require_approval(\"yes\")", "permit"),
        ] {
            let text = format!("@id(\"x\")\n  {annotation} {effect}{statement}");
            let (line, column, message) = complaint(&text);
            assert_eq!((line, column), (2, 3), "{message}");
        }
    }

    #[test]
    fn text_without_a_statement_is_refused() {
        for text in ["", "  \n", "// permit(principal, action, resource);"] {
            refused_at(text, 1, 1, "no statement");
        }
    }

    #[test]
    fn the_length_is_limited_to_the_byte() {
        let text = |size: usize| format!("{:<size$}", "permit(principal, action, resource);");
        assert_eq!(check("p", &text(MAX_BYTES)), Ok(()));
        refused_at(&text(MAX_BYTES + 1), 1, 1, "longer");
    }

    #[test]
    fn the_number_of_statements_is_limited() {
        let text = |count: usize| "permit(principal, action, resource);\n".repeat(count);
        assert_eq!(check("p", &text(MAX_STATEMENTS)), Ok(()));
        refused_at(&text(MAX_STATEMENTS + 1), MAX_STATEMENTS + 1, 36, "statements");
    }

    #[test]
    fn semicolons_and_brackets_in_strings_and_comments_do_not_count() {
        let noise = ";(".repeat(500);
        let text = format!(
            "// {noise}\npermit(principal, action, resource) when {{ principal.name == \"\\\"{noise}\\\\\" }};"
        );
        assert_eq!(check("p", &text), Ok(()));
    }

    #[test]
    fn what_is_too_deep_is_refused_and_what_is_not_is_checked_and_decided() {
        let condition = |text: String| format!("permit(principal, action, resource) when {{ {text} }};");
        let chain = |n: usize| condition(vec!["context.dpop"; n].join(" || "));
        assert_eq!(check("p", &chain(MAX_DEPTH - 4)), Ok(()));
        refused_at(&chain(2_000), 1, 857, "deeper");
        let brackets = |n: usize| condition(format!("{}context.dpop{}", "(".repeat(n), ")".repeat(n)));
        assert_eq!(check("p", &brackets(MAX_DEPTH / 2 - 3)), Ok(()));
        refused_at(&brackets(10_000), 1, 68, "deeper");
    }

    /// The page about policies is made from annotations; the Worker needs none.
    fn without_annotations(json: &mut serde_json::Value) {
        match json {
            serde_json::Value::Object(members) => {
                members.remove("annotations");
                members.values_mut().for_each(without_annotations);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(without_annotations),
            _ => {}
        }
    }

    #[test]
    fn the_json_schema_is_the_cedar_schema() {
        let (fragment, _) = SchemaFragment::from_cedarschema_str(crate::cedar::SCHEMA).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&fragment.to_json_string().unwrap()).unwrap();
        without_annotations(&mut json);
        let text = serde_json::to_string_pretty(&json).unwrap() + "\n";
        if std::env::var_os("WRIT_WRITE_SCHEMA").is_some() {
            std::fs::write("src/cedar/schema.json", &text).unwrap();
        }
        assert_eq!(
            SCHEMA_JSON, text,
            "run `WRIT_WRITE_SCHEMA=1 cargo test --lib the_json_schema` and look at the difference"
        );
    }
}
