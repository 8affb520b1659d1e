//! What can be wrong with the settings, in sentences that say what to do.

use std::path::PathBuf;

use super::yaml::SyntaxError;

/// Settings that lead to no cloud. No variant holds, and no sentence quotes, a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Neither a file nor the environment says anything.
    #[error(
        "no cloud is configured: no OS_* variables are set and there is no clouds.yaml ({}); name an Image service \
         by its URL, or write a clouds.yaml",
        looked(.looked_at)
    )]
    NothingConfigured {
        /// The files that were looked for.
        looked_at: Vec<PathBuf>,
    },
    /// The name is not one of the configured clouds.
    #[error("there is no cloud called {name:?}; {} ({})", known_clouds(.known), looked(.looked_at))]
    UnknownCloud {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
        /// The files that they were looked for in.
        looked_at: Vec<PathBuf>,
    },
    /// Several clouds, and none chosen.
    #[error("several clouds are configured and none is chosen: name one of {}, or set OS_CLOUD", .known.join(", "))]
    ChooseCloud {
        /// The names there are.
        known: Vec<String>,
    },
    /// A cloud of a file has the name that the cloud of the environment has.
    #[error(
        "{file} defines a cloud called {name:?}, which is the name of the cloud that the OS_* variables describe; \
         rename it, or give the other one a name with OS_CLOUD_NAME"
    )]
    EnvironmentNameTaken {
        /// The file.
        file: String,
        /// The name.
        name: String,
    },
    /// The region is not one of the cloud's.
    #[error("cloud {cloud} has no region {region:?}; it has {} (upper and lower case differ)", .known.join(", "))]
    UnknownRegion {
        /// The cloud.
        cloud: String,
        /// The region that was asked for.
        region: String,
        /// The regions there are.
        known: Vec<String>,
    },
    /// The vendor profile is none we know.
    #[error(
        "cloud {cloud} refers to the profile {profile:?}, which is neither in a clouds-public.yaml nor one of the \
         vendors known here ({known}); write its auth_url into the cloud instead"
    )]
    UnknownVendor {
        /// The cloud.
        cloud: String,
        /// The profile's name.
        profile: String,
        /// The names of the built-in vendors.
        known: String,
    },
    /// The vendor profile would have to be downloaded.
    #[error(
        "cloud {cloud} refers to a profile that the vendor publishes at {profile:?}; profiles are not downloaded here: \
         write its auth_url into the cloud instead"
    )]
    RemoteVendor {
        /// The cloud.
        cloud: String,
        /// The profile's address.
        profile: String,
    },
    /// A file is not YAML or JSON.
    #[error("{}, {error}", .file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Where, and what is wrong.
        error: SyntaxError,
    },
    /// A file or a part of it has another shape than expected.
    #[error("{place} should be {expected}, but is {found}")]
    Shape {
        /// Which part of which file.
        place: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Something that the login needs is not given.
    #[error("cloud {cloud} has no {key}: {advice}")]
    Missing {
        /// The cloud.
        cloud: String,
        /// The key of clouds.yaml.
        key: &'static str,
        /// Where to put it.
        advice: String,
    },
    /// A value is not one of those that are possible.
    #[error("cloud {cloud}: {key} cannot be {value:?}; {advice}")]
    Invalid {
        /// The cloud.
        cloud: String,
        /// The key of clouds.yaml.
        key: String,
        /// What it is, or what it is like where it may hold a secret.
        value: String,
        /// What it can be.
        advice: String,
    },
    /// More than one of project, domain, system and trust is asked for.
    #[error("cloud {cloud} asks for a token for {}; a token has one scope only: remove the others", .scopes.join(" and "))]
    SeveralScopes {
        /// The cloud.
        cloud: String,
        /// What is asked for.
        scopes: Vec<&'static str>,
    },
    /// A secret stands on the command line.
    #[error(
        "--{option} is not accepted: everybody on this machine can read command lines. Set {variable} in the environment, \
         write it into clouds.yaml or secure.yaml, or name a file that holds it with --{option}-file"
    )]
    SecretOnCommandLine {
        /// The option.
        option: &'static str,
        /// The variable that takes it.
        variable: &'static str,
    },
    /// A file that an option names cannot be read.
    #[error("--{option}: cannot read {}: {reason}", .file.display())]
    SecretFile {
        /// The option.
        option: String,
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The source of a mount is neither a cloud, nor a URL, nor a folder.
    #[error("{text:?} is no source: {advice}")]
    Source {
        /// What was given.
        text: String,
        /// What it can be.
        advice: &'static str,
    },
}

fn looked(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    format!("looked at {}", names.join(", "))
}

fn known_clouds(known: &[String]) -> String {
    if known.is_empty() { "none is configured".to_owned() } else { format!("there are {}", known.join(", ")) }
}
