//! A cloud in one region, checked and typed: all that a login needs to know.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

/// A cloud, with all rules applied.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// Its name in clouds.yaml, `envvars` for the environment, or the URL of an Image service without Keystone.
    pub name: String,
    /// How to log in.
    pub auth: AuthMethod,
    /// The address of Keystone, with or without `/v3`. Always there for methods that ask Keystone for a token.
    pub auth_url: Option<Url>,
    /// What the token is for.
    pub scope: Scope,
    /// The region of the Image service.
    pub region: Option<String>,
    /// The interfaces of the catalog that may be used, the most preferred one first.
    pub interfaces: Vec<Interface>,
    /// The address of the Image service where the catalog is not to be asked.
    pub image_endpoint: Option<Url>,
    /// The type of the Image service in the catalog: `image` nearly everywhere.
    pub image_service_type: String,
    /// The name of the Image service in the catalog, where there are several of the same type.
    pub image_service_name: Option<String>,
    /// The Compute service.
    pub compute: Compute,
    /// Which of the two is to show the images.
    pub backend: Backend,
    /// The version of the Image API that is asked for, as it was written.
    pub image_api_version: Option<String>,
    /// Certificates.
    pub tls: Tls,
}

/// The services that can show images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// The Image service (Glance).
    #[default]
    Image,
    /// The Compute service (Nova).
    Compute,
}

/// The Compute service of a cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compute {
    /// The interfaces of the catalog that may be used, the most preferred one first.
    pub interfaces: Vec<Interface>,
    /// Its address, where the catalog is not to be asked.
    pub endpoint: Option<Url>,
    /// Its type in the catalog: `compute` nearly everywhere.
    pub service_type: String,
    /// Its name in the catalog, where there are several of the same type.
    pub service_name: Option<String>,
}

/// How to log in.
#[derive(Clone, Debug)]
pub enum AuthMethod {
    /// A user and a password.
    Password {
        /// Who.
        user: User,
        /// The password.
        password: SecretString,
    },
    /// A token that is exchanged for one of the wanted scope. It cannot outlive the given one.
    Token(SecretString),
    /// An application credential, which brings its project along.
    ApplicationCredential {
        /// Which one.
        credential: Credential,
        /// Its secret.
        secret: SecretString,
    },
    /// A one-time password. It serves for one login and cannot be renewed.
    Totp {
        /// Who.
        user: User,
        /// The one-time password.
        passcode: SecretString,
    },
    /// Several methods at once, none of them again a `Multifactor`.
    Multifactor(Vec<AuthMethod>),
    /// The service wants no token.
    None,
    /// A token that is used as it is, with [`Cloud::image_endpoint`].
    AdminToken(SecretString),
    /// A program prints the token.
    Command(TokenCommand),
}

/// A user, by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// By id, which is unique.
    Id(String),
    /// By name, which is unique in its domain.
    Name(String, Domain),
}

/// A domain, by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// An application credential, by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// By id, which is unique.
    Id(String),
    /// By name, which is unique for its user.
    Name(String, User),
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A project by its id.
    ProjectId(String),
    /// A project by its name.
    ProjectName(String, Domain),
    /// A domain.
    Domain(Domain),
    /// The whole system.
    System,
    /// What a trust gives, by the trust's id.
    Trust(String),
    /// Nothing is asked for: Keystone takes the user's default project, or none.
    Unscoped,
}

/// An interface of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// For everybody.
    Public,
    /// For those inside of the cloud's network.
    Internal,
    /// For operators.
    Admin,
}

/// Certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Is the certificate of the other side checked?
    pub verify: bool,
    /// A file with certificates of authorities to be trusted besides those of the system.
    pub ca: Option<PathBuf>,
    /// A file with a certificate of our own, and its key if [`Tls::key`] names none.
    pub cert: Option<PathBuf>,
    /// A file with the key of [`Tls::cert`].
    pub key: Option<PathBuf>,
}

/// A program that prints a token: the output of `openstack token issue -f json`, or the token alone.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenCommand {
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments.
    Program(Vec<String>),
}

/// The command may hold a secret among its arguments, so that only its program is shown.
impl fmt::Debug for TokenCommand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TokenCommand({})", self.program())
    }
}

impl TokenCommand {
    /// The name of the program, for messages.
    pub fn program(&self) -> &str {
        let first = match self {
            Self::Shell(line) => line.split_whitespace().next(),
            Self::Program(words) => words.first().map(String::as_str),
        };
        first.unwrap_or_default()
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self { verify: true, ca: None, cert: None, key: None }
    }
}

impl Default for Compute {
    fn default() -> Self {
        Self {
            interfaces: vec![Interface::Public],
            endpoint: None,
            service_type: "compute".to_owned(),
            service_name: None,
        }
    }
}

impl Cloud {
    /// A Compute service without Keystone at this address, which leads to no Image service.
    pub fn of_compute_url(url: Url, tls: Tls) -> Self {
        let compute = Compute { endpoint: Some(url.clone()), ..Compute::default() };
        Self { image_endpoint: None, compute, backend: Backend::Compute, ..Self::of_url(url, tls) }
    }

    /// An Image service without Keystone at this address.
    pub fn of_url(url: Url, tls: Tls) -> Self {
        Self {
            name: url.to_string(),
            auth: AuthMethod::None,
            auth_url: None,
            scope: Scope::Unscoped,
            region: None,
            interfaces: vec![Interface::Public],
            image_endpoint: Some(url),
            image_service_type: "image".to_owned(),
            image_service_name: None,
            compute: Compute::default(),
            backend: Backend::Image,
            image_api_version: None,
            tls,
        }
    }
}

impl AuthMethod {
    /// The user that logs in, where the method names one.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::Password { user, .. }
            | Self::Totp { user, .. }
            | Self::ApplicationCredential { credential: Credential::Name(_, user), .. } => Some(user),
            Self::Multifactor(methods) => methods.iter().find_map(Self::user),
            _ => None,
        }
    }

    /// The method by the name that openstacksdk gives it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Password { .. } => "password",
            Self::Token(_) => "token",
            Self::ApplicationCredential { .. } => "v3applicationcredential",
            Self::Totp { .. } => "v3totp",
            Self::Multifactor(_) => "v3multifactor",
            Self::None => "none",
            Self::AdminToken(_) => "admin_token",
            Self::Command(_) => "token_command",
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(out, "user {id}"),
            Self::Name(name, domain) => write!(out, "user {name} of {domain}"),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(text) | Self::Name(text) => write!(out, "domain {text}"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProjectId(id) => write!(out, "project {id}"),
            Self::ProjectName(name, domain) => write!(out, "project {name} of {domain}"),
            Self::Domain(domain) => domain.fmt(out),
            Self::System => out.write_str("the system"),
            Self::Trust(id) => write!(out, "trust {id}"),
            Self::Unscoped => out.write_str("no project"),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        })
    }
}
