//! What is wrong with the value of a mount option, in the words of mount(8) and not of a command line: who wrote it into
//! fstab gave no `--option`.

use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::output::{Code, Failure};
use crate::config::mount_options::spelled;

/// The failure, where it is about options that stood behind `-o`; these are named without dashes in front.
pub(super) fn of_options(error: &clap::Error, options: &[String]) -> Option<Failure> {
    let named = |kind| error.get(kind).and_then(first).and_then(|shown| option(shown, options));
    let name = named(ContextKind::InvalidArg)?;
    let why = match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => why(error, &format!("--{name}"))?,
        ErrorKind::ArgumentConflict => {
            format!("it and {} exclude each other", spelled(&named(ContextKind::PriorArg)?))
        }
        _ => return None,
    };
    Some(Failure::new(Code::Usage, format!("mount option {}: {why}", spelled(&name))))
}

/// What the value should have been.
fn why(error: &clap::Error, option: &str) -> Option<String> {
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else { return None };
    if let Some(cause) = error.source() {
        let cause = cause.to_string().replace(&format!("{option} "), "");
        return Some(if cause.contains(value) { cause } else { format!("'{value}' cannot be used: {cause}") });
    }
    let Some(ContextValue::Strings(possible)) = error.get(ContextKind::ValidValue) else { return None };
    Some(format!("'{value}' is none of: {}", possible.join(", ")))
}

fn first(value: &ContextValue) -> Option<&str> {
    match value {
        ContextValue::String(one) => Some(one),
        ContextValue::Strings(all) => all.first().map(String::as_str),
        _ => None,
    }
}

/// The name of the option that clap shows as `--name <VALUE>`, if it is one of these.
fn option(shown: &str, options: &[String]) -> Option<String> {
    let name = shown.split([' ', '=']).next()?.strip_prefix("--")?;
    options.iter().find(|option| *option == name).cloned()
}
