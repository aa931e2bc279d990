//! Running statements: one transaction a call, outcomes read by the statements themselves.

use crate::error::{Fault, Result};
use crate::ports::{Db, Outcome, Sql};
use crate::store::{Query, Statement};

/// A database port, as verbs use it.
#[derive(Clone, Copy)]
pub struct Database<'a>(pub &'a dyn Db);

impl Database<'_> {
    /// The rows of a query.
    pub async fn all<T>(self, query: Query<T>) -> Result<Vec<T>> {
        let (sql, read) = query.parts();
        let outcomes = self.outcomes(vec![sql]).await?;
        outcomes.first().map_or_else(|| Ok(Vec::new()), |outcome| Query::output(read, outcome))
    }

    /// The first row of a query, if it has one.
    pub async fn one<T>(self, query: Query<T>) -> Result<Option<T>> {
        Ok(self.all(query).await?.into_iter().next())
    }

    /// Runs statements that answer no rows, in one transaction; answers how many rows each changed.
    pub async fn run(self, statements: Vec<Sql>) -> Result<Vec<u64>> {
        Ok(self.outcomes(statements).await?.iter().map(|outcome| outcome.changes).collect())
    }

    /// Runs statements that answer no rows and then a query, in one transaction: how many rows each has changed, and the rows of the query.
    pub async fn run_then<T>(self, mut statements: Vec<Sql>, query: Query<T>) -> Result<(Vec<u64>, Vec<T>)> {
        let (sql, read) = query.parts();
        statements.push(sql);
        let outcomes = self.outcomes(statements).await?;
        let rows = outcomes.last().map_or_else(|| Ok(Vec::new()), |outcome| Query::output(read, outcome))?;
        Ok((outcomes.iter().map(|outcome| outcome.changes).collect(), rows))
    }

    /// Runs a tuple of statements in one transaction and reads each outcome as its statement says.
    pub async fn batch<B: Batch>(self, batch: B) -> Result<B::Output> {
        let (statements, readers) = batch.parts();
        let outcomes = self.outcomes(statements).await?;
        B::output(readers, &outcomes)
    }

    async fn outcomes(self, statements: Vec<Sql>) -> Result<Vec<Outcome>> {
        let count = statements.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let outcomes = self.0.batch(statements).await?;
        match outcomes.len() == count {
            true => Ok(outcomes),
            false => Err(miscounted().into()),
        }
    }
}

const fn miscounted() -> Fault {
    Fault::Broken("the database answered another number of statements")
}

/// A tuple of [`Statement`]s for one transaction.
pub trait Batch {
    /// What the outcomes are read as.
    type Output;
    /// What reads them.
    type Readers;
    /// The statements, and what reads their outcomes.
    fn parts(self) -> (Vec<Sql>, Self::Readers);
    /// Reads the outcomes.
    fn output(readers: Self::Readers, outcomes: &[Outcome]) -> Result<Self::Output>;
}

macro_rules! batches {
    ($(($($part:ident $reader:ident $outcome:ident),+);)+) => {$(
        impl<$($part: Statement),+> Batch for ($($part,)+) {
            type Output = ($($part::Output,)+);
            type Readers = ($($part::Reader,)+);

            #[expect(non_snake_case, reason = "a part is called as its type")]
            fn parts(self) -> (Vec<Sql>, Self::Readers) {
                let ($($part,)+) = self;
                let ($($part,)+) = ($($part.parts(),)+);
                (vec![$($part.0),+], ($($part.1,)+))
            }

            fn output(($($reader,)+): Self::Readers, outcomes: &[Outcome]) -> Result<Self::Output> {
                let [$($outcome),+] = outcomes else { return Err(miscounted().into()) };
                Ok(($($part::output($reader, $outcome)?,)+))
            }
        }
    )+};
}

batches! {
    (A a x, B b y);
    (A a x, B b y, C c z);
    (A a w, B b x, C c y, D d z);
}
