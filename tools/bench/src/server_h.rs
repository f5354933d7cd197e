//! The smallest server there is: one constant answer. Runs as a process of its own, as the service does.

use std::io::{self, Write as _};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::trouble::Trouble;

const BODY: &str = r#"{"status":"ok"}"#;

/// Serves until it is killed. Prints its address first.
pub(crate) async fn serve() -> Result<(), Trouble> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let router = Router::new().route("/", get(async || ([(CONTENT_TYPE, "application/json")], BODY)));
    axum::serve(listener, router).await?;
    Ok(())
}
