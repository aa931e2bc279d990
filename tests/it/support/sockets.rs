//! One end of a WebSocket that says what a script has, each message at its time.

use super::run::Clock;
use futures_util::future::pending;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use writ::ports::{Message, Pending, Socket, Timer};

/// What an end says, and after how many milliseconds; nothing: its connection breaks.
pub type Script = Vec<(u64, Option<Message>)>;

pub struct ScriptedSocket {
    clock: Clock,
    began: u64,
    script: RefCell<VecDeque<(u64, Option<Message>)>>,
    heard: Rc<RefCell<Vec<Message>>>,
    dropped: Rc<Cell<usize>>,
}

impl ScriptedSocket {
    /// `heard` has what it is sent, `dropped` counts the ends that were dropped.
    pub fn new(clock: &Clock, script: Script, heard: &Rc<RefCell<Vec<Message>>>, dropped: &Rc<Cell<usize>>) -> Self {
        let (clock, heard, dropped) = (clock.clone(), heard.clone(), dropped.clone());
        Self { began: clock.now().millis(), script: RefCell::new(script.into()), clock, heard, dropped }
    }
}

impl Socket for ScriptedSocket {
    fn receive(&self) -> Pending<'_, Option<Message>> {
        Box::pin(async {
            let Some(after) = self.script.borrow().front().map(|(after, _)| *after) else { return pending().await };
            let due = self.began + after;
            let now = self.clock.now().millis();
            if due > now {
                self.clock.sleep(due - now).await;
            }
            let (_, message) = self.script.borrow_mut().pop_front().unwrap();
            message
        })
    }

    fn send(&self, message: Message) {
        self.heard.borrow_mut().push(message);
    }
}

impl Drop for ScriptedSocket {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
    }
}
