//! A sandbox on loopback responds only to names of this machine, on every route.

use crate::support::test_sandbox::{Reply, TestSandbox, exchange};

async fn request(sandbox: &TestSandbox, path: &str, host: &str) -> u16 {
    let token = &sandbox.running.access_token;
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: bearer {token}\r\nConnection: close\r\n\r\n"
    );
    Reply::read(&exchange(sandbox.running.addr, text.as_bytes()).await.unwrap()).status
}

#[tokio::test]
async fn the_api_and_upload_links_reject_the_host_of_another_site() {
    let sandbox = TestSandbox::open().await;
    let port = sandbox.running.addr.port();
    for path in
        ["/me", "/oauth/verify", "/files/tus/0123", "/files/form/0123", "/nothing", "/_sandbox/faults"]
    {
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"] {
            assert_eq!(request(&sandbox, path, &format!("{host}:{port}")).await, 403, "{path} {host}");
        }
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            assert_ne!(request(&sandbox, path, &format!("{host}:{port}")).await, 403, "{path} {host}");
        }
    }
    assert_eq!(request(&sandbox, "/me", &format!("localhost:{port}")).await, 200);
}
