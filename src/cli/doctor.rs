//! `glancefs doctor`: looks for what keeps mounts from working, and says what to do about each finding.

mod machine;
mod remote;

use super::connect;
use super::output::{self, Code, Failure};
use crate::config::{Backend, OpenStackOptions};

/// Check this machine and a cloud for what mounts need
///
/// Prints one line for each check, with what to do where something is wrong, and ends with 1 when a mount would fail.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What would be mounted, as for glancefs mount
    #[arg(value_name = "SOURCE")]
    source: Option<String>,
    /// The service that would show the images
    #[arg(long, value_name = "SERVICE", value_enum, default_value_t)]
    service: Backend,
    /// Check this machine only
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    cloud: OpenStackOptions,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it should be.
    Good,
    /// Mounts work, but something is worth knowing.
    Note,
    /// Mounts do not work.
    Bad,
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    verdict: Verdict,
    subject: &'static str,
    words: String,
    advice: Option<String>,
}

impl Finding {
    pub(crate) fn good(subject: &'static str, words: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, subject, words: words.into(), advice: None }
    }

    pub(crate) fn note(subject: &'static str, words: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, subject, words: words.into(), advice: Some(advice.into()) }
    }

    pub(crate) fn bad(subject: &'static str, words: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, subject, words: words.into(), advice: Some(advice.into()) }
    }

    /// The lines to print.
    fn shown(&self) -> String {
        let mark = match self.verdict {
            Verdict::Good => "ok  ",
            Verdict::Note => "note",
            Verdict::Bad => "FAIL",
        };
        let advice = self.advice.iter().map(|advice| format!("\n                  -> {advice}"));
        format!("{mark}  {:<11} {}{}", self.subject, self.words, advice.collect::<String>())
    }
}

/// Runs the checks, from the kernel to the images.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    // A service that closes its connection must not end this program.
    output::survive_closed_pipe();
    let (mut failed, mut told) = (0_usize, Ok(()));
    let mut tell = |finding: Finding| {
        told = told.clone().and_then(|()| output::line(finding.shown()));
        failed += usize::from(finding.verdict == Verdict::Bad);
    };
    machine::check(&mut tell);
    if !arguments.offline {
        let source = connect::source(arguments.source.as_deref())?;
        match connect::target(source, &arguments.cloud, arguments.service) {
            Ok(target) => connect::runtime()?.block_on(remote::check(target, &mut tell)),
            Err(failure) => {
                let advice = "name a cloud of clouds.yaml, the URL of an Image service (with --service compute, of a Compute service), or local:DIR";
                tell(Finding::bad("cloud", failure.sentence, advice));
            }
        }
    }
    told?;
    match failed {
        0 => Ok(()),
        1 => Err(Failure::new(Code::Usage, "1 check failed")),
        more => Err(Failure::new(Code::Usage, format!("{more} checks failed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_shown_with_what_to_do_about_it() {
        let shown = Finding::bad("device", "it is missing", "make it").shown();
        assert_eq!(shown, "FAIL  device      it is missing\n                  -> make it");
        assert_eq!(Finding::good("device", "fine").shown(), "ok    device      fine");
    }
}
