//! Steps with tokens and authorization codes.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::{Code, ModelRun, Outcome, Token};
use crate::support::test_sandbox::basic;

/// The lifetime of a code in seconds.
const CODE_LIFETIME: i64 = 600;

impl ModelRun {
    fn note_token(&mut self, granted: &Value) {
        let value = granted["access_token"].as_str().unwrap().to_owned();
        let has_user = granted.get("user").is_some();
        self.model.tokens.push(Token { value, has_user, is_revoked: false });
    }

    /// Sends a request with the app's credentials.
    async fn ask_as_app(&mut self, path: &str, body: &Value) -> crate::support::test_sandbox::Reply {
        let authorization = basic(&self.sandbox.running.client_id, &self.sandbox.running.client_secret);
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        self.connection.request("POST", path, &headers, body.to_string().as_bytes()).await
    }

    pub(super) async fn grant(&mut self) -> Outcome {
        let body = json!({"grant_type": "client_credentials", "scope": "public"});
        let reply = self.ask_as_app("/oauth/authorize/client", &body).await;
        prop_assert_eq!(reply.status, 200, "{}", reply.text());
        prop_assert!(reply.json().get("user").is_none());
        self.note_token(&reply.json());
        Ok(())
    }

    pub(super) async fn make_code(&mut self) -> Outcome {
        let reply =
            self.connection.control("POST", "codes", &json!({"app": self.sandbox.running.client_id})).await;
        prop_assert_eq!(reply.status, 201, "{}", reply.text());
        let value = reply.json()["code"].as_str().unwrap().to_owned();
        self.model.codes.push(Code { value, is_used: false, made_at: self.model.clock });
        Ok(())
    }

    /// A code is valid once, for ten minutes.
    pub(super) async fn exchange(&mut self, code: &Index) -> Outcome {
        if self.model.codes.is_empty() {
            return Ok(());
        }
        let at = code.index(self.model.codes.len());
        let body = json!({"grant_type": "authorization_code", "code": self.model.codes[at].value});
        let reply = self.ask_as_app("/oauth/access_token", &body).await;
        let code = &mut self.model.codes[at];
        let is_good = !code.is_used && self.model.clock - code.made_at < CODE_LIFETIME;
        prop_assert_eq!(reply.status, if is_good { 200 } else { 400 }, "{}", reply.text());
        code.is_used |= is_good;
        if is_good {
            prop_assert!(reply.json().get("user").is_some());
            self.note_token(&reply.json());
        }
        Ok(())
    }

    pub(super) async fn verify(&mut self, token: &Index) -> Outcome {
        if self.model.tokens.is_empty() {
            return Ok(());
        }
        self.check_token(token.index(self.model.tokens.len())).await
    }

    /// A revoked token stays revoked and is rejected.
    pub(super) async fn check_token(&mut self, at: usize) -> Outcome {
        let Token { value, has_user, is_revoked } = &self.model.tokens[at];
        let (value, has_user, is_revoked) = (value.clone(), *has_user, *is_revoked);
        let verified = self.connection.api(&value, "GET", "/oauth/verify", &Value::Null).await;
        prop_assert_eq!(verified.status, if is_revoked { 401 } else { 200 }, "{}", verified.text());
        if !is_revoked {
            prop_assert_eq!(verified.json().get("user").is_some(), has_user);
        }
        let me = self.connection.api(&value, "GET", "/me?fields=uri", &Value::Null).await;
        prop_assert_eq!(me.status, if is_revoked || !has_user { 401 } else { 200 }, "{}", me.text());
        Ok(())
    }

    pub(super) async fn revoke(&mut self, token: &Index) -> Outcome {
        if self.model.tokens.is_empty() {
            return Ok(());
        }
        let at = token.index(self.model.tokens.len());
        let value = self.model.tokens[at].value.clone();
        let reply = self.connection.api(&value, "DELETE", "/tokens", &Value::Null).await;
        let token = &mut self.model.tokens[at];
        prop_assert_eq!(reply.status, if token.is_revoked { 401 } else { 204 }, "{}", reply.text());
        token.is_revoked = true;
        Ok(())
    }
}
