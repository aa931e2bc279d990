//! What the token endpoint reads of a form is what the document says: a wrong value of a listed parameter is refused, and one of a
//! parameter that the grant does not read changes nothing.

use crate::routes::chain::{ACCESS_TOKEN, Chain, EXCHANGE, JWT_BEARER, TASKS};
use crate::support::hub::RESOURCE;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use writ::grants;

/// The parameters of a token request, and the description of each, as the document has them.
fn documented(chain: &Chain) -> Vec<(String, String)> {
    let document = chain.hub.call("GET", "/openapi.json").send().expect(200).json();
    let body = &document["paths"]["/t/{tenant}/token"]["post"]["requestBody"]["content"];
    let schema = &body["application/x-www-form-urlencoded"]["schema"];
    assert_eq!((schema.get("additionalProperties"), &schema["required"]), (None, &json!(["grant_type"])));
    let text = |schema: &Value| schema["description"].as_str().unwrap_or_default().to_owned();
    schema["properties"].as_object().unwrap().iter().map(|(name, schema)| (name.clone(), text(schema))).collect()
}

/// A form with which each grant gives the worker a token.
fn good(chain: &Chain, grant: &str) -> Vec<(&'static str, String)> {
    let mut form = match grant {
        "client_credentials" => vec![],
        JWT_BEARER => vec![("assertion", chain.assertion(json!({})))],
        EXCHANGE => vec![
            ("subject_token", chain.user_token(&chain.planner, TASKS, "mcp:read")),
            ("subject_token_type", ACCESS_TOKEN.to_owned()),
            ("actor_token", chain.own_token(&chain.worker, RESOURCE)),
            ("actor_token_type", ACCESS_TOKEN.to_owned()),
        ],
        people => chain.form_of_people(people),
    };
    form.push(("resource", RESOURCE.to_owned()));
    form
}

fn status(chain: &Chain, grant: &str, form: &[(&'static str, String)]) -> u16 {
    let own = [("grant_type", grant)];
    let form: Vec<_> = own.into_iter().chain(form.iter().map(|(name, value)| (*name, value.as_str()))).collect();
    chain.post(&chain.worker, &form).send().status
}

#[test]
fn a_grant_reads_the_parameters_that_the_document_lists_for_it_and_leaves_all_others_aside() {
    let chain = Chain::new();
    chain.may_ask_people();
    let reads = grants::parameters();
    for grant in grants::grant_types() {
        let base = good(&chain, grant);
        assert_eq!(status(&chain, grant, &base), 200, "{grant}");
        for (name, readers) in &reads {
            let mut form = good(&chain, grant);
            form.retain(|(other, _)| other != name);
            form.push((name, "https://wrong.example/".to_owned()));
            let status = status(&chain, grant, &form);
            // Of an exchange, a lease alone reads them (`routes::leases`).
            let reads = readers.contains(&grant) && !["tool", "account"].contains(name);
            assert_eq!(status == 400, reads, "{grant}: {name}: {status}");
        }
        let mut form = good(&chain, grant);
        form.push(("colour", "red".to_owned()));
        assert_eq!(status(&chain, grant, &form), 200, "{grant}: what nobody reads");
    }
}

#[test]
fn the_document_lists_what_is_read_and_says_by_which_grants() {
    let chain = Chain::new();
    let documented = documented(&chain);
    let names: BTreeSet<&str> = documented.iter().map(|(name, _)| name.as_str()).collect();
    let own = ["grant_type", "dpop_jkt", "client_id", "client_secret", "client_assertion_type", "client_assertion"];
    let reads = grants::parameters();
    assert_eq!(names, own.into_iter().chain(reads.keys().copied()).collect());
    for (name, text) in &documented {
        for grant in grants::grant_types() {
            let reads = reads.get(name.as_str()).is_some_and(|readers| readers.contains(&grant));
            assert_eq!(text.contains(grant), reads, "{name}: {text}");
        }
    }
    // What the endpoint reads itself, whichever grant is asked for.
    for name in own {
        let wrong = [("grant_type", "client_credentials"), (name, "wrong")];
        let form: Vec<_> = wrong.into_iter().filter(|(other, value)| *other != name || *value == "wrong").collect();
        let form: Vec<_> = form.into_iter().chain([("resource", RESOURCE)]).collect();
        let reply = chain.post(&chain.worker, &form).send();
        assert!(matches!(reply.status, 400 | 401), "{name}: {reply:?}");
    }
}
