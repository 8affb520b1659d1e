//! Checks of the cloud: the login step by step, the service, and its stores.

use jiff::SignedDuration;
use jiff::Timestamp;

use super::Finding;
use crate::cli::connect::{self, Connection, Target};
use crate::config::Cloud;
use crate::image::{Image, Status};
use crate::service::auth::{Login, Token};
use crate::service::glance::Glance;
use crate::service::{ImageService, Kind, ListQuery, ServiceError, Source, clock};

/// Clocks that are further apart make tokens end early or late, and times in the mount look wrong.
const WORTH_A_NOTE: SignedDuration = SignedDuration::from_secs(30);

/// Checks what `target` names, as far as each step allows the next one.
pub(super) async fn check(target: Target, tell: &mut dyn FnMut(Finding)) {
    match target {
        Target::Service(cloud) => cloud_checks(*cloud, tell).await,
        Target::Folder(folder) => {
            let shown = folder.display().to_string();
            match connect::open(Target::Folder(folder)).await {
                Ok(connection) => folder_checks(&shown, connection, tell).await,
                Err(failure) => tell(Finding::bad("folder", failure.sentence, "name a folder that can be written to")),
            }
        }
    }
}

async fn folder_checks(shown: &str, connection: Connection, tell: &mut dyn FnMut(Finding)) {
    tell(Finding::good("folder", format!("the embedded Image service works on {shown}")));
    tell(seeking(connection.service().as_ref()).await);
    connection.close().await;
}

async fn cloud_checks(cloud: Cloud, tell: &mut dyn FnMut(Finding)) {
    tell(Finding::good("cloud", settings(&cloud)));
    if let Err(error) = log_in(&cloud, tell).await {
        tell(error);
        return;
    }
    match Glance::connect(cloud).await {
        Ok(glance) => {
            let version = glance.version().unwrap_or("a version that it does not tell");
            tell(Finding::good("service", format!("{} speaks {version} and lists images", glance.address())));
            tell(seeking(&glance).await);
        }
        Err(error) => tell(failed("service", &error)),
    }
}

/// The settings in a few words, without secrets.
fn settings(cloud: &Cloud) -> String {
    let keystone = cloud.auth_url.as_ref().map(|url| format!(", Keystone at {url}"));
    let region = cloud.region.as_ref().map(|region| format!(", region {region}"));
    format!("{}: {}{}{}", cloud.name, cloud.auth.name(), keystone.unwrap_or_default(), region.unwrap_or_default())
}

/// A token, and the address of the Image service. The clock comes before the login, which a wrong one can spoil; where
/// Keystone's answers have no date, its token or else the Image service tells.
async fn log_in(cloud: &Cloud, tell: &mut dyn FnMut(Finding)) -> Result<(), Finding> {
    let ahead = match &cloud.auth_url {
        Some(keystone) => clock::ahead(&cloud.tls, keystone).await,
        None => Ok(None),
    };
    let untold = matches!(ahead, Ok(None));
    if !untold {
        tell(clock_finding(ahead));
    }
    let login = Login::new(cloud.clone()).map_err(|error| failed("login", &error))?;
    let token = login.token().await.map_err(|error| failed("login", &error))?;
    tell(Finding::good("login", holder(&token)));
    let endpoint = login.image_endpoint().await.map_err(|error| failed("endpoint", &error))?;
    tell(Finding::good("endpoint", endpoint.as_str()));
    if untold {
        let ahead = match token.clock_ahead() {
            Some(ahead) => Ok(Some(ahead)),
            None => clock::ahead(&cloud.tls, &endpoint).await,
        };
        tell(clock_finding(ahead));
    }
    Ok(())
}

/// Whom the token is for and how long it lives.
fn holder(token: &Token) -> String {
    let holder = token.holder();
    let user = holder.user_name.as_ref().or(holder.user_id.as_ref());
    let project = holder.project_name.as_ref().or(holder.project_id.as_ref());
    let mut words = user.map_or_else(|| "no user is asked for".to_owned(), |user| format!("as {user}"));
    words.extend(project.map(|project| format!(", project {project}")));
    words.extend((!holder.roles.is_empty()).then(|| format!(", roles {}", holder.roles.join(", "))));
    words.extend(token.left(Timestamp::now()).map(|left| format!(", for {} minutes", left.as_secs() / 60)));
    words
}

fn clock_finding(ahead: Result<Option<SignedDuration>, ServiceError>) -> Finding {
    let subject = "clock";
    match ahead {
        Ok(Some(ahead)) if ahead.abs() > WORTH_A_NOTE => {
            let direction = if ahead.is_negative() { "behind" } else { "ahead of" };
            let words = format!("this machine's clock is {} s {direction} the cloud's", ahead.abs().as_secs());
            Finding::note(
                subject,
                words,
                "set it right (timedatectl set-ntp true): times in the mount are compared with it",
            )
        }
        Ok(Some(_)) => Finding::good(subject, "agrees with the cloud's"),
        Ok(None) => Finding::note(subject, "the cloud does not tell its time", "nothing to do"),
        // Whatever it is, the login or the service fails of it too, and says what to do.
        Err(error) => Finding::note(subject, error.to_string(), "see the next failure"),
    }
}

/// Reads the first byte of an image, to learn whether its store gives parts.
async fn seeking(service: &dyn ImageService) -> Finding {
    let subject = "ranges";
    let image = match some_image(service).await {
        Ok(Some(image)) => image,
        Ok(None) => {
            let words = "there is no active image to try them on";
            return Finding::note(subject, words, "run the check again when there is one");
        }
        Err(error) => return failed(subject, &error),
    };
    let source = Source { image: image.id, size: image.size.unwrap_or_default(), store: None };
    match service.read_range(&source, 0..1).await {
        Ok(_) => Finding::good(subject, format!("parts of image {} can be read", image.id)),
        Err(error) if error.kind == Kind::Unseekable => {
            let words = format!("the store of image {} gives whole images only", image.id);
            Finding::note(
                subject,
                words,
                "reading works, but what lies far into an image comes late: copy it out first",
            )
        }
        Err(error) => failed(subject, &error),
    }
}

/// An active image of at least two bytes: of a single one, a part cannot be told from the whole.
async fn some_image(service: &dyn ImageService) -> crate::service::Result<Option<Image>> {
    let filters = vec![("status".to_owned(), "active".to_owned())];
    let page = service.list(&ListQuery { filters, sort: Vec::new() }, None).await?;
    let usable = |image: &Image| image.status == Status::Active && image.size.is_some_and(|size| size > 1);
    Ok(page.images.into_iter().find(usable))
}

fn failed(subject: &'static str, error: &ServiceError) -> Finding {
    Finding::bad(subject, error.to_string(), advice(&error.kind))
}

/// What usually helps.
fn advice(kind: &Kind) -> &'static str {
    match kind {
        Kind::Login | Kind::Unauthorized => {
            "check user, password or application credential, and the domain they belong to"
        }
        Kind::Forbidden => "ask for a role in this project that may list images (usually reader or member)",
        Kind::Configuration => "check region, interface and the name of the service type in clouds.yaml",
        Kind::Untrusted => "name the authority's certificate with --os-cacert or cacert in clouds.yaml",
        Kind::Unreachable | Kind::TimedOut => {
            "check the address, the network, VPN, proxy and firewall on the way to it"
        }
        Kind::NotOffered | Kind::Malformed => "check that the address is that of an Image service (Glance, API v2)",
        Kind::Unavailable => "wait, or ask the cloud's operators: the service itself fails",
        Kind::NotFound
        | Kind::Conflict
        | Kind::Gone
        | Kind::OverQuota
        | Kind::Invalid
        | Kind::MarkerGone
        | Kind::Unseekable
        | Kind::NoData => "ask the cloud's operators, with the request id if there is one",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::fs::testing::{Fake, image};

    #[tokio::test]
    async fn a_store_that_gives_whole_images_only_is_worth_a_note() {
        let service = Fake::with([image(1, "a")]);
        assert_eq!(seeking(&service).await.verdict, Verdict::Good);
        assert_eq!(seeking(&Fake::with([])).await.verdict, Verdict::Note);
        service.change(|world| world.failing = Some(Kind::Unreachable));
        assert_eq!(seeking(&service).await.verdict, Verdict::Bad);
    }

    #[test]
    fn a_clock_that_is_wrong_by_minutes_is_told_with_its_direction() {
        assert_eq!(clock_finding(Ok(Some(SignedDuration::from_secs(-3)))).verdict, Verdict::Good);
        let found = clock_finding(Ok(Some(SignedDuration::from_secs(-300))));
        assert_eq!(found.verdict, Verdict::Note);
        assert_eq!(found.words, "this machine's clock is 300 s behind the cloud's");
    }
}
