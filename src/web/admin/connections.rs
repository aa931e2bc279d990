//! `admin/connections`: how to reach downstream services. A `secret` goes in and never comes out.

use super::aggregate::{self, Aggregate, Named, Shown};
use super::{Page, check_slug, kill};
use crate::context::Cx;
use crate::error::Result;
use crate::model::{Connection, Stoppable};
use crate::store;
use crate::vault::{self, Draft};
use crate::web::schema::objects::STATUS;
use crate::web::schema::{Kind, Member, Object, members, object};
use crate::web::{AdminCall, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

const MAX_KIND: usize = 64;

object!(
    /// What may be shown of a credential.
    CREDENTIAL = "Credential" [members![must "account" Kind::Word, must "created_at" Kind::Time]]
);

const BODY_MEMBERS: &[Member] = members![
    must "kind" Kind::Text(MAX_KIND),
    must "config" Kind::Json,
];

object!(
    /// What a connection is made of, or changed to: as shown, or without what only the server sets.
    BODY = "ConnectionBody" [BODY_MEMBERS, members![
        may "secret" Kind::Json,
        read "name" Kind::Word,
        read "credential" Kind::Object(&CREDENTIAL),
        read "status" STATUS,
        read "created_at" Kind::Time,
        read "updated_at" Kind::Time,
    ]]
);

object!(
    /// A connection.
    CONNECTION = "Connection" [BODY_MEMBERS, members![
        must "name" Kind::Word,
        may "credential" Kind::Object(&CREDENTIAL),
        must "status" STATUS,
        must "created_at" Kind::Time,
        must "updated_at" Kind::Time,
    ]]
);

/// What an administrator says about a connection.
#[derive(Deserialize)]
pub struct ConnectionBody {
    kind: String,
    config: Value,
    #[serde(default)]
    secret: Option<Value>,
}

impl From<ConnectionBody> for Draft {
    fn from(ConnectionBody { kind, config, secret }: ConnectionBody) -> Self {
        Self { kind, config, secret }
    }
}

#[derive(Serialize)]
struct Visible<'a> {
    kind: &'a str,
    config: &'a Value,
}

/// Connections.
pub struct Connections;

impl Aggregate for Connections {
    type Record = Connection;
    type Body = ConnectionBody;

    const PATH: &'static str = "connections";
    const BODY: Object = BODY;
    const FILTERS: &'static [&'static str] = &[];

    fn id(connection: &Connection) -> (&str, i64) {
        (&connection.name, connection.version)
    }

    fn view(_: &Cx<'_>, connection: &Connection) -> Map<String, Value> {
        let mut members = Shown {
            id: ("name", &connection.name),
            body: &Visible { kind: &connection.kind, config: &connection.settings.config },
            status: Some(connection.status),
            created: ("created_at", connection.created_at),
            updated_at: connection.updated_at,
        }
        .members();
        if let Some(pointer) = &connection.credential {
            let credential = json!({"account": connection.settings.account, "created_at": pointer.created_at});
            members.insert("credential".to_owned(), credential);
        }
        members
    }

    async fn find(cx: &Cx<'_>, name: &str) -> Result<Option<Connection>> {
        cx.one(store::connections::get(&cx.tenant.id, name)).await
    }

    async fn list(cx: &Cx<'_>, page: &Page) -> Result<Vec<Connection>> {
        cx.all(store::connections::list(&cx.tenant.id, page.after(), page.rows())).await
    }

    async fn problems(_: &Cx<'_>, _: &ConnectionBody) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn update(call: AdminCall<'_>, present: Connection, body: ConnectionBody) -> Result<Connection> {
        vault::update(call.cx, call.admin, present, body.into()).await
    }

    async fn delete(call: AdminCall<'_>, present: &Connection) -> Result<()> {
        vault::remove(call.cx, call.admin, present).await
    }
}

impl Named for Connections {
    fn check_name(name: &str) -> Result<()> {
        check_slug("name", name)
    }

    async fn create(call: AdminCall<'_>, name: &str, body: ConnectionBody) -> Result<Connection> {
        vault::create(call.cx, call.admin, name, body.into()).await
    }
}

/// Lets a suspended connection go on.
pub async fn resume(call: AdminCall<'_>) -> Result<Response> {
    kill::resume(call, Stoppable::Connection).await?;
    aggregate::get::<Connections>(call).await
}
