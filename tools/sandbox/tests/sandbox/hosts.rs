//! A sandbox on loopback answers under names of this machine only, on every route.

use crate::harness::{Desk, Reply, exchange};

async fn ask(desk: &Desk, path: &str, host: &str) -> u16 {
    let token = &desk.running.access_token;
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: bearer {token}\r\nConnection: close\r\n\r\n"
    );
    Reply::read(&exchange(desk.running.addr, text.as_bytes()).await.unwrap()).status
}

#[tokio::test]
async fn the_api_and_the_upload_links_refuse_the_name_of_another_site() {
    let desk = Desk::open().await;
    let port = desk.running.addr.port();
    for path in
        ["/me", "/oauth/verify", "/files/tus/0123", "/files/form/0123", "/nothing", "/_sandbox/faults"]
    {
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"] {
            assert_eq!(ask(&desk, path, &format!("{host}:{port}")).await, 403, "{path} {host}");
        }
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            assert_ne!(ask(&desk, path, &format!("{host}:{port}")).await, 403, "{path} {host}");
        }
    }
    assert_eq!(ask(&desk, "/me", &format!("localhost:{port}")).await, 200);
}
