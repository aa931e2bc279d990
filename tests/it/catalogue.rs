//! The catalogue: every entry is sound, and docs/catalogue.md is made from it. `WRIT_WRITE_DOCS=1 cargo test --test it catalogue` writes the page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use writ::config::Config;
use writ::vault::service::{self, Service};

fn config() -> Config {
    let keys = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    Config::parse(|name| match name {
        "ORIGIN" => Some("https://id.example".to_owned()),
        "SIGNING_KEK" | "VAULT_KEK" => Some(keys.to_owned()),
        _ => None,
    })
    .unwrap()
}

fn entries() -> Vec<(&'static str, Service)> {
    service::names()
        .map(|name| (name, service::find(&name.into()).unwrap_or_else(|error| panic!("{name}: {error}"))))
        .collect()
}

fn with_examples(service: &Service) -> Service {
    let values: BTreeMap<String, String> =
        service.settings.iter().map(|(name, setting)| (name.clone(), setting.example.clone())).collect();
    service.clone().with_settings(&values).unwrap_or_else(|error| panic!("{}: {error:?}", service.name))
}

#[test]
fn at_least_eighty_services_are_known_each_with_all_that_its_kind_needs() {
    let (config, entries) = (config(), entries());
    assert!(entries.len() >= 80, "{}", entries.len());
    for (name, service) in &entries {
        assert!(!service.name.is_empty() && service.docs.starts_with("https://"), "{name}: name or docs");
        assert!(matches!(service.verified_on.len(), 0 | 10), "{name}: verified_on");
        assert!(service.colour.starts_with('#') && service.colour.len() == 7, "{name}");
        let filled = with_examples(service);
        filled.check_urls(&config).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let text = serde_json::to_string(&(&filled.oauth2, &filled.proxy)).unwrap();
        for setting in service.settings.keys() {
            assert!(!text.contains(&["{", setting, "}"].concat()), "{name}: {setting} is not filled in");
        }
        let oauth2 = service.oauth2.as_ref();
        match service.kind.as_str() {
            "oauth2" => {
                let oauth2 = oauth2.unwrap_or_else(|| panic!("{name}: no oauth2"));
                assert!(!oauth2.authorization_endpoint.is_empty() && !oauth2.token_endpoint.is_empty(), "{name}");
            }
            "oauth2_client_credentials" => {
                assert!(oauth2.is_some_and(|oauth2| !oauth2.token_endpoint.is_empty()), "{name}")
            }
            "api_key" | "basic" => assert!(service.proxy.is_some(), "{name}: no proxy"),
            other => panic!("{name}: {other}"),
        }
        if let Some(proxy) = &service.proxy {
            assert!(!proxy.base_url.ends_with('/'), "{name}: base_url ends with a slash");
        }
        if let Some(check) = &service.check {
            assert!(check.path.starts_with('/') && service.proxy.is_some(), "{name}: check");
        }
    }
}

/// The page, as the data says.
fn page() -> String {
    let mut page = String::from(
        "# The catalogue\n\nEvery service that a connection can name (`\"service\": \"slack\"`). This page is made from `catalogue/*.toml`, whose format \
         is in [catalogue/README.md](../catalogue/README.md). A service that is not here is described in the connection itself \
         ([guide](guides/add-a-service.md)).\n\n\
         *compared on*: the day on which the entry was compared with the published documentation; none has been tried with an account there yet. \
         *refresh*: `stays`: one refresh token for good; `rotates`: each use gives another; `none`: tokens do not expire, or cannot be refreshed.\n\n\
         | service | name | kind | refresh | settings | scopes that people ask for | its documentation | compared on |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, service) in entries() {
        let refresh = match (&service.oauth2, service.kind.as_str()) {
            (Some(oauth2), "oauth2") => serde_json::to_value(oauth2.refresh).unwrap().as_str().unwrap().to_owned(),
            _ => String::new(),
        };
        let list = |all: Vec<String>| all.join(", ");
        let settings = list(service.settings.keys().map(|name| format!("`{name}`")).collect());
        let scopes = list(service.scopes.iter().map(|scope| format!("`{}`", scope.name)).collect());
        writeln!(
            page,
            "| [{}](#{name}) | `{name}` | `{}` | {refresh} | {settings} | {scopes} | [documentation]({}) | {} |",
            service.name,
            service.kind,
            service.docs,
            if service.verified_on.is_empty() { "not yet" } else { &service.verified_on }
        )
        .unwrap();
    }
    page.push_str(
        "\n## Each service\n\nWhat somebody has to know who registers an application or makes a key there; the base URL, which the path of a call and of \
         `allow` follows; and what each of its `settings` is.\n",
    );
    for (name, service) in entries() {
        writeln!(page, "\n### `{name}`\n").unwrap();
        if !service.notes.is_empty() {
            writeln!(page, "{}\n", service.notes).unwrap();
        }
        if let Some(proxy) = &service.proxy {
            writeln!(page, "- base URL: `{}`", proxy.base_url).unwrap();
        }
        for (setting, says) in &service.settings {
            writeln!(page, "- `{setting}`: {}; example: `{}`", says.description, says.example).unwrap();
        }
    }
    page
}

#[test]
fn the_page_of_the_catalogue_is_what_the_data_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/catalogue.md");
    if std::env::var_os("WRIT_WRITE_DOCS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        page(),
        "run WRIT_WRITE_DOCS=1 cargo test --test it catalogue"
    );
}
