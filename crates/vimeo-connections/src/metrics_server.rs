//! Serves the metrics on their own listener.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use app::{App, Counts};
use metrics::{BuildInfo, PointInTime, WriteQueue};
use web::{ClientAddress, Live, MetricsPage};

use crate::certificates::Tls;
use crate::config::ListenerConfig;
use crate::listener::{self, Guard};

/// Connections of the listener: enough for some servers that read metrics.
const CONNECTIONS_MAX: usize = 32;
/// How long a client may stop reading.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The options of the listener.
pub(crate) fn listener_config() -> ListenerConfig {
    ListenerConfig {
        max_connections: CONNECTIONS_MAX,
        max_connections_per_peer: CONNECTIONS_MAX,
        write_timeout: WRITE_TIMEOUT,
    }
}

/// Serves until it is dropped. `queue` is the capacity of the queue of writes.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, tls: Option<Tls>, queue: usize) {
    metrics::start();
    let page = MetricsPage::from_fn(move || {
        let (app, tls) = (app.clone(), tls.clone());
        Box::pin(async move {
            let (jobs, not_healthy) =
                app.measure().await.map(|Counts { jobs, not_healthy }| (jobs, not_healthy)).unzip();
            metrics::render(&PointInTime {
                build: Some(BuildInfo { version: env!("CARGO_PKG_VERSION"), commit: env!("SOURCE_COMMIT") }),
                certificate_not_after: tls.map(|tls| tls.validity().not_after.as_micros() / 1_000_000),
                write_queue: Some(WriteQueue { length: app.queued_writes(), capacity: queue }),
                jobs,
                not_healthy,
            })
        })
    });
    if let Err(error) = serve_page(listener, page).await {
        tracing::error!(%error, "metrics are not served any more");
    }
}

async fn serve_page(listener: TcpListener, page: MetricsPage) -> io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "serving metrics");
    let guard = Guard::new(&listener_config(), Live::new(ClientAddress::Peer), 0);
    let services = guard.admit(web::make_metrics_service(page));
    listener::limit(axum_server::from_tcp(listener)?.acceptor(guard)).serve(services).await
}
