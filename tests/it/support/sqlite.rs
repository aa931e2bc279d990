//! D1's stand-in: SQLite in memory, one transaction a batch, with D1's limits. Beside it runs a [`Shadow`], which holds the walls
//! between tenants, and the plan of every statement is looked at once (see [`plans`]).

use super::faults::{Faults, Port};
use super::plans;
use super::shadow::Shadow;
use rusqlite::backup::Backup;
use rusqlite::types::{Value as Stored, ValueRef};
use rusqlite::{Connection, params_from_iter};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::{LazyLock, Mutex};
use writ::ports::{Db, Outcome, Pending, Row, Sql, Unavailable, Value};

const MAX_PARAMETERS: usize = 100;
const MAX_STATEMENT: usize = 100_000;
const MAX_VALUE: usize = 2_000_000;
const MAX_INTEGER: i64 = 1 << 53;

/// A database with every migration of its folder applied.
pub struct Sqlite {
    connection: RefCell<Connection>,
    shadow: Shadow,
    port: Port,
    faults: Rc<Faults>,
}

impl Sqlite {
    /// The database of truth.
    pub fn new(faults: Rc<Faults>) -> Self {
        Self::of("migrations", Port::Db, faults)
    }

    /// The database of the audit trail.
    pub fn trail(faults: Rc<Faults>) -> Self {
        Self::of("migrations/audit", Port::Trail, faults)
    }

    fn of(folder: &str, port: Port, faults: Rc<Faults>) -> Self {
        Self { connection: RefCell::new(open(folder)), shadow: Shadow::new(folder), port, faults }
    }

    /// Runs text with literals, as an operator does with the command line of D1.
    pub fn execute(&self, sql: &str) {
        self.connection.borrow().execute_batch(sql).unwrap();
        self.shadow.execute(sql);
    }

    /// The rows of a query, without passing the faults or the count.
    pub fn query(&self, sql: &str) -> Vec<Row> {
        run(&self.connection.borrow(), sql, &[]).unwrap().rows
    }

    /// Every row of every table.
    pub fn dump(&self) -> String {
        let tables = self.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
        let names = tables.iter().filter_map(|row| row["name"].as_str());
        let rows = names.flat_map(|name| self.query(&format!("SELECT '{name}' AS \"table\", * FROM \"{name}\"")));
        rows.map(|row| serde_json::to_string(&row).unwrap() + "\n").collect()
    }
}

/// The migrations in their order.
fn migrations(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

impl Db for Sqlite {
    fn batch(&self, statements: Vec<Sql>) -> Pending<'_, Result<Vec<Outcome>, Unavailable>> {
        let text = statements.iter().map(|one| one.text).collect::<Vec<_>>().join("; ");
        Box::pin(async move { self.faults.pass(self.port, text, || self.transaction(&statements)).await? })
    }
}

impl Sqlite {
    fn transaction(&self, statements: &[Sql]) -> Result<Vec<Outcome>, Unavailable> {
        let mut connection = self.connection.borrow_mut();
        statements.iter().for_each(|one| plans::look(&connection, one.text));
        let outcomes = transaction(&mut connection, statements);
        self.shadow.mirror(statements, &outcomes);
        match outcomes {
            Ok(outcomes) => {
                for staged in statements.iter().filter(|one| one.text.contains("INTO outbox")) {
                    if let Some(Value::Text(id)) = staged.args.first() {
                        self.faults.record(id);
                    }
                }
                Ok(outcomes)
            }
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == rusqlite::ErrorCode::ConstraintViolation => {
                Err(Unavailable("D1: a constraint"))
            }
            Err(error) => panic!("a statement that D1 would refuse: {error}"),
        }
    }
}

/// Databases that were made once, by folder of migrations and whose they are: the others are copies of them.
static TEMPLATES: LazyLock<Mutex<HashMap<(String, &str), Connection>>> = LazyLock::new(Mutex::default);

/// A database in memory with the migrations of a folder.
pub fn open(folder: &str) -> Connection {
    copy(folder, "plain", |_| {})
}

/// A copy of a database with the migrations of a folder, to which `finish` was done once.
pub fn copy(folder: &str, name: &'static str, finish: impl FnOnce(&Connection)) -> Connection {
    let mut templates = TEMPLATES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let template = templates.entry((folder.to_owned(), name)).or_insert_with(|| {
        let made = Connection::open_in_memory().unwrap();
        migrations(folder).iter().for_each(|migration| made.execute_batch(migration).unwrap());
        finish(&made);
        made
    });
    let mut connection = Connection::open_in_memory().unwrap();
    Backup::new(template, &mut connection).unwrap().step(-1).unwrap();
    connection.set_prepared_statement_cache_capacity(256);
    connection
}

/// Runs all statements or, if one fails, none.
pub fn transaction(connection: &mut Connection, statements: &[Sql]) -> rusqlite::Result<Vec<Outcome>> {
    let transaction = connection.transaction()?;
    let outcomes = statements.iter().map(|one| run(&transaction, one.text, &one.args)).collect::<Result<_, _>>()?;
    transaction.commit()?;
    Ok(outcomes)
}

fn run(connection: &Connection, text: &str, args: &[Value]) -> rusqlite::Result<Outcome> {
    assert!(args.len() <= MAX_PARAMETERS && text.len() <= MAX_STATEMENT, "more than D1 takes: {text}");
    let mut statement = connection.prepare_cached(text)?;
    let values = params_from_iter(args.iter().map(bind));
    if statement.column_count() == 0 {
        let changes = statement.execute(values)?;
        return Ok(Outcome { rows: Vec::new(), changes: changes as u64 });
    }
    let names: Vec<String> = statement.column_names().iter().map(ToString::to_string).collect();
    let rows = statement.query_map(values, |row| {
        names.iter().enumerate().map(|(n, name)| Ok((name.clone(), json(row.get_ref(n)?)))).collect()
    })?;
    Ok(Outcome { rows: rows.collect::<Result<_, _>>()?, changes: 0 })
}

fn bind(value: &Value) -> Stored {
    match value {
        Value::Null => Stored::Null,
        Value::Int(number) => {
            assert!(number.abs() <= MAX_INTEGER, "D1 carries integers as doubles: {number}");
            Stored::Integer(*number)
        }
        Value::Text(text) => {
            assert!(text.len() <= MAX_VALUE, "D1 takes no text of {} bytes", text.len());
            Stored::Text(text.clone())
        }
    }
}

fn json(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Text(text) => std::str::from_utf8(text).unwrap().into(),
        ValueRef::Real(_) | ValueRef::Blob(_) => panic!("our tables have neither reals nor blobs"),
    }
}
