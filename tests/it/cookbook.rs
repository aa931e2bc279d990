//! `docs/policies.md`: the vocabulary of policies, made from the schema, and a cookbook (`docs/policies/`) of which every policy is asked
//! the questions beside it. `WRIT_WRITE_DOCS=1 cargo test --test it cookbook::` writes the page anew.

use cedar_policy::SchemaFragment;
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use writ::cedar::{
    Action, Bundle, Circumstance, Mode, Principal, Question, Required, SCHEMA, Source, Subject, Target, advice, check,
    overlaps,
};
use writ::policy::{templates, testing};

const PAGE: &str = "docs/policies.md";
const HEAD: &str = r#"# Policies

A policy is [Cedar](https://docs.cedarpolicy.com/) text, stored with `PUT /t/{tenant}/admin/policies/{id}` as `{"cedar": "…"}`. What no
policy permits is denied; a `forbid` beats every `permit`; a policy that cannot be evaluated denies what it is asked about. Policies are
asked for each scope when a token is issued, and again at every lease, so a change bites at the next token and the next lease.

`mode` is `enforce`, `shadow` (it decides nothing, and events say when it would have) or `off`. A text that does not parse, does not fit
the vocabulary below, can never apply, or nests deeper than 50 operators, brackets and clauses is refused with line and column. A scope
that was asked for and not given is in the event (`scope_refused`) with its cause and the policies that determined it.

A text that probably does not mean what it says is taken, and the answer has `warnings` with line and column: names that match nothing; a
permit for everything; hours, weekdays and words that never come, and a value that would have to be two at once; a statement that another one
makes pointless, in the policy itself, in its shard or in the one that every question reads; and a permit without a condition on production. What is production, its name says: one of the words in the URI of a resource, a scope or the name of a
connection is `prod` or `production`.

This page is made from `src/cedar/schema.cedarschema` and from `docs/policies/`, and a test holds it to both.

## Annotations

| annotation | what it does |
| --- | --- |
| `@zone("Europe/Berlin")` | the statement sees the clock of this IANA time zone instead of the tenant's |
| `@ttl("60")` | a permit that holds bounds the token's life, in seconds; the shortest counts |
| `@quiet("22:00-06:00")` | the permit does not hold at these hours, by the clock of `@zone` or the tenant: from the first minute up to the second one, over midnight where it begins after it ends. An hour that a change of the clock skips is not there, one that comes twice is quiet twice |
| `@limit("5/hour")` | the permit is used so often in a `minute`, an `hour` or a `day`, and then not before the next: `429` with `Retry-After`. `5/hour` counts for each agentic identity, a client for one user; `5/hour client` for a client; `5/hour user` for a user, by whichever client. See below |
| `@on_breach("suspend")` | beside `@limit`: what goes beyond the limit suspends the agentic identity, or the client where its uses count, once a window and with its event |
| `@bind("dpop")` | the token has to be bound to a key (RFC 9449): `invalid_dpop_proof` where it is not. At a lease, the agent's token |
| `@details("payment")` | the request has to have `authorization_details` of that type (RFC 9396), which its user has allowed: `invalid_authorization_details`. At a lease, the agent's token |
| `@require("approval")` | a person has to approve first: the refusal is `authorization_pending` with `approval_id`, `approval_uri` and `approval_number`, and the same request is answered once it is approved, once. The user decides for whom the agent acts, or the owner of the client. After `approval:` stand, with commas between, who decides (`subject`, `owner`, `role=NAME`, `group=NAME`), how many of them (`n=2`), and `passkey`, with which each signs |
| `@require("step_up")` | the user has signed in within five minutes. The authorization endpoint asks for a sign-in where a request names the scope; the token endpoint leaves the scope out, or answers `insufficient_user_authentication` with `max_age` (RFC 9470) where nothing else is left, and so does a lease. `@require("step_up:acr=phr,acr=VALUE")` wants one of these `acr` besides, as a second factor has one: identity providers are asked for it with `acr_values`, which the answer has as well, and a passkey gives `phr`. It counts whichever registered issuer says it of the user |
| `@id("…")`, `@description("…")`, `@advice("…")` | for people |

Any other annotation is refused, because a misspelt one would do nothing, and so is another word in `@require`. An approver who takes off
authorization details that a permit wants takes off its scope. All but `@zone` and those for people bind permits only. Permits
that hold together oblige together: one that asks for nothing does not lift what another asks for. A permit in its quiet hours does not hold,
so another one may.

**Limits.** Minutes and hours are those of UTC, days those of `@zone` or the tenant. One token, one lease or one call through the proxy is one
use of a statement, however many scopes it has; a stream that lasts is one. It is counted in all locations together, when nothing but the
answer is left to do, so a refusal for another reason uses nothing up. What a compatible management route shows or changes needs room, and is
no use: it issues nothing. What is counted is not given back: an answer that is lost, or that fails
after all, was a use. A scope whose limit has no room is left out like one that is not permitted; where nothing is left, the answer is `429`. A
limit is that of its statement by number in its policy: what is written before it in the same policy begins another count.

## Tests

`tests` beside `cedar` are questions with what is expected. They are run before the policy is written, against all policies in force as they
would be then, and again before any other policy is written or removed that their questions reach.

```json
{"cedar": "…", "tests": [
  {"name": "the agent may not write", "question": {"client_id": "client_reader", "resource": "https://mcp.example/mcp", "scopes": ["mcp:write"]}, "expect": "deny"}
]}
```

- `expect` is `allow` or `deny`. With `allow`, `scopes` names those of the question that are allowed and no others, `require` what is left to be
  given (`approval`, `step_up`, each as it is written, `dpop`, `details TYPE`), and `ttl` the seconds. `deny` is also what lacks something.
- A question has `client_id`, `client_name`, `kind`, `owner`, `tags`, `allowed_resources`, `registration`, `verified`; `user`, `roles`, `groups`,
  `claims`; `action`; `resource` with `scopes`, or `connection` with `connection_kind`; `tool`, `resource_server`, `method`, `host`, `path`; `ip`,
  `country`, `asn`, `at`; `grant_type`, `auth_method`, `acr`, `dpop`, `auth_time`, `authorization_details` (types), `chain`,
  `chain_tags`, `workload_claims`. At a connection, `scopes` are those of the agent's token.
- Nothing of a test comes from the directory: what its question leaves out is absent, and without `at` it is noon (UTC) on Thursday, 2026-01-15. So a
  test answers the same tomorrow.
- A test that fails refuses the change (`409`), and `detail` says what was expected and what came. `"force": true`, or `?force=true` at a removal,
  changes it all the same; that is the event `policy.forced`.
- The tests of a policy that is `shadow` or `off` are run when it is written, as if it were enforced, and hold no other policy.
- A test answers as the decision does: `impersonate` is asked as `exchange` too, and what nothing has to permit (`consent`, `register`) is allowed
  unless a `forbid` holds. What `grant_type` a question leaves out is the usual one of its action.
- A policy has up to 20 tests, of 16 KB, with up to 64 scopes each. A change runs its own tests, with up to 200 scopes and connections in up to 24
  shards, and those of up to 2,000 other policies, with as many together. The answer (`warnings`) and the event say how many tests were left out.
  Limits count nothing in tests.

"#;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

// ── The cookbook ──

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    title: String,
    text: String,
    questions: Vec<Asked>,
}

/// A question and its answer. What it leaves out is as for the agent `client_reader` at noon in January.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    question: String,
    action: Option<String>,
    client: Option<String>,
    tags: Vec<String>,
    scope: String,
    resource: Option<String>,
    connection: Option<String>,
    at: Option<String>,
    ip: Option<String>,
    scopes: Vec<String>,
    tool: Option<String>,
    chain: Vec<String>,
    chain_tags: Vec<String>,
    groups: Option<Vec<String>>,
    allow: bool,
    ttl: Option<u64>,
    require: Vec<String>,
}

fn recipes() -> Vec<(String, Recipe)> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(root("docs/policies")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "cedar"));
    paths.sort();
    let read = |path: &PathBuf| {
        let cedar = fs::read_to_string(path).unwrap();
        let recipe = fs::read_to_string(path.with_extension("json")).unwrap();
        (cedar, serde_json::from_str(&recipe).unwrap_or_else(|error| panic!("{path:?}: {error}")))
    };
    paths.iter().map(read).collect()
}

fn offset(zone: &str, at: i64) -> Option<i32> {
    Some(TimeZone::get(zone).ok()?.to_offset(Timestamp::from_second(at).ok()?).seconds())
}

impl Asked {
    fn action(&self) -> Action {
        match self.action.as_deref() {
            None | Some("issue") => Action::Issue,
            Some("exchange") => Action::Exchange,
            Some("lease") => Action::Lease,
            Some(other) => panic!("{other}"),
        }
    }

    fn answer(&self, bundle: &Bundle) -> (bool, Option<u64>, Vec<String>) {
        let id = self.client.clone().unwrap_or_else(|| "client_reader".to_owned());
        let principal = Principal {
            name: id.clone(),
            id,
            kind: "autonomous".to_owned(),
            tags: self.tags.clone(),
            ..Principal::default()
        };
        let target = match &self.connection {
            Some(name) => Target::Connection { name: name.clone(), kind: "google_service_account".to_owned() },
            None => Target::Scope {
                resource: self.resource.clone().unwrap_or_else(|| "https://mcp.example/mcp".to_owned()),
                name: self.scope.clone(),
                tool: None,
            },
        };
        let at: Timestamp = self.at.as_deref().unwrap_or("2026-01-15T12:00:00Z").parse().unwrap();
        let subject = self.groups.clone().map(|groups| Subject {
            id: "user_ada".to_owned(),
            roles: vec![],
            groups,
            claims: vec![],
        });
        let circumstance = Circumstance {
            now: at.as_second(),
            offset: Some(0),
            ip: self.ip.as_deref().map(|ip| ip.parse().unwrap()),
            scopes: self.scopes.clone(),
            tool: self.tool.clone(),
            chain: self.chain.clone(),
            chain_tags: self.chain_tags.clone(),
            subject,
            ..Circumstance::default()
        };
        let targets = [target];
        let question =
            Question { action: self.action(), principal: &principal, targets: &targets, circumstance: &circumstance };
        let verdict = bundle.decide_in(&question, &|zone| offset(zone, at.as_second())).remove(0);
        assert!(verdict.errors.is_empty(), "{}: {verdict:?}", self.question);
        (verdict.allow, verdict.ttl, Required::texts(&verdict.require))
    }

    fn expected(&self) -> String {
        let mut said = if self.allow { "permitted" } else { "denied" }.to_owned();
        if let Some(ttl) = self.ttl {
            write!(said, ", for {ttl} seconds").unwrap();
        }
        if !self.require.is_empty() {
            write!(said, ", and requires {} first", self.require.join(", ")).unwrap();
        }
        said
    }
}

#[test]
fn every_policy_of_the_cookbook_answers_the_questions_beside_it() {
    let recipes = recipes();
    assert_eq!(recipes.len(), 12);
    for (cedar, recipe) in &recipes {
        assert_eq!(check("recipe", cedar), Ok(()), "{}", recipe.title);
        assert_eq!(advice(cedar), [], "{}", recipe.title);
        let source = Source { id: "recipe".to_owned(), cedar: cedar.clone(), mode: Mode::Enforce };
        let bundle = Bundle::parse(&[source]).unwrap();
        assert!(recipe.questions.len() > 1 && recipe.questions.iter().any(|asked| asked.allow), "{}", recipe.title);
        for asked in &recipe.questions {
            let expected = (asked.allow, asked.ttl, asked.require.clone());
            assert_eq!(asked.answer(&bundle), expected, "{}: {}", recipe.title, asked.question);
        }
    }
}

// ── The page ──

/// The schema with its annotations, as JSON.
fn schema() -> Value {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(SCHEMA).unwrap();
    serde_json::from_str::<Value>(&fragment.to_json_string().unwrap()).unwrap()[""].take()
}

fn note<'v>(thing: &'v Value, name: &str) -> Option<&'v str> {
    thing["annotations"][name].as_str()
}

fn type_of(attribute: &Value) -> String {
    match attribute["type"].as_str() {
        Some("Set") => format!("set of {}", type_of(&attribute["element"])),
        Some("EntityOrCommon") => attribute["name"].as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// One row for each attribute, all of which say what they are and show an example that fits the schema.
fn attributes(page: &mut String, prefix: &str, attributes: &Value) {
    writeln!(page, "| attribute | type | there | what | example |\n| --- | --- | --- | --- | --- |").unwrap();
    for (name, attribute) in attributes.as_object().unwrap() {
        let required = attribute["required"] != false;
        let doc = note(attribute, "doc").unwrap_or_else(|| panic!("{name} has no doc"));
        let example = note(attribute, "example").unwrap_or_else(|| panic!("{name} has no example"));
        let there = note(attribute, "there");
        assert_eq!(there.is_some(), !required, "{name}: `there` says when an optional attribute is there");
        let example = example.replace('|', "\\|");
        let there = there.unwrap_or("always");
        writeln!(page, "| `{prefix}{name}` | {} | {there} | {doc} | `{example}` |", type_of(attribute)).unwrap();
    }
    page.push('\n');
}

fn vocabulary(page: &mut String) {
    let schema = schema();
    page.push_str("## Actions\n\n");
    let mut docs: Vec<&str> =
        schema["actions"].as_object().unwrap().values().filter_map(|one| note(one, "doc")).collect();
    docs.dedup();
    docs.sort_unstable();
    docs.dedup();
    docs.iter().for_each(|doc| writeln!(page, "- {doc}").unwrap());
    page.push_str("\n## Principals and resources\n\n");
    for (name, entity) in schema["entityTypes"].as_object().unwrap() {
        writeln!(page, "### `{name}`\n\n{}\n", note(entity, "doc").unwrap()).unwrap();
        let role = if name == "Client" {
            "principal."
        } else if name == "User" {
            "context.subject."
        } else {
            "resource."
        };
        if entity["shape"]["attributes"].as_object().is_some_and(|attributes| !attributes.is_empty()) {
            attributes(page, role, &entity["shape"]["attributes"]);
        }
    }
    page.push_str("## The context\n\n");
    attributes(page, "context.", &schema["commonTypes"]["Circumstance"]["attributes"]);
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    vocabulary(&mut page);
    page.push_str("## Cookbook\n\nThe resource is `https://mcp.example/mcp`; where nothing else is said, `client_reader` asks at noon.\n");
    for (cedar, Recipe { title, text, questions }) in recipes() {
        write!(page, "\n### {title}\n\n{text}\n\n```\n{cedar}```\n\n| question | answer |\n| --- | --- |\n").unwrap();
        questions.iter().for_each(|asked| writeln!(page, "| {} | {} |", asked.question, asked.expected()).unwrap());
    }
    page.push_str(TEMPLATES);
    for template in templates::all() {
        let text = |member: &str| template[member].as_str().unwrap().to_owned();
        let (title, name, cedar) = (text("title"), text("name"), text("cedar"));
        write!(page, "\n### {title} (`{name}`)\n\n{}\n\n```\n{cedar}```\n\n", text("description")).unwrap();
        writeln!(page, "| test | expected |\n| --- | --- |").unwrap();
        for test in template["tests"].as_array().unwrap() {
            writeln!(page, "| {} | {} |", test["name"].as_str().unwrap(), expected(test)).unwrap();
        }
    }
    page
}

const TEMPLATES: &str = "
## Templates

Policies that people ask for, with their tests, in `docs/policies/templates/`; `GET /t/{tenant}/admin/policies/templates` has them, and a test
writes each as it stands. Put your own clients, resources and connections in.
";

/// What a test of a template expects, in words.
fn expected(test: &Value) -> String {
    let words = |member: &str| -> Vec<&str> {
        test[member].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let mut said = test["expect"].as_str().unwrap().to_owned();
    if !words("scopes").is_empty() {
        write!(said, " {} alone", words("scopes").join(", ")).unwrap();
    }
    if !words("require").is_empty() {
        write!(said, ", requiring {}", words("require").join(", ")).unwrap();
    }
    if let Some(ttl) = test["ttl"].as_u64() {
        write!(said, ", for {ttl} seconds").unwrap();
    }
    said
}

#[test]
fn every_template_is_a_policy_without_advice_whose_tests_hold() {
    assert_eq!(templates::all().len(), 12);
    for template in templates::all() {
        let (name, cedar) = (template["name"].as_str().unwrap(), template["cedar"].as_str().unwrap());
        assert_eq!(check(name, cedar), Ok(()), "{name}");
        assert_eq!(advice(cedar), [], "{name}");
        let source = Source { id: name.to_owned(), cedar: cedar.to_owned(), mode: Mode::Enforce };
        assert_eq!(overlaps(&source, &[]), [], "{name}");
        let tests = template["tests"].as_array().unwrap();
        let expects = |word: &str| tests.iter().any(|test| test["expect"] == word);
        assert!(tests.len() > 1 && expects("allow"), "{name}");
        assert!(testing::read(tests).is_ok(), "{name}");
    }
}

#[test]
fn the_page_about_policies_is_made_from_the_schema_and_the_cookbook() {
    let (path, page) = (root(PAGE), page());
    if std::env::var_os("WRIT_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == page,
        "the page says something else: WRIT_WRITE_DOCS=1 cargo test --test it cookbook:: writes it anew"
    );
}

#[test]
fn every_example_of_the_vocabulary_is_a_condition_that_fits_the_schema() {
    let schema = schema();
    let mut seen = 0;
    let mut fits = |head: &str, attributes: &Value| {
        for (name, attribute) in attributes.as_object().unwrap() {
            let cedar = format!("permit({head}) when {{ {} }};", note(attribute, "example").unwrap());
            assert_eq!(check(name, &cedar), Ok(()), "{cedar}");
            seen += 1;
        }
    };
    for (entity, resource) in [
        ("Client", "resource"),
        ("User", "resource"),
        ("Scope", "resource is Scope"),
        ("Connection", "resource is Connection"),
    ] {
        fits(&format!("principal, action, {resource}"), &schema["entityTypes"][entity]["shape"]["attributes"]);
    }
    fits("principal, action, resource", &schema["commonTypes"]["Circumstance"]["attributes"]);
    assert!(seen > 25, "{seen}");
}
