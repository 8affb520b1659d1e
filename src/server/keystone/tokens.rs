//! Tokens: opaque words in memory that stand for a person with roles in a scope.

use super::accounts::{Accounts, Project, User};
use crate::server::service::Caller;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use uuid::Uuid;

/// What a token gives access to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Unscoped,
    /// The id of a project.
    Project(String),
    /// The id of a domain.
    Domain(String),
    System,
}

/// What a token stands for.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) user: String,
    pub(crate) methods: Vec<String>,
    pub(crate) scope: Scope,
    pub(crate) roles: Vec<String>,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) audit_id: String,
}

/// Everyone who may log in, and the tokens that are valid.
pub(crate) struct Identity {
    pub(crate) accounts: Accounts,
    tokens: RwLock<HashMap<String, Arc<Token>>>,
    lifetime: RwLock<Duration>,
    /// This Keystone's URL with `/v3`.
    url: String,
    image_url: Option<String>,
    compute_url: Option<String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Identity {
    pub(crate) fn new(
        accounts: Accounts,
        url: String,
        image_url: Option<String>,
        compute_url: Option<String>,
        lifetime: Duration,
    ) -> Self {
        Self { accounts, tokens: RwLock::default(), lifetime: RwLock::new(lifetime), url, image_url, compute_url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The URL of the Image API, where the catalogue has it.
    pub(crate) fn image_url(&self) -> Option<&str> {
        self.image_url.as_deref()
    }

    /// The URL of the Compute API with its version, where there is one.
    pub(crate) fn compute_url(&self) -> Option<&str> {
        self.compute_url.as_deref()
    }

    /// Sets the lifetime of tokens issued from now on.
    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        *self.lifetime.write().unwrap_or_else(PoisonError::into_inner) = lifetime;
    }

    /// Issues a token. `until` is the end of the token that it is made from, if it is made from one.
    pub(crate) fn issue(
        &self,
        user: &User,
        methods: Vec<String>,
        scope: Scope,
        roles: Vec<String>,
        until: Option<Timestamp>,
    ) -> (String, Arc<Token>) {
        let issued = Timestamp::now();
        let lifetime = *self.lifetime.read().unwrap_or_else(PoisonError::into_inner);
        let expires = until.or_else(|| issued.checked_add(lifetime).ok()).unwrap_or(issued);
        let audit_id = Uuid::new_v4().simple().to_string();
        let token = Arc::new(Token { user: user.id.clone(), methods, scope, roles, issued, expires, audit_id });
        let word = Uuid::new_v4().simple().to_string();
        self.write().insert(word.clone(), Arc::clone(&token));
        (word, token)
    }

    /// What a word stands for, while it is valid.
    pub(crate) fn look_up(&self, word: &str) -> Option<Arc<Token>> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.get(word).filter(|token| Timestamp::now() < token.expires).cloned()
    }

    pub(crate) fn revoke(&self, word: &str) {
        self.write().remove(word);
    }

    pub(crate) fn revoke_all(&self) {
        self.write().clear();
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Arc<Token>>> {
        self.tokens.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn user_of(&self, token: &Token) -> Option<&User> {
        self.accounts.user(&token.user)
    }

    pub(crate) fn project_of(&self, token: &Token) -> Option<&Project> {
        match &token.scope {
            Scope::Project(id) => self.accounts.project(id),
            Scope::Unscoped | Scope::Domain(_) | Scope::System => None,
        }
    }

    /// Who calls the Image API with this word. An unscoped token opens nothing.
    pub(crate) fn caller(&self, word: &str) -> Option<Caller> {
        let token = self.look_up(word).filter(|token| token.scope != Scope::Unscoped)?;
        let has = |role: &str| token.roles.iter().any(|held| held == role);
        let project = self.project_of(&token);
        Some(Caller {
            user: Some(token.user.clone()),
            project: project.map(|project| project.id.clone()),
            admin: has("admin"),
            member: has("member"),
            quota: Some(project.map(|project| project.quota).unwrap_or_default()),
        })
    }
}
