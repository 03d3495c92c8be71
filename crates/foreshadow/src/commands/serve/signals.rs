//! What the system tells the server.

use std::future::Future;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::notify;

/// Completes at SIGINT or SIGTERM. They are heeded from this call on, not from the first wait: one
/// that comes while the server starts ends it in order too.
pub(super) fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            tracing::error!("signals cannot be waited for; end the server with kill -9");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Reads the configuration again at each SIGHUP; what is at fault in it leaves things as they are.
pub(super) async fn reload_signals(mut reload: impl FnMut() -> anyhow::Result<()>) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        tracing::error!(
            "SIGHUP cannot be waited for; restart the server to read its configuration"
        );
        return;
    };
    while hangups.recv().await.is_some() {
        let began = NotifyState::monotonic_usec_now();
        notify(&began.map_or_else(
            |_| vec![NotifyState::Reloading],
            |began| vec![NotifyState::Reloading, began],
        ));
        // It reads files, and maybe a key set from afar.
        match tokio::task::block_in_place(&mut reload) {
            Ok(()) => tracing::info!("tokens, keys and certificates were read again"),
            Err(error) => tracing::error!("the configuration was not taken up: {error:#}"),
        }
        notify(&[NotifyState::Ready]);
    }
}
