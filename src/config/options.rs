//! What the command line says about the cloud, in the spellings of `openstack`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use super::clouds::read_secret;
use super::environment::Surroundings;
use super::error::ConfigError;
use super::value::{Map, Value};

/// Options that choose a cloud or override what its settings say.
///
/// Secrets are not among them: any user of a machine can read the command lines of all processes. An option that would
/// take one is recognised and refused with a sentence that names the other ways.
#[derive(Clone, Debug, Default, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these comments are the help text, where a backtick is only a character")]
#[command(next_help_heading = "Cloud")]
pub struct OpenStackOptions {
    /// A cloud of clouds.yaml (OS_CLOUD)
    #[arg(long, value_name = "NAME")]
    pub os_cloud: Option<String>,
    /// The region (OS_REGION_NAME)
    #[arg(long, value_name = "REGION")]
    pub os_region_name: Option<String>,
    /// The interface of the catalog: public, internal or admin; several with commas, the most preferred first
    #[arg(long, value_name = "INTERFACE")]
    pub os_interface: Option<String>,
    /// The address of the Image service, instead of the catalog's
    #[arg(long, value_name = "URL")]
    pub os_image_endpoint_override: Option<String>,
    /// The address of the Compute service, instead of the catalog's
    #[arg(long, value_name = "URL")]
    pub os_compute_endpoint_override: Option<String>,
    /// The address that `--os-auth-type none` and `admin_token` use
    #[arg(long, value_name = "URL", alias = "os-url")]
    pub os_endpoint: Option<String>,
    /// The address of Keystone
    #[arg(long, value_name = "URL")]
    pub os_auth_url: Option<String>,
    /// How to log in: password, token, v3applicationcredential, v3totp, v3multifactor, none, admin_token
    #[arg(long, value_name = "TYPE")]
    pub os_auth_type: Option<String>,
    /// The methods of v3multifactor, with commas between them
    #[arg(long, value_name = "METHODS")]
    pub os_auth_methods: Option<String>,
    /// A command that prints a token, such as 'openstack token issue -f json'
    #[arg(long, value_name = "COMMAND")]
    pub os_token_command: Option<String>,
    /// The user's name
    #[arg(long, value_name = "NAME")]
    pub os_username: Option<String>,
    /// The user's id
    #[arg(long, value_name = "ID")]
    pub os_user_id: Option<String>,
    /// The id of the user's domain
    #[arg(long, value_name = "ID")]
    pub os_user_domain_id: Option<String>,
    /// The name of the user's domain
    #[arg(long, value_name = "NAME")]
    pub os_user_domain_name: Option<String>,
    /// The project's name
    #[arg(long, value_name = "NAME", alias = "os-tenant-name")]
    pub os_project_name: Option<String>,
    /// The project's id
    #[arg(long, value_name = "ID", alias = "os-tenant-id")]
    pub os_project_id: Option<String>,
    /// The id of the project's domain
    #[arg(long, value_name = "ID")]
    pub os_project_domain_id: Option<String>,
    /// The name of the project's domain
    #[arg(long, value_name = "NAME")]
    pub os_project_domain_name: Option<String>,
    /// The id of the domain that the token is for
    #[arg(long, value_name = "ID")]
    pub os_domain_id: Option<String>,
    /// The name of the domain that the token is for
    #[arg(long, value_name = "NAME")]
    pub os_domain_name: Option<String>,
    /// The id of the domain of user and project where nothing else names it
    #[arg(long, value_name = "ID")]
    pub os_default_domain: Option<String>,
    /// A token for the whole system: all
    #[arg(long, value_name = "SCOPE")]
    pub os_system_scope: Option<String>,
    /// A token for what this trust gives
    #[arg(long, value_name = "ID")]
    pub os_trust_id: Option<String>,
    /// The application credential's id
    #[arg(long, value_name = "ID")]
    pub os_application_credential_id: Option<String>,
    /// The application credential's name, together with its user
    #[arg(long, value_name = "NAME")]
    pub os_application_credential_name: Option<String>,
    /// A file that holds the password (OS_PASSWORD)
    #[arg(long, value_name = "FILE")]
    pub os_password_file: Option<PathBuf>,
    /// A file that holds the token (OS_TOKEN)
    #[arg(long, value_name = "FILE")]
    pub os_token_file: Option<PathBuf>,
    /// A file that holds the application credential's secret (OS_APPLICATION_CREDENTIAL_SECRET)
    #[arg(long, value_name = "FILE")]
    pub os_application_credential_secret_file: Option<PathBuf>,
    /// A file that holds the one-time password (OS_PASSCODE)
    #[arg(long, value_name = "FILE")]
    pub os_passcode_file: Option<PathBuf>,
    /// A file of certificates of authorities to trust besides those of the system (OS_CACERT)
    #[arg(long, value_name = "FILE")]
    pub os_cacert: Option<PathBuf>,
    /// A file with a certificate of your own, and its key if --os-key names none (OS_CERT)
    #[arg(long, value_name = "FILE")]
    pub os_cert: Option<PathBuf>,
    /// A file with the key of --os-cert (OS_KEY)
    #[arg(long, value_name = "FILE")]
    pub os_key: Option<PathBuf>,
    /// Do not check certificates
    #[arg(long, conflicts_with = "verify")]
    pub insecure: bool,
    /// Check certificates, also where the cloud's settings say otherwise
    #[arg(long)]
    pub verify: bool,
    #[arg(long, hide = true)]
    os_password: Option<Given>,
    #[arg(long, hide = true, alias = "os-auth-token")]
    os_token: Option<Given>,
    #[arg(long, hide = true)]
    os_application_credential_secret: Option<Given>,
    #[arg(long, hide = true)]
    os_passcode: Option<Given>,
}

/// A secret was given; it is forgotten at once.
#[derive(Clone, Copy, Debug)]
struct Given;

impl FromStr for Given {
    type Err = Infallible;

    fn from_str(_: &str) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

impl OpenStackOptions {
    /// Refuses secrets on the command line.
    pub fn check(&self) -> Result<(), ConfigError> {
        let given = [
            (self.os_password, "os-password", "OS_PASSWORD"),
            (self.os_token, "os-token", "OS_TOKEN"),
            (
                self.os_application_credential_secret,
                "os-application-credential-secret",
                "OS_APPLICATION_CREDENTIAL_SECRET",
            ),
            (self.os_passcode, "os-passcode", "OS_PASSCODE"),
        ];
        match given.into_iter().find(|(given, ..)| given.is_some()) {
            Some((_, option, variable)) => Err(ConfigError::SecretOnCommandLine { option, variable }),
            None => Ok(()),
        }
    }

    /// Does it describe a login by itself, without a configured cloud?
    pub fn is_complete(&self) -> bool {
        let given = [
            &self.os_auth_url,
            &self.os_endpoint,
            &self.os_image_endpoint_override,
            &self.os_compute_endpoint_override,
        ];
        given.into_iter().any(Option::is_some)
    }

    /// What belongs into `auth`: keys of clouds.yaml and their values, secrets read from their files.
    pub(super) fn auth(&self, around: &Surroundings) -> Result<Map, ConfigError> {
        self.check()?;
        let plain = [
            ("auth_url", &self.os_auth_url),
            ("endpoint", &self.os_endpoint),
            ("username", &self.os_username),
            ("user_id", &self.os_user_id),
            ("user_domain_id", &self.os_user_domain_id),
            ("user_domain_name", &self.os_user_domain_name),
            ("project_name", &self.os_project_name),
            ("project_id", &self.os_project_id),
            ("project_domain_id", &self.os_project_domain_id),
            ("project_domain_name", &self.os_project_domain_name),
            ("domain_id", &self.os_domain_id),
            ("domain_name", &self.os_domain_name),
            ("system_scope", &self.os_system_scope),
            ("trust_id", &self.os_trust_id),
            ("application_credential_id", &self.os_application_credential_id),
            ("application_credential_name", &self.os_application_credential_name),
        ];
        let files = [
            ("password", "os-password-file", &self.os_password_file),
            ("token", "os-token-file", &self.os_token_file),
            (
                "application_credential_secret",
                "os-application-credential-secret-file",
                &self.os_application_credential_secret_file,
            ),
            ("passcode", "os-passcode-file", &self.os_passcode_file),
        ];
        let mut auth = texts(&plain);
        for (key, option, file) in files {
            if let Some(file) = file {
                auth.insert(key.to_owned(), Value::text(read_secret(around, option, file)?));
            }
        }
        Ok(auth)
    }

    /// What belongs beside `auth`.
    pub(super) fn settings(&self) -> Map {
        let mut settings = texts(&[
            ("interface", &self.os_interface),
            ("image_endpoint_override", &self.os_image_endpoint_override),
            ("compute_endpoint_override", &self.os_compute_endpoint_override),
            ("auth_type", &self.os_auth_type),
            ("auth_methods", &self.os_auth_methods),
            ("token_command", &self.os_token_command),
            ("default_domain", &self.os_default_domain),
        ]);
        let files = [("cacert", &self.os_cacert), ("cert", &self.os_cert), ("key", &self.os_key)];
        for (key, file) in files {
            if let Some(file) = file {
                settings.insert(key.to_owned(), Value::text(file.to_string_lossy()));
            }
        }
        if self.insecure || self.verify {
            let word = |on: bool| Value::Text { text: on.to_string(), boolean: Some(on) };
            settings.insert("insecure".to_owned(), word(self.insecure));
            settings.insert("verify".to_owned(), word(self.verify));
        }
        settings
    }
}

fn texts(pairs: &[(&str, &Option<String>)]) -> Map {
    let given = pairs.iter().filter_map(|(key, value)| Some((*key, value.as_ref()?)));
    given.map(|(key, value)| (key.to_owned(), Value::text(value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches, Parser};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: OpenStackOptions,
    }

    fn options(line: &[&str]) -> OpenStackOptions {
        let matches = Line::command().get_matches_from([&["glancefs"], line].concat());
        Line::from_arg_matches(&matches).unwrap().options
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused_and_shown_nowhere() {
        for option in ["--os-password", "--os-token", "--os-application-credential-secret", "--os-passcode"] {
            let options = options(&[option, "s3cret"]);
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(option) && error.contains("OS_"), "{error}");
            assert!(!format!("{options:?} {error}").contains("s3cret"));
        }
    }

    #[test]
    fn the_command_line_is_a_valid_one() {
        Line::command().debug_assert();
        assert!(options(&["--os-auth-url", "http://k"]).is_complete());
        assert!(options(&["--os-cloud", "a"]).check().is_ok());
    }
}
