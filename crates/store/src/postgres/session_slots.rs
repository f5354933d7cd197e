//! Slots for sessions: each session is opened when it is first needed, and opened again whenever it is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::connector::{Connector, Purpose};
use super::sessions::Session;
use crate::Error;
use crate::error::in_full;

/// The first pause between two attempts to connect; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One session, which is opened at the first demand and kept open from then on.
pub(super) struct SessionSlot {
    state: watch::Receiver<SlotState>,
    demand: Arc<Notify>,
    /// How long a request waits for a session that is being opened before it fails.
    timeout: Duration,
}

#[derive(Clone, Default)]
struct SlotState {
    session: Option<Arc<Session>>,
    /// Why the last attempt to connect failed.
    cause: Option<String>,
}

impl SlotState {
    /// The session, if it is open.
    fn usable(&self) -> Option<Arc<Session>> {
        self.session.as_ref().filter(|session| !session.has_ended()).cloned()
    }
}

impl SessionSlot {
    pub(super) fn new(connector: &Arc<Connector>, purpose: Purpose) -> Self {
        let (sender, state) = watch::channel(SlotState::default());
        let demand = Arc::new(Notify::new());
        connector.tasks.spawn(keep_open(connector.clone(), purpose, sender, demand.clone()));
        Self { state, demand, timeout: connector.timeout() }
    }

    /// Has the session opened, if it is not open.
    pub(super) fn demand(&self) {
        self.demand.notify_one();
    }

    /// The session. Waits while it is being opened.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.state.borrow().usable() {
            return Ok(session);
        }
        self.demand();
        let mut state = self.state.clone();
        // After a failed attempt, callers fail at once instead of waiting for the next one.
        let settled = state.wait_for(|state| state.usable().is_some() || state.cause.is_some());
        let settled = match tokio::time::timeout(self.timeout, settled).await {
            Ok(Ok(settled)) => settled.clone(),
            Ok(Err(_)) => return Err(Error::Unavailable("the store is closed".into())),
            Err(_) => SlotState::default(),
        };
        settled.session.ok_or_else(|| {
            let cause = settled.cause.unwrap_or_else(|| "the server does not answer".to_owned());
            Error::Unavailable(cause.into())
        })
    }
}

/// Keeps the session open, from the first demand on.
async fn keep_open(
    connector: Arc<Connector>,
    purpose: Purpose,
    slot: watch::Sender<SlotState>,
    demand: Arc<Notify>,
) {
    let closing = connector.closing.clone();
    let keeping = async {
        demand.notified().await;
        let mut pause = FIRST_PAUSE;
        loop {
            match connector.connect(purpose).await {
                Ok(session) => {
                    if pause > FIRST_PAUSE {
                        tracing::info!("the database answers again");
                    }
                    pause = FIRST_PAUSE;
                    slot.send_replace(SlotState { session: Some(session.clone()), cause: None });
                    // Statements that run meanwhile keep the session open until they are done.
                    session.ended().await;
                    slot.send_replace(SlotState::default());
                }
                Err(error) => {
                    let cause = in_full(&*error);
                    if pause == FIRST_PAUSE {
                        tracing::warn!(cause, "the database cannot be reached; retrying");
                    }
                    slot.send_replace(SlotState { session: None, cause: Some(cause) });
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    };
    tokio::select! {
        () = keeping => {}
        () = closing.cancelled() => {}
    }
}
