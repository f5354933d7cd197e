//! People, their invitations and sessions, and the limits of the account.

use reqwest::StatusCode;

use super::person::{Person, field};
use super::session::{Browser, field_error};
use super::sign_in::{audited, link, with_link};
use crate::support::harness::{ACCOUNT, Response, TestEnv};

const SETTINGS: &str = "/dashboard/settings";
const INVITE: &str = "/dashboard/settings/invitations";

/// The actions of the forms on a page that start with a path.
fn actions(page: &str, start: &str) -> Vec<String> {
    let found = page.split("action=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    found.filter(|action| action.starts_with(start) && action != start).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_colleague_is_invited_signs_in_and_is_signed_out_by_the_owner() {
    let env = TestEnv::without_verification("").await;
    let mut owner = with_link(&env, "owner").await;
    for (fields, field) in [
        ([("name", ""), ("role", "member")], "name"),
        ([("name", "Bob"), ("role", "king")], "role"),
        ([("name", "\u{7}"), ("role", "member")], "name"),
    ] {
        let answer = owner.submit(SETTINGS, INVITE, &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(field_error(&answer.text, field).is_some(), "{field}: {}", answer.text);
    }
    let answer = owner.submit(SETTINGS, INVITE, &[("name", "Bob <b>"), ("role", "member")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text.contains("Bob &#60;b&#62;") && !answer.text.contains("<b>"));
    let start = answer.text.find("/dashboard/sign-in/link/").unwrap();
    let path: String = answer.text[start..].chars().take_while(|c| !"<\"& ".contains(*c)).collect();
    assert_eq!(actions(&owner.page(SETTINGS).await, INVITE).len(), 1);

    let mut colleague = Browser::new(&env);
    assert_eq!(colleague.submit(&path, &path, &[]).await.status, StatusCode::SEE_OTHER);
    let page = colleague.page(SETTINGS).await;
    assert!(!page.contains("Invite a colleague") && !page.contains("Anna"), "a member sees no one else");
    assert_eq!(actions(&page, "/dashboard/settings/sessions/").len(), 1, "only their own session");

    let page = owner.page(SETTINGS).await;
    assert_eq!(actions(&page, INVITE), [""; 0]);
    let sessions = actions(&page, "/dashboard/settings/sessions/");
    assert_eq!(sessions.len(), 2);
    // The newest first.
    let ended = owner.submit(SETTINGS, &sessions[0], &[]).await;
    assert!(owner.follow(&ended).await.contains("The session was ended."));
    assert_eq!(colleague.get(SETTINGS).await.status, StatusCode::SEE_OTHER);
    assert_eq!(audited(&env).await[0], "Anna revoke_session -");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_that_is_sent_twice_is_one() {
    let env = TestEnv::without_verification("").await;
    let person = Person::sign_in(&env).await;
    let id = field(&person.page(SETTINGS).await, "requestId");
    let fields = [("csrf", &*person.csrf), ("requestId", &id), ("name", "Bob"), ("role", "member")];
    let send = async || person.post_exactly(INVITE, &fields, &[]).await;
    let (one, two) = tokio::join!(send(), send());
    let is_new = |answer: &Response| answer.text.contains("The invitation is ready");
    assert_ne!(is_new(&one), is_new(&two), "{}", one.text);
    assert_eq!(actions(&person.page(SETTINGS).await, INVITE).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_invitation_signs_no_one_in() {
    let env = TestEnv::without_verification("").await;
    let mut owner = with_link(&env, "owner").await;
    let path = link(&env, "member");
    let withdraw = actions(&owner.page(SETTINGS).await, INVITE).remove(0);
    let answer = owner.submit(SETTINGS, &withdraw, &[]).await;
    assert!(owner.follow(&answer).await.contains("Its link no longer works."));
    assert_eq!(Browser::new(&env).get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gives_no_more_than_they_have() {
    let env = TestEnv::without_verification("").await;
    // It manages keys, and nothing else.
    let key = env.make_key(ACCOUNT, &["--scopes", "keys:manage"]);
    let mut browser = Browser::signed_in(&env, &key).await;
    let page = browser.page(SETTINGS).await;
    assert!(!page.contains("value=\"owner\"") && !page.contains("value=\"member\""), "{page}");
    let answer = browser.submit(SETTINGS, INVITE, &[("name", "Bob"), ("role", "owner")]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(audited(&env).await[0].ends_with("create_sign_in_link FORBIDDEN"));
    let mut member = with_link(&env, "member").await;
    let page = member.page(SETTINGS).await;
    let token = super::session::csrf(&page);
    let answer = member.post(INVITE, &[("csrf", &token), ("name", "Bob"), ("role", "read-only")]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(audited(&env).await[0], "Anna create_sign_in_link FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_shown_with_their_use() {
    let env = TestEnv::without_verification("limits.connections = 3\n").await;
    env.post(&env.valid_body("one")).await;
    let page = Browser::signed_in(&env, &env.api_key).await.page(SETTINGS).await;
    assert!(page.contains("1 of 3"), "{page}");
}
