//! The keyring with AWS KMS: created through it, waited for, not needed while running, and every state with its message.

use std::fs;

use crate::support::harness::until;
use crate::support::holders::moto::{ENVIRONMENT, Moto, answering, config};
use crate::support::holders::{Instance, error_of};
use crate::support::postgres::Fault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_starting_service_waits_for_kms_and_a_running_one_does_not_need_it() {
    let Some(mut moto) = Moto::start().await else { return };
    let instance = Instance::new(&config(&moto.endpoint(), &moto.key), &ENVIRONMENT);
    let keyring = fs::read_to_string(instance.keyring()).unwrap();
    assert!(keyring.contains("format = 2") && keyring.contains("\"kms:"), "{keyring}");

    moto.proxy.set(Fault::Refuse).await;
    instance.assert_state("refused", (69, "cannot be used now: it cannot be reached"));
    let starting = instance.start();
    until("it waits, more than once", async || instance.waits().len() >= 2).await;
    assert!(!starting.is_finished());
    moto.proxy.set(Fault::Pass).await;
    let service = starting.await.unwrap();
    instance.create(&service, "first").await;

    moto.proxy.set(Fault::Refuse).await;
    moto.proxy.cut();
    instance.create(&service, "second").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_state_of_kms_and_its_key_has_its_message() {
    let Some(mut moto) = Moto::start().await else { return };
    let instance = Instance::new(&config(&moto.endpoint(), &moto.key), &ENVIRONMENT);
    let fine = || instance.assert_state("usable", (0, ""));
    fine();
    moto.proxy.set(Fault::HoldAnswers).await;
    instance.assert_state("no answer", (69, "it did not answer"));
    moto.proxy.set(Fault::Pass).await;

    instance.configure(&config(&moto.endpoint(), "00000000-0000-0000-0000-000000000000"));
    instance.assert_state("another key", (78, "does not exist: check keyring.kms.key and region"));
    // moto decrypts with disabled keys and does not check permissions, so these answers are fixed.
    for (status, code, expected) in [
        (
            400,
            "DisabledException",
            (78, "is disabled: enable it, or cancel its deletion (DisabledException)"),
        ),
        (400, "KMSInvalidStateException", (78, "is disabled")),
        (400, "AccessDeniedException", (77, "refuses access")),
        (400, "ExpiredTokenException", (77, "refuses access")),
        (400, "ThrottlingException", (69, "cannot be used now: it is overloaded")),
        (500, "KMSInternalException", (69, "cannot be used now")),
        (400, "InvalidKeyUsageException", (78, "must be symmetric")),
        (400, "IncorrectKeyException", (78, "cannot decrypt what is in the keyring")),
    ] {
        instance.configure(&config(&format!("http://{}", answering(status, code)), &moto.key));
        instance.assert_state(code, expected);
    }
    instance.configure(&config(&moto.endpoint(), &moto.key));
    fine();

    let without = [("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned())];
    let output = instance.run_with(&without, &["config", "check"]);
    assert_eq!(output.status.code(), Some(78), "{}", error_of(&output));
    assert!(error_of(&output).contains("no AWS credentials were found"), "{}", error_of(&output));

    let text = fs::read_to_string(instance.keyring()).unwrap();
    fs::write(instance.keyring(), text.replace("k_", "k_0")).unwrap();
    instance.assert_state("another identifier", (78, "cannot decrypt what is in the keyring"));
}
