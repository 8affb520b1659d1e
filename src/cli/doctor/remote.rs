//! Checks of the cloud: the login step by step, the service, and its stores.

use jiff::SignedDuration;
use jiff::Timestamp;

use super::Finding;
use crate::cli::connect::{self, Connection, Target};
use crate::config::{Backend, Cloud};
use crate::image::Status;
use crate::service::auth::{Login, Token};
use crate::service::compute::Compute;
use crate::service::glance::Glance;
use crate::service::{ImageService, Kind, ListQuery, ServiceError, Source, clock};

/// Clocks that are further apart make tokens end early or late, and times in the mount look wrong.
const WORTH_A_NOTE: SignedDuration = SignedDuration::from_secs(30);

/// Checks what `target` names, as far as each step allows the next one.
pub(super) async fn check(target: Target, tell: &mut dyn FnMut(Finding)) {
    match target {
        Target::Service(cloud) => cloud_checks(*cloud, tell).await,
        Target::Folder(folder, backend) => {
            let shown = folder.display().to_string();
            match connect::open(Target::Folder(folder, backend), false).await {
                Ok(connection) => folder_checks(&shown, connection, tell).await,
                Err(failure) => tell(Finding::bad("folder", failure.sentence, "name a folder that can be written to")),
            }
        }
    }
}

async fn folder_checks(shown: &str, connection: Connection, tell: &mut dyn FnMut(Finding)) {
    tell(Finding::good("folder", format!("the embedded Image service works on {shown}")));
    seeking(connection.service().as_ref()).await.into_iter().for_each(&mut *tell);
    connection.close().await;
}

async fn cloud_checks(cloud: Cloud, tell: &mut dyn FnMut(Finding)) {
    tell(Finding::good("cloud", settings(&cloud)));
    if let Err(error) = log_in(&cloud, tell).await {
        tell(error);
        return;
    }
    if cloud.backend == Backend::Compute {
        compute_checks(cloud, tell).await;
        return;
    }
    match Glance::connect(cloud).await {
        Ok(glance) => {
            let version = glance.version().unwrap_or("a version that it does not tell");
            tell(Finding::good("service", format!("{} speaks {version} and lists images", glance.address())));
            seeking(&glance).await.into_iter().for_each(tell);
        }
        Err(error) => tell(failed("service", &error)),
    }
}

async fn compute_checks(cloud: Cloud, tell: &mut dyn FnMut(Finding)) {
    let compute = match Compute::connect(cloud, false).await {
        Ok(compute) => compute,
        Err(error) => return tell(failed("service", &error)),
    };
    tell(Finding::good("service", format!("{} lists images (Compute API)", compute.address())));
    match compute.image_service().await {
        Ok(glance) => {
            tell(Finding::good("data", format!("the Image service at {} gives the data", glance.address())));
            seeking(&compute).await.into_iter().for_each(tell);
        }
        Err(error) if matches!(error.kind, Kind::Configuration | Kind::NotOffered) => tell(without_images(&error)),
        Err(error) => tell(failed("data", &error)),
    }
}

/// A cloud that shows images by its Compute service alone.
fn without_images(error: &ServiceError) -> Finding {
    let advice = "images have no data in such a mount, and their properties can be changed with --allow-visibility-change \
                  only; an Image service that the catalog does not tell can be named with --os-image-endpoint-override";
    Finding::note("data", format!("no Image service gives the data: {error}"), advice)
}

/// The settings in a few words, without secrets.
fn settings(cloud: &Cloud) -> String {
    let keystone = cloud.auth_url.as_ref().map(|url| format!(", Keystone at {url}"));
    let region = cloud.region.as_ref().map(|region| format!(", region {region}"));
    format!("{}: {}{}{}", cloud.name, cloud.auth.name(), keystone.unwrap_or_default(), region.unwrap_or_default())
}

/// A token, and the address of the service. The clock comes before the login, which a wrong one can spoil; where
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
    let endpoint = match cloud.backend {
        Backend::Image => login.image_endpoint().await,
        Backend::Compute => login.compute_endpoint().await,
    };
    let endpoint = endpoint.map_err(|error| failed("endpoint", &error))?;
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

/// Whether the stores answer ranges, tried with one image of each store that the newest images are in.
async fn seeking(service: &dyn ImageService) -> Vec<Finding> {
    let subject = "ranges";
    let samples = match samples(service).await {
        Ok(samples) => samples,
        Err(error) => return vec![failed(subject, &error)],
    };
    if samples.is_empty() {
        let words = "there is no active image to try them on";
        return vec![Finding::note(subject, words, "run the check again when there is one")];
    }
    let mut findings = Vec::new();
    for source in samples {
        findings.push(ranges_of(service, subject, &source).await);
    }
    findings
}

async fn ranges_of(service: &dyn ImageService, subject: &'static str, source: &Source) -> Finding {
    let store = source.store.as_ref().map_or_else(String::new, |store| format!(" in store {store}"));
    match service.read_range(source, 0..1).await {
        Ok(_) => Finding::good(subject, format!("parts of image {}{store} can be read", source.image)),
        Err(error) if matches!(error.kind, Kind::Unseekable | Kind::Unranged) => Finding::note(
            subject,
            format!("image {}{store} is given as a whole only", source.image),
            "reading works, but what lies far into an image comes late: copy it out first",
        ),
        Err(error) => failed(subject, &error),
    }
}

/// An active image of at least two bytes (of a single one, a part cannot be told from the whole) for each store that is
/// told, or one where none is.
async fn samples(service: &dyn ImageService) -> crate::service::Result<Vec<Source>> {
    let filters = vec![("status".to_owned(), "active".to_owned())];
    let page = service.list(&ListQuery { filters, ..ListQuery::default() }, None).await?;
    let mut samples: Vec<Source> = Vec::new();
    for image in page.read()?.images.iter().filter(|image| image.status == Status::Active) {
        let Some(size) = image.size.filter(|size| *size > 1) else { continue };
        let stores = image.stores.iter().cloned().map(Some);
        for store in stores.chain(image.stores.is_empty().then_some(None)) {
            if samples.iter().all(|sample| sample.store != store) {
                samples.push(Source { image: image.id, size, store });
            }
        }
    }
    Ok(samples)
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
        Kind::NotOffered | Kind::Malformed => {
            "check that the address is that of an Image service (Glance, API v2), or with --service compute that of a \
             Compute service (Nova, it mostly ends in /v2.1)"
        }
        Kind::Unavailable => "wait, or ask the cloud's operators: the service itself fails",
        Kind::NotFound
        | Kind::Conflict
        | Kind::Gone
        | Kind::OverQuota
        | Kind::TooLarge
        | Kind::StoreFull
        | Kind::Invalid
        | Kind::FormatMismatch
        | Kind::MarkerGone
        | Kind::Unseekable
        | Kind::Unranged
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
        assert_eq!(verdicts(&service).await, [Verdict::Good]);
        assert_eq!(verdicts(&Fake::with([])).await, [Verdict::Note]);
        service.change(|world| world.failing = Some(Kind::Unreachable));
        assert_eq!(verdicts(&service).await, [Verdict::Bad]);
    }

    #[tokio::test]
    async fn each_store_is_tried_once() {
        let mut images = [image(1, "a"), image(2, "b"), image(3, "c")];
        images[0].stores = vec!["fast".into()];
        images[1].stores = vec!["fast".into(), "slow".into()];
        let service = Fake::with(images);
        assert_eq!(verdicts(&service).await.len(), 3, "fast, slow, and the one that tells no store");
        assert_eq!(service.calls("read"), 3);
    }

    #[test]
    fn a_cloud_that_shows_images_by_its_compute_service_alone_is_worth_a_note() {
        let error = ServiceError::new(Kind::Configuration, "find the Image service").with_words("there is none");
        let finding = without_images(&error);
        assert_eq!(finding.verdict, Verdict::Note);
        assert!(finding.shown().contains("there is none") && finding.shown().contains("--allow-visibility-change"));
    }

    async fn verdicts(service: &Fake) -> Vec<Verdict> {
        seeking(service).await.into_iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn a_clock_that_is_wrong_by_minutes_is_told_with_its_direction() {
        assert_eq!(clock_finding(Ok(Some(SignedDuration::from_secs(-3)))).verdict, Verdict::Good);
        let found = clock_finding(Ok(Some(SignedDuration::from_secs(-300))));
        assert_eq!(found.verdict, Verdict::Note);
        assert_eq!(found.words, "this machine's clock is 300 s behind the cloud's");
    }
}
