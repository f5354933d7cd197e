//! A minimal server with one constant response. Runs as a process of its own, like the service.

use std::io::{self, Write as _};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::error::BenchError;

const BODY: &str = r#"{"status":"ok"}"#;

/// Prints its address, then serves until it is killed.
pub(crate) async fn serve() -> Result<(), BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let router = Router::new().route("/", get(async || ([(CONTENT_TYPE, "application/json")], BODY)));
    axum::serve(listener, router).await?;
    Ok(())
}
