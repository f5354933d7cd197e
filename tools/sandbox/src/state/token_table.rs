//! All tokens and their index by fingerprint, so that no lookup depends on how many tokens there are.

use std::collections::HashMap;

use serde::{Deserialize, Serialize, Serializer};

use super::{Token, fingerprint};

/// Tokens by value. Serialized as a plain map; the index is rebuilt when the map is read.
///
/// Invariant: the index has every token, because tokens are added with [`insert`](Self::insert) only and their values
/// never change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "HashMap<String, Token>")]
pub(super) struct TokenTable {
    tokens: HashMap<String, Token>,
    values: HashMap<String, String>,
}

impl TokenTable {
    /// Adds a token, and sets its fingerprint.
    pub(super) fn insert(&mut self, mut token: Token) -> Token {
        token.fingerprint = fingerprint(token.value.as_bytes());
        self.values.insert(token.fingerprint.clone(), token.value.clone());
        self.tokens.insert(token.value.clone(), token.clone());
        token
    }

    pub(super) fn get(&self, value: &str) -> Option<&Token> {
        self.tokens.get(value)
    }

    pub(super) fn get_mut(&mut self, value: &str) -> Option<&mut Token> {
        self.tokens.get_mut(value)
    }

    pub(super) fn by_fingerprint(&self, wanted: &str) -> Option<&Token> {
        self.tokens.get(self.values.get(wanted)?)
    }

    pub(super) fn by_fingerprint_mut(&mut self, wanted: &str) -> Option<&mut Token> {
        self.tokens.get_mut(self.values.get(wanted)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Token> {
        self.tokens.values()
    }
}

impl From<HashMap<String, Token>> for TokenTable {
    fn from(tokens: HashMap<String, Token>) -> Self {
        let mut table = Self::default();
        for token in tokens.into_values() {
            table.insert(token);
        }
        table
    }
}

impl Serialize for TokenTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.tokens.serialize(serializer)
    }
}
