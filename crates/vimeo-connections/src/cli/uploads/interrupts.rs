//! Ctrl-C and SIGTERM: the first one ends the command gracefully, the second one immediately.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exit;

/// The exit status that shells expect after SIGINT.
const EXIT_INTERRUPTED: u8 = 130;
const EXIT_TERMINATED: u8 = 143;

/// Listens for signals until dropped.
pub(in crate::cli) struct Interrupts {
    pub(in crate::cli) stopping: CancellationToken,
    code: Arc<AtomicU8>,
    _listener: JoinSet<()>,
}

impl Interrupts {
    pub(in crate::cli) fn listen() -> io::Result<Self> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (stopping, code) = (CancellationToken::new(), Arc::new(AtomicU8::new(EXIT_INTERRUPTED)));
        let mut listener = JoinSet::new();
        let (token, number) = (stopping.clone(), code.clone());
        listener.spawn(async move {
            loop {
                let code = tokio::select! {
                    _ = interrupt.recv() => EXIT_INTERRUPTED,
                    _ = terminate.recv() => EXIT_TERMINATED,
                };
                if token.is_cancelled() {
                    exit::now(code);
                }
                number.store(code, Ordering::Relaxed);
                token.cancel();
            }
        });
        Ok(Self { stopping, code, _listener: listener })
    }

    /// The exit status after an interruption.
    pub(in crate::cli) fn code(&self) -> u8 {
        self.code.load(Ordering::Relaxed)
    }
}
