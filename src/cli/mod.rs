//! The command line tool: what an operator needs before there is an admin client.
//!
//! It prints; it changes nothing itself. It runs natively (`src/bin/writ.rs`) and on Node, over the Worker's own WebAssembly. The command
//! [`verify`] is apart from the others: it reads files, and signatures are a port.

pub mod verify;

use crate::crypto::b64;
use crate::model::id::is_slug;
use crate::model::tenant::issuer;
use crate::model::{Client, ClientMetadata, StoredSecret};
use crate::oauth::ResourceUri;
use crate::ports::{Entropy, Now, Sql, Value};
use crate::store;
use serde_json::json;

const USAGE: &str = "Writ's command line tool

  writ init --origin ORIGIN [--tenant TENANT]   print the SQL that registers an admin client, and its credentials, as one line of JSON
  writ kek [--version VERSION]                  print a fresh key-encryption key, for SIGNING_KEK or VAULT_KEK
  writ verify PROOF --key KEY                   check the proof of an event offline, and show what it says: writ verify --help
  writ replay CHANGES --url URL                 try changes of policies on what was decided in the last days: writ replay --help

  --origin    scheme and authority of the deployment, such as https://id.example.com
  --tenant    the tenant whose admin client it is (main)
  --version   the version of the key: raise it when you rotate (1)";

/// Runs a command, given as its words, and gives what it prints.
pub fn run(words: &[String], now: Now, entropy: &dyn Entropy) -> Result<String, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["verify", "--help" | "-h"] => Ok(verify::USAGE.to_owned()),
        [] | ["help" | "--help" | "-h", ..] | [_, "--help" | "-h", ..] => Ok(USAGE.to_owned()),
        ["--version" | "-V"] => Ok(concat!("writ ", env!("CARGO_PKG_VERSION")).to_owned()),
        ["init", options @ ..] => {
            let [origin, tenant] = parse(options, ["--origin", "--tenant"])?;
            init(origin.ok_or("`--origin` is missing")?, tenant.unwrap_or("main"), now, entropy)
        }
        ["kek", options @ ..] => {
            let [version] = parse(options, ["--version"])?;
            let version: u32 = version.unwrap_or("1").parse().map_err(|_| "`--version` must be a whole number")?;
            let mut key = [0; 32];
            entropy.fill(&mut key);
            Ok(format!("{version}:{}", b64(key)))
        }
        ["replay", ..] => Err("`replay` calls a server, so it runs on Node: scripts/writ replay".to_owned()),
        [other, ..] => Err(format!("there is no command `{other}`\n\n{USAGE}")),
    }
}

/// The values of the options with these names, each given as `--name VALUE` or `--name=VALUE`.
fn parse<'a, const N: usize>(words: &[&'a str], names: [&str; N]) -> Result<[Option<&'a str>; N], String> {
    let mut values = [None; N];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((*word, None), |(name, value)| (name, Some(value)));
        let known = names.iter().zip(&mut values).find(|(known, _)| **known == name);
        let (_, slot) = known.ok_or_else(|| format!("there is no option `{name}`\n\n{USAGE}"))?;
        let value = value.or_else(|| words.next().copied());
        *slot = Some(value.ok_or_else(|| format!("`{name}` needs a value"))?);
    }
    Ok(values)
}

fn init(origin: &str, tenant: &str, now: Now, entropy: &dyn Entropy) -> Result<String, String> {
    let origin = origin.trim_end_matches('/');
    if !is_slug(tenant) {
        return Err("`--tenant` must be of a-z, 0-9, `-`, `_`, `.`".to_owned());
    }
    let admin = ResourceUri::parse(&format!("{}/admin", issuer(origin, tenant)))
        .ok_or("`--origin` must be scheme and authority, such as https://id.example.com")?;
    let client = Client::new(ClientMetadata::first_admin(admin), now, entropy);
    let (stored, secret) = StoredSecret::mint(now, None, entropy);
    let metadata = serde_json::to_string(&client.metadata).map_err(|error| error.to_string())?;
    let statements = [
        store::clients::insert(tenant, &client, metadata, None),
        store::clients::insert_secret(tenant, &client.id, &stored),
    ];
    let sql: Vec<String> = statements.iter().map(inline).collect();
    Ok(json!({"client_id": client.id, "client_secret": secret.expose(), "sql": sql.join(" ")}).to_string())
}

/// A statement as text, for a tool that takes no bound values. Longer placeholders first, so that `?1` spares `?10`.
fn inline(sql: &Sql) -> String {
    let mut text = sql.text.to_owned();
    for (index, value) in sql.args.iter().enumerate().rev() {
        let literal = match value {
            Value::Null => "NULL".to_owned(),
            Value::Int(number) => number.to_string(),
            Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        };
        text = text.replace(&format!("?{}", index.saturating_add(1)), &literal);
    }
    text + ";"
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zeros;
    impl Entropy for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    fn writ(line: &str) -> Result<String, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        run(&words, Now::from_millis(1_790_000_000_000), &Zeros)
    }

    #[test]
    fn an_option_is_given_in_two_ways_or_left_to_its_default() {
        let main = writ("init --origin https://id.example.com").unwrap();
        assert_eq!(writ("init --tenant=main --origin=https://id.example.com/").unwrap(), main);
        assert!(writ("kek").unwrap().starts_with("1:AAAA"));
        assert!(writ("kek --version 2").unwrap().starts_with("2:AAAA"));
    }

    #[test]
    fn the_sql_of_the_first_admin_has_no_placeholder_left_and_no_secret() {
        let printed: serde_json::Value =
            serde_json::from_str(&writ("init --origin https://id.example.com --tenant t2").unwrap()).unwrap();
        let sql = printed["sql"].as_str().unwrap();
        assert!(!sql.contains('?'), "{sql}");
        assert!(sql.contains(printed["client_id"].as_str().unwrap()), "{sql}");
        assert!(!sql.contains(printed["client_secret"].as_str().unwrap()), "{sql}");
    }

    #[test]
    fn a_wrong_word_is_named() {
        for (line, told) in [
            ("make", "`make`"),
            ("init --origins x", "`--origins`"),
            ("init", "`--origin` is missing"),
            ("init --origin", "`--origin` needs"),
            ("init --origin id.example.com", "scheme and authority"),
            ("init --origin https://id.example.com --tenant A", "`--tenant`"),
            ("kek --version one", "`--version`"),
        ] {
            let problem = writ(line).unwrap_err();
            assert!(problem.contains(told), "{line}: {problem}");
        }
    }

    #[test]
    fn help_names_every_command() {
        for line in ["", "help", "--help", "init --help", "kek -h"] {
            assert!(writ(line).unwrap().contains("writ kek"), "{line}");
        }
    }
}
