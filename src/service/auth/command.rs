//! A token that a program prints.

use std::process::{Output, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::process::Command;

use super::token::Holder;
use crate::config::TokenCommand;
use crate::service::error::{Kind, ServiceError};

/// Long enough for a login with a detour over an identity provider; a program that waits for a person never ends.
const DEADLINE: Duration = Duration::from_mins(1);
/// As much of what the program complains about as fits a message.
const LONGEST_COMPLAINT: usize = 500;

/// A token from a program.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) value: SecretString,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) holder: Holder,
}

/// What `openstack token issue -f json` prints.
#[derive(Deserialize)]
struct Issue {
    id: String,
    #[serde(default)]
    expires: Option<String>,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(default)]
    user_id: Option<String>,
}

/// Runs the program and reads the token that it prints.
pub(super) async fn run(command: &TokenCommand, action: &str) -> Result<Printed, ServiceError> {
    let failed = |words: String| ServiceError::new(Kind::Login, action).with_words(words);
    let program = command.program();
    let mut process = process(command);
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = match tokio::time::timeout(DEADLINE, process.output()).await {
        Err(_) => {
            let words = format!("the token command {program} printed no token within {} s", DEADLINE.as_secs());
            return Err(ServiceError::new(Kind::TimedOut, action).with_words(words));
        }
        Ok(Err(error)) => return Err(failed(format!("the token command {program} cannot be run: {error}"))),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        return Err(failed(format!("the token command {program} ended with {}{}", output.status, complaint(&output))));
    }
    let text = String::from_utf8(output.stdout).unwrap_or_default();
    parse(&text)
        .ok_or_else(|| failed(format!("the token command {program} printed neither a token nor JSON with an id")))
}

fn process(command: &TokenCommand) -> Command {
    match command {
        TokenCommand::Shell(line) => {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(line);
            shell
        }
        TokenCommand::Program(words) => {
            let mut program = Command::new(command.program());
            program.args(words.iter().skip(1));
            program
        }
    }
}

/// The end of what the program wrote to its standard error. Its standard output is a secret.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim();
    let skipped = text.chars().count().saturating_sub(LONGEST_COMPLAINT);
    let end: String = text.chars().skip(skipped).collect();
    if end.is_empty() { String::new() } else { format!(": {end}") }
}

fn parse(text: &str) -> Option<Printed> {
    let text = text.trim();
    if let Ok(Issue { id, expires, project_id, user_id }) = serde_json::from_str(text) {
        let expires_at = expires.and_then(|time| timestamp(&time));
        let holder = Holder { user_id, project_id, ..Holder::default() };
        return Some(Printed { value: id.into(), expires_at, holder });
    }
    let is_token = !text.is_empty() && text.chars().all(|letter| letter.is_ascii_graphic() && letter != '{');
    is_token.then(|| Printed { value: text.into(), expires_at: None, holder: Holder::default() })
}

/// `openstack` writes `2026-01-02T03:04:05+0000`, other programs `…Z`.
fn timestamp(text: &str) -> Option<Timestamp> {
    text.parse().or_else(|_| Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    async fn shell(line: &str) -> Result<Printed, ServiceError> {
        run(&TokenCommand::Shell(line.to_owned()), "log in").await
    }

    #[test]
    fn the_output_of_openstack_token_issue_is_understood() {
        let printed = parse(r#"{"expires": "2026-01-02T03:04:05+0000", "id": "gAAA", "project_id": "p"}"#).unwrap();
        assert_eq!(printed.value.expose_secret(), "gAAA");
        assert_eq!(printed.expires_at.unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(printed.holder.project_id.as_deref(), Some("p"));
    }

    #[test]
    fn a_bare_token_is_understood_and_anything_else_refused() {
        assert_eq!(parse("gAAA-_=\n").unwrap().value.expose_secret(), "gAAA-_=");
        assert!(["", "two words", "{\"no\": 1}", "line\nline"].iter().all(|text| parse(text).is_none()));
    }

    #[tokio::test]
    async fn what_the_program_complains_about_is_told_and_what_it_prints_is_not() {
        assert_eq!(shell("echo gAAA").await.unwrap().value.expose_secret(), "gAAA");
        let error = shell("echo s3cret; echo no ticket >&2; exit 3").await.unwrap_err().to_string();
        assert!(error.contains("no ticket") && !error.contains("s3cret"), "{error}");
        let error = shell("echo two words").await.unwrap_err().to_string();
        assert!(!error.contains("words"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_named() {
        let command = TokenCommand::Program(vec!["/no/such/program".to_owned()]);
        assert!(run(&command, "log in").await.unwrap_err().to_string().contains("/no/such/program"));
    }
}
