//! What is checked before the start.

use std::fs;

use crate::support::harness::{TestEnv, printed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_check_reads_the_secret_and_does_not_ask_the_provider() {
    let env = TestEnv::without_verification("").await;
    let file = env.path().join("vimeo-connections.toml");
    let config = fs::read_to_string(&file).unwrap();
    // Port 1 refuses every connection.
    let oidc = "oidc.issuer = \"http://127.0.0.1:1\"\noidc.client_id = \"c\"\noidc.client_secret_file = \"secret\"\n\
                oidc.account = \"acme\"\noidc.default_role = \"member\"\n";
    fs::write(file, format!("{config}{oidc}")).unwrap();
    let check = || env.cli(&["config", "check", "--beside-running"], "");
    for (content, expected) in [(None, "cannot be read"), (Some(" \n"), "is empty")] {
        if let Some(content) = content {
            fs::write(env.path().join("secret"), content).unwrap();
        }
        let output = check();
        assert_eq!(output.status.code(), Some(78), "{}", printed(&output));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("oidc.client_secret_file") && errors.contains(expected), "{errors}");
    }
    fs::write(env.path().join("secret"), "a-secret").unwrap();
    let output = check();
    assert!(output.status.success(), "{}", printed(&output));
    assert!(!printed(&output).contains("a-secret"));
}
