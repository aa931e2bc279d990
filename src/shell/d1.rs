//! D1 as the [`Db`] port. No replica session is ever opened: every statement runs on the primary.

use crate::ports::{Db, Outcome, Pending, Sql, Unavailable, Value};
use wasm_bindgen::JsValue;
use worker::{D1PreparedStatement, D1Result, Env, console_error};

/// A D1 database by its binding.
pub struct D1 {
    /// The environment.
    pub env: Env,
    /// The binding: `DB`, or `AUDIT_DB`.
    pub binding: &'static str,
}

impl Db for D1 {
    fn batch(&self, statements: Vec<Sql>) -> Pending<'_, Result<Vec<Outcome>, Unavailable>> {
        Box::pin(async move {
            if statements.is_empty() {
                return Ok(Vec::new());
            }
            self.run(&statements).await.map_err(|error| {
                // D1's messages name columns and constraints, never bound values.
                console_error!("d1: {error}");
                Unavailable("the database")
            })
        })
    }
}

impl D1 {
    async fn run(&self, statements: &[Sql]) -> worker::Result<Vec<Outcome>> {
        let db = self.env.d1(self.binding)?;
        let prepared = statements
            .iter()
            .map(|sql| {
                let values: Vec<JsValue> = sql.args.iter().map(bound).collect();
                db.prepare(sql.text).bind(&values)
            })
            .collect::<worker::Result<Vec<D1PreparedStatement>>>()?;
        db.batch(prepared).await?.iter().map(outcome).collect()
    }
}

fn bound(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        // D1 has no 64-bit integers; every number that is stored here is below 2^53.
        Value::Int(number) => JsValue::from_f64(*number as f64),
        Value::Text(text) => JsValue::from_str(text),
    }
}

fn outcome(result: &D1Result) -> worker::Result<Outcome> {
    let changes = result.meta()?.and_then(|meta| meta.changes).unwrap_or(0);
    Ok(Outcome { rows: result.results()?, changes: changes as u64 })
}
