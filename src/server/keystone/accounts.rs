//! Who may log in, to what, with which roles, and within which limits.

use crate::config::shape::{ShapeError, from_value};
use crate::config::yaml::{SyntaxError, from_yaml};
use crate::server::record::hex;
use md5::{Digest, Md5};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// The one domain where none is named.
const DOMAIN: &str = "default";

/// A secret that no Debug output shows.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// Keeps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The limits of a project; negative means none.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// MiB of image data.
    pub image_size_total: i64,
    /// MiB of data that is staged for imports.
    pub image_stage_total: i64,
    /// Images.
    pub image_count_total: i64,
    /// Uploads at once.
    pub image_count_uploading: i64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { image_size_total: -1, image_stage_total: -1, image_count_total: -1, image_count_uploading: -1 }
    }
}

/// A project.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The name, unique in its domain.
    pub name: String,
    /// The id; made from the names where it is not given.
    #[serde(default)]
    pub id: String,
    /// The id of the domain.
    #[serde(default = "default_domain")]
    pub domain: String,
    /// The limits.
    #[serde(default)]
    pub quota: Quota,
}

/// A way to log in that is bound to one project and carries no password.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationCredential {
    /// The id.
    pub id: String,
    /// The name, unique for its user.
    pub name: String,
    /// The secret.
    pub secret: Hidden,
    /// The name of the project.
    pub project: String,
    /// The roles; where there are none, those that the user has in the project.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// A person.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name, unique in its domain.
    pub name: String,
    /// The id; made from the names where it is not given.
    #[serde(default)]
    pub id: String,
    /// The id of the domain.
    #[serde(default = "default_domain")]
    pub domain: String,
    /// The password.
    pub password: Hidden,
    /// Role names by project name.
    #[serde(default)]
    pub projects: BTreeMap<String, Vec<String>>,
    /// Roles in the user's own domain.
    #[serde(default)]
    pub domain_roles: Vec<String>,
    /// Roles in the system.
    #[serde(default)]
    pub system_roles: Vec<String>,
    /// Application credentials.
    #[serde(default)]
    pub application_credentials: Vec<ApplicationCredential>,
    /// The secret of one-time passwords, in base 32.
    #[serde(default)]
    pub totp_secret: Option<Hidden>,
    /// Whether a password is only enough together with a one-time password.
    #[serde(default)]
    pub multifactor: bool,
}

/// Everyone who may log in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// The projects.
    #[serde(default)]
    pub projects: Vec<Project>,
    /// The users.
    #[serde(default)]
    pub users: Vec<User>,
}

/// Why a description of accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// It is no YAML.
    #[error("the accounts cannot be read: {0}")]
    Syntax(SyntaxError),
    /// It is of another shape.
    #[error("the accounts cannot be read: {0}")]
    Shape(ShapeError),
    /// A user has roles in a project that is not described.
    /// It is not quoted: it may be `password:hush` without a blank.
    #[error("user {user} has roles in a project that is none of those described: {described}")]
    UnknownProject {
        /// The user's name.
        user: String,
        /// The names of the projects that are described.
        described: String,
    },
}

fn default_domain() -> String {
    DOMAIN.to_owned()
}

/// An id that stays the same over restarts, since images remember the project that owns them.
fn stable_id(kind: &str, domain: &str, name: &str) -> String {
    hex(&Md5::digest(format!("{kind}/{domain}/{name}")))
}

impl Accounts {
    /// Reads a description.
    pub fn from_yaml(text: &str) -> Result<Self, AccountsError> {
        let described = from_yaml(text).map_err(AccountsError::Syntax)?;
        from_value::<Self>(described).map_err(AccountsError::Shape)?.completed()
    }

    /// The people of the examples, all with the password `secret`: admin; demo and demo2 as members of demo; reader,
    /// who may only look; alt in a project of its own; small, whose limits are tight.
    pub fn example() -> Self {
        let quota = |mebibytes, images, uploads| Quota {
            image_size_total: mebibytes,
            image_stage_total: mebibytes,
            image_count_total: images,
            image_count_uploading: uploads,
        };
        let (roomy, tight) = (quota(20_000, 2000, 200), quota(5, 3, 1));
        let projects = [("admin", roomy), ("demo", roomy), ("alt", roomy), ("small", tight)];
        let users = [
            ("admin", "admin", "admin"),
            ("demo", "demo", "member"),
            ("demo2", "demo", "member"),
            ("reader", "demo", "reader"),
            ("alt", "alt", "member"),
            ("small", "small", "member"),
        ];
        let accounts = Self {
            projects: projects.into_iter().map(|(name, quota)| example_project(name, quota)).collect(),
            users: users.into_iter().map(|(name, project, role)| example_user(name, project, role)).collect(),
        };
        accounts.completed().unwrap_or_default()
    }

    /// Fills in ids, and checks that every project is described.
    fn completed(mut self) -> Result<Self, AccountsError> {
        for project in &mut self.projects {
            if project.id.is_empty() {
                project.id = stable_id("project", &project.domain, &project.name);
            }
        }
        for user in &mut self.users {
            if user.id.is_empty() {
                user.id = stable_id("user", &user.domain, &user.name);
            }
        }
        for user in &self.users {
            let credentials = user.application_credentials.iter().map(|credential| &credential.project);
            for project in user.projects.keys().chain(credentials) {
                if self.project_of(user, project).is_none() {
                    let described: Vec<_> = self.projects.iter().map(|project| project.name.as_str()).collect();
                    let (user, described) = (user.name.clone(), described.join(", "));
                    return Err(AccountsError::UnknownProject { user, described });
                }
            }
        }
        Ok(self)
    }

    /// The project of this name that a user's roles speak of: in the user's own domain if there is one.
    pub(crate) fn project_of(&self, user: &User, name: &str) -> Option<&Project> {
        let named = || self.projects.iter().filter(|project| project.name == name);
        named().find(|project| project.domain == user.domain).or_else(|| named().next())
    }

    pub(crate) fn project(&self, id: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.id == id)
    }

    pub(crate) fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// The projects that a user has roles in.
    pub(crate) fn projects_of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Project> {
        user.projects.keys().filter_map(|name| self.project_of(user, name))
    }

    /// A user's roles in a project, with those that they imply.
    pub(crate) fn roles_in(&self, user: &User, project: &Project) -> Vec<String> {
        let names = user
            .projects
            .iter()
            .filter(|(name, _)| self.project_of(user, name).is_some_and(|named| named.id == project.id));
        implied(names.flat_map(|(_, roles)| roles))
    }
}

/// Roles with those that they imply: admin is a manager, a manager a member, a member a reader.
pub(crate) fn implied<'a>(roles: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    const CHAIN: [&str; 4] = ["admin", "manager", "member", "reader"];
    let mut all: Vec<String> = Vec::new();
    for role in roles {
        let from = CHAIN.iter().position(|known| known == role);
        let implied = CHAIN.iter().skip(from.unwrap_or(CHAIN.len())).map(|known| (*known).to_owned());
        for each in std::iter::once(role.clone()).chain(implied) {
            if !all.contains(&each) {
                all.push(each);
            }
        }
    }
    all
}

fn example_project(name: &str, quota: Quota) -> Project {
    Project { name: name.to_owned(), id: String::new(), domain: default_domain(), quota }
}

fn example_user(name: &str, project: &str, role: &str) -> User {
    User {
        name: name.to_owned(),
        id: String::new(),
        domain: default_domain(),
        password: Hidden::new("secret"),
        projects: BTreeMap::from([(project.to_owned(), vec![role.to_owned()])]),
        domain_roles: Vec::new(),
        system_roles: if role == "admin" { vec![role.to_owned()] } else { Vec::new() },
        application_credentials: Vec::new(),
        totp_secret: None,
        multifactor: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_from_yaml() {
        let text = "
projects:
  - name: lab
    quota: {image_count_total: 2}
users:
  - name: ann
    password: hush
    projects: {lab: [member]}
    application_credentials:
      - {id: ac1, name: robot, secret: beep, project: lab}
    totp_secret: GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ
";
        let accounts = Accounts::from_yaml(text).unwrap();
        assert_eq!(accounts.projects[0].quota.image_count_total, 2);
        assert_eq!(accounts.projects[0].quota.image_size_total, -1);
        let ann = &accounts.users[0];
        assert_eq!(accounts.roles_in(ann, &accounts.projects[0]), ["member", "reader"]);
        assert_eq!(ann.id.len(), 32);
    }

    #[test]
    fn secrets_are_in_no_debug_output() {
        let shown = format!("{:?}", Accounts::example());
        assert!(!shown.contains("secret\""), "{shown}");
    }

    #[test]
    fn secrets_are_in_no_complaint_about_a_description() {
        for text in [
            "users: [{name: ann, password: hush, passwort: hush}]",
            "users: [{name: ann, password:hush}]",
            "users: [{name: ann, password: a,hush}]",
            "users: [{name: ann, password: x, projects: {password:hush}}]",
            "users: [{name: ann, password: [hush]}]",
            "users: [{name: ann, password: hush, multifactor: hush}]",
            "users:\n- name: ann\n  password: 'hush\n",
        ] {
            let error = Accounts::from_yaml(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn roles_in_a_project_that_is_not_described_are_refused() {
        let text = "users: [{name: ann, password: x, projects: {nowhere: [member]}}]";
        assert!(matches!(Accounts::from_yaml(text), Err(AccountsError::UnknownProject { .. })));
    }
}
