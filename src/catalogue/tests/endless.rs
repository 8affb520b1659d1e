//! Listings that do not come to an end.

use super::*;
use crate::fs::testing::MadeUp;
use crate::image::Image;

/// Many pages of nothing, behind one that has an image.
const ENDLESS: MadeUp = |page| match page % 101 {
    1 => (vec![Arc::new(image(1, "one"))], Vec::new()),
    _ => (Vec::new(), Vec::new()),
};

/// A service whose listing does not come to an end.
fn endless() -> Fake {
    let service = Fake::with([image(1, "one"), image(2, "two")]);
    service.change(|world| world.makes_up = Some(ENDLESS));
    service
}

/// How often was asked for everything, and for what changed lately, page by page.
fn asked(service: &Fake) -> (usize, usize) {
    let queries = service.change(|world| std::mem::take(&mut world.queries));
    let short = queries.iter().filter(|query| !query.filters.is_empty()).count();
    (queries.len() - short, short)
}

/// Looks at the listing each TTL for so long.
async fn looks(catalogue: &Catalogue, span: Duration) {
    let until = Instant::now() + span;
    while Instant::now() < until {
        tokio::time::advance(TTL).await;
        for _ in 0..3 {
            assert!(catalogue.listing().await.unwrap().value.image(id(1)).is_some(), "what is known keeps answering");
            settled(catalogue).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_without_an_end_is_asked_for_again_after_a_minute_and_no_sooner() {
    let service = endless();
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    assert_eq!(asked(&service), (101, 0));
    looks(&catalogue, Duration::from_secs(55)).await;
    assert_eq!(asked(&service), (0, 101), "whether a short question helps was tried once");
    looks(&catalogue, Duration::from_secs(5)).await;
    assert_eq!(asked(&service), (101, 0));
    looks(&catalogue, Duration::from_mins(2)).await;
    assert_eq!(asked(&service), (202, 0));

    service.change(|world| world.makes_up = None);
    looks(&catalogue, Duration::from_mins(1)).await;
    assert_eq!(catalogue.listing().await.unwrap().value.len(), 2, "and it recovers");
    asked(&service);
    looks(&catalogue, Duration::from_mins(1)).await;
    assert_eq!(asked(&service), (12, 0), "it is short, and complete each time");
}

#[tokio::test(start_paused = true)]
async fn behind_a_listing_without_an_end_what_changes_shows_where_short_questions_have_one() {
    let service = endless();
    service.change(|world| world.filters = true);
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    asked(&service);
    service.change(|world| {
        world.images.push(Image { updated_at: Timestamp::now(), ..image(3, "made") });
    });
    looks(&catalogue, Duration::from_secs(55)).await;
    assert_eq!(asked(&service), (0, 11));
    assert_eq!(name_of(&catalogue, 3).await, "made");
    assert!(!catalogue.listing().await.unwrap().fresh_for.is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_listing_without_an_end_takes_nothing_away_and_vouches_for_nothing() {
    let service = Fake::with([image(1, "one"), image(2, "two"), image(3, "three")]);
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    service.change(|world| {
        world.makes_up = Some(ENDLESS);
        world.images.retain(|image| image.id != id(3));
    });
    tokio::time::advance(TTL).await;
    let listing = catalogue.listing().await.unwrap().value;
    assert_eq!(listing.len(), 3);
    assert_eq!(catalogue.current(id(2)).await.unwrap().value.id, id(2));
    assert_eq!(catalogue.current(id(3)).await.unwrap_err().kind, Kind::NotFound, "who opens it asks");
    assert!(catalogue.health().complete.unwrap() >= TTL);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_goes_away_meanwhile_is_not_said_to_be_back_before_it_is() {
    let service = endless();
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    looks(&catalogue, TTL).await;
    service.change(|world| world.failing = Some(Kind::Unreachable));
    tokio::time::advance(TTL).await;
    catalogue.listing().await.unwrap();
    assert!(catalogue.current(id(1)).await.is_ok());
    assert!(catalogue.health().stale);
    looks(&catalogue, TTL).await;
    assert!(catalogue.health().stale);
    service.change(|world| world.failing = None);
    looks(&catalogue, Duration::from_mins(1)).await;
    assert!(!catalogue.health().stale);
}
