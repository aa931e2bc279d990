//! The command line tool: what an operator needs before there is an admin client.
//!
//! It prints; it changes nothing itself.

use crate::crypto::b64;
use crate::model::id::is_slug;
use crate::model::tenant::issuer;
use crate::model::{Client, ClientMetadata, StoredSecret};
use crate::oauth::ResourceUri;
use crate::ports::{Entropy, Now, Sql, Value};
use crate::store;
use clap::{Parser, Subcommand};
use serde_json::json;

/// Writ's command line tool.
#[derive(Parser)]
#[command(version, about, long_about = None)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the SQL that registers an admin client, and its credentials, as one line of JSON
    Init {
        /// Scheme and authority of the deployment, e.g. `https://id.example.com`
        #[arg(long)]
        origin: String,
        /// The tenant whose admin client it is
        #[arg(long, default_value = "main")]
        tenant: String,
    },
    /// Print a fresh key-encryption key, for `SIGNING_KEK` or `VAULT_KEK`
    Kek {
        /// Its version; raise it when you rotate
        #[arg(long, default_value_t = 1)]
        version: u32,
    },
}

/// Runs a command and gives what it prints.
pub fn run(cli: Cli, now: Now, entropy: &dyn Entropy) -> Result<String, String> {
    match cli.command {
        Command::Init { origin, tenant } => init(&origin, &tenant, now, entropy),
        Command::Kek { version } => {
            let mut key = [0; 32];
            entropy.fill(&mut key);
            Ok(format!("{version}:{}", b64(key)))
        }
    }
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
    let statements =
        [store::clients::insert(tenant, &client, metadata), store::clients::insert_secret(tenant, &client.id, &stored)];
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
