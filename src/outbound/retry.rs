//! What is tried until it is taken: signals and messages of webhooks wait in D1, and each attempt is claimed there.
//!
//! 1. Of two isolates that send at once one claims each attempt. Should the receiver have taken it without our hearing so, it comes again under the
//!    same name.
//! 2. The claim says when the next attempt is: an isolate that ends meanwhile loses none.

use crate::context::Cx;
use crate::error::Result;
use crate::ports::{Pending, Sql};
use std::cell::RefCell;
use std::future::poll_fn;
use std::task::Poll;

/// How long after the first attempt the second one is; the pause doubles, up to an hour.
const PAUSE_SECONDS: i64 = 60;
const LONGEST_PAUSE_SECONDS: i64 = 3_600;

/// How long the next attempt waits after so many.
pub fn pause(attempts: i64) -> i64 {
    let doubled = u32::try_from(attempts).ok().and_then(|n| PAUSE_SECONDS.checked_shl(n.min(10)));
    doubled.unwrap_or(LONGEST_PAUSE_SECONDS).min(LONGEST_PAUSE_SECONDS)
}

/// Claims what is due, and sends what was claimed, all at once: each with its outcome.
pub async fn attempt<T, O>(
    cx: &Cx<'_>,
    due: Vec<T>,
    claim: impl Fn(&T) -> Sql,
    send: impl AsyncFn(&T) -> O,
) -> Result<Vec<(T, O)>> {
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let claimed = cx.run(due.iter().map(claim).collect()).await?;
    let outcomes = RefCell::new(Vec::new());
    let mine = due.into_iter().zip(claimed).filter(|(_, rows)| *rows > 0).map(|(one, _)| one);
    let attempts = mine.map(|one| {
        let attempt: Pending<'_, ()> = Box::pin(async {
            let outcome = send(&one).await;
            outcomes.borrow_mut().push((one, outcome));
        });
        attempt
    });
    all(attempts.collect()).await;
    Ok(outcomes.into_inner())
}

/// Drives futures until all are done.
pub async fn all(mut futures: Vec<Pending<'_, ()>>) {
    poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_PAUSE_SECONDS, pause};

    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        assert_eq!([0, 1, 2, 5, 6, 60, i64::MAX].map(pause), [60, 120, 240, 1920, 3600, 3600, LONGEST_PAUSE_SECONDS]);
    }
}
