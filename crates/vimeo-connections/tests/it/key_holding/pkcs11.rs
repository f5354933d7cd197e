//! The keyring with a token: created through it, waited for, not needed while running, and every state with its message.

use std::fs;
use std::path::Path;

use crate::support::harness::until;
use crate::support::holders::Instance;
use crate::support::holders::softhsm::{KEY, PIN, SoftHsm, library};

fn instance(hsm: &SoftHsm) -> Instance {
    let config_file = hsm.config_file();
    Instance::new(&hsm.config(&hsm.module(), KEY), &[("SOFTHSM2_CONF", config_file.to_str().unwrap())])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_starting_service_waits_for_a_token_and_a_running_one_does_not_need_it() {
    let Some(hsm) = SoftHsm::new() else { return };
    let instance = instance(&hsm);
    let keyring = fs::read_to_string(instance.keyring()).unwrap();
    assert!(keyring.contains("format = 2") && keyring.contains("\"pkcs11:"), "{keyring}");

    hsm.remove_token();
    instance.assert_state("removed", (69, "cannot be used now: no token with this label is present"));
    let starting = instance.start();
    until("it waits, more than once", async || instance.waits().len() >= 2).await;
    assert!(!starting.is_finished());
    hsm.insert_token();
    let service = starting.await.unwrap();
    instance.create(&service, "first").await;

    hsm.remove_token();
    instance.create(&service, "second").await;
    let log = fs::read_to_string(instance.path().join("service.log")).unwrap();
    assert!(!log.contains(PIN), "the PIN is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_state_of_a_token_and_its_key_has_its_message() {
    let Some(hsm) = SoftHsm::new() else { return };
    let instance = instance(&hsm);
    let fine = || instance.assert_state("usable", (0, ""));
    fine();

    hsm.write_pin("000000");
    instance.assert_state("wrong PIN", (78, "the PIN in keyring.pkcs11.pin_file is wrong"));
    fs::remove_file(hsm.pin_file()).unwrap();
    instance.assert_state("no PIN", (78, "keyring.pkcs11.pin_file"));
    hsm.write_pin(PIN);
    fine();

    instance.configure(&hsm.config(&hsm.module(), "another"));
    instance.assert_state("no key", (78, "does not exist: the token has no secret key with this label"));
    instance.configure(&hsm.config(Path::new("/nonexistent.so"), KEY));
    instance.assert_state("no module", (78, "the module cannot be loaded"));
    let other = library(instance.path(), "int nothing;\n");
    instance.configure(&hsm.config(&other, KEY));
    instance.assert_state("another library", (78, "the module is not a PKCS #11 library"));
    let hanging = library(
        instance.path(),
        "#include <unistd.h>\nunsigned long C_GetFunctionList(void *list) { for (;;) pause(); }\n",
    );
    instance.configure(&hsm.config(&hanging, KEY));
    instance.assert_state("hanging module", (69, "it did not answer within 3 s"));

    instance.configure(&hsm.config(&hsm.module(), KEY));
    let text = fs::read_to_string(instance.keyring()).unwrap();
    for changed in [text.replace("k_", "k_0"), text.replace("\"pkcs11:", "\"pkcs11:AAAA")] {
        fs::write(instance.keyring(), changed).unwrap();
        instance.assert_state("changed", (78, "cannot decrypt what is in the keyring"));
    }
    fs::write(instance.keyring(), text).unwrap();
    fine();
}
