//! Listings over a service in memory.

use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

mod endless;

use super::changes::{Change, Changes};
use super::refresh::ONE_PAGE;
use super::*;
use crate::fs::testing::{Fake, id, image};
use crate::image::MemberStatus;

const TTL: Duration = Duration::from_secs(5);

fn catalogue(service: &Fake) -> Catalogue {
    Catalogue::new(Arc::new(service.clone()), TTL)
}

#[tokio::test]
async fn a_listing_follows_all_pages() {
    let service = Fake::with((1..=7).map(|n| image(n, "x")));
    service.change(|world| world.page = 2);
    assert_eq!(catalogue(&service).listing().await.unwrap().value.len(), 7);
    assert_eq!(service.calls("list"), 4);
}

#[tokio::test]
async fn all_who_wait_for_a_listing_share_one() {
    let service = Fake::with([image(1, "x")]);
    let catalogue = catalogue(&service);
    let waiting = (0..20).map(|_| catalogue.listing());
    for outcome in futures_util::future::join_all(waiting).await {
        assert_eq!(outcome.unwrap().value.len(), 1);
    }
    assert_eq!(service.calls("list"), 1);
}

#[tokio::test]
async fn a_listing_begins_again_when_its_marker_was_deleted() {
    let service = Fake::with([]);
    service.change(|world| world.failing = Some(Kind::MarkerGone));
    let outcome = catalogue(&service).listing().await;
    assert_eq!(outcome.unwrap_err().kind, Kind::MarkerGone, "but not for ever");
    assert_eq!(service.calls("list"), pages::STARTS as usize);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_exist_is_asked_for_once_a_ttl() {
    let service = Fake::with([]);
    let catalogue = catalogue(&service);
    for _ in 0..3 {
        assert_eq!(catalogue.image(id(9)).await.unwrap_err().kind, Kind::NotFound);
    }
    assert_eq!(service.calls("show"), 1);
    service.change(|world| world.hidden.push(image(9, "late")));
    tokio::time::advance(TTL).await;
    assert!(catalogue.image(id(9)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_no_memory() {
    let service = Fake::with([]);
    let catalogue = catalogue(&service);
    service.change(|world| world.failing = Some(Kind::Unavailable));
    assert_eq!(catalogue.image(id(1)).await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(catalogue.listing().await.unwrap_err().kind, Kind::Unavailable);
    service.change(|world| {
        world.failing = None;
        world.images.push(image(1, "x"));
    });
    assert_eq!(catalogue.image(id(1)).await.unwrap().value.id, id(1));
    assert_eq!(catalogue.listing().await.unwrap_err().kind, Kind::Unavailable, "which is no tight loop");
    assert_eq!(service.calls("list"), 1);
    tokio::time::advance(AT_FIRST).await;
    assert_eq!(catalogue.listing().await.unwrap().value.len(), 1, "who tries again by hand waits for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_is_made_once_a_ttl_however_often_somebody_looks() {
    for kind in [Kind::Malformed, Kind::Unreachable, Kind::Forbidden, Kind::Invalid] {
        let service = Fake::with([image(1, "x")]);
        let catalogue = catalogue(&service);
        catalogue.listing().await.unwrap();
        service.change(|world| world.failing = Some(kind.clone()));
        for round in 1..=3 {
            tokio::time::advance(TTL).await;
            for _ in 0..20 {
                match catalogue.listing().await {
                    Ok(known) => assert!(is_away(&kind) && known.value.len() == 1 && known.fresh_for.is_zero()),
                    Err(error) => assert!(error.kind == kind && !is_away(&kind)),
                }
                settled(&catalogue).await;
                tokio::time::advance(TTL / 40).await;
            }
            assert_eq!(service.calls("list"), 1 + round, "{kind:?}");
        }
        service.change(|world| world.failing = None);
        tokio::time::advance(TTL / 2).await;
        let _ = catalogue.listing().await;
        settled(&catalogue).await;
        assert!(!catalogue.listing().await.unwrap().fresh_for.is_zero(), "it recovers within a TTL");
    }
}

#[tokio::test(start_paused = true)]
async fn images_of_a_long_listing_go_on_answering_while_the_service_is_away() {
    let count = u32::try_from(ONE_PAGE).unwrap() + 1;
    let service = Fake::with((1..=count).map(|n| image(n, "x")));
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    service.change(|world| world.failing = Some(Kind::Unreachable));
    tokio::time::advance(TTL).await;
    for n in 1..=count {
        assert_eq!(catalogue.image(id(n)).await.unwrap().value.id, id(n));
    }
    assert_eq!(service.calls("show"), 0, "one question finds out for all of them");

    service.change(|world| {
        world.failing = None;
        world.images[0].name = Some("renamed".to_owned());
    });
    let asked = service.calls("list");
    tokio::time::advance(TTL).await;
    catalogue.listing().await.unwrap();
    asked_for(&service, asked + 1).await;
    settled(&catalogue).await;
    assert_eq!(name_of(&catalogue, 1).await, "renamed");
}

#[tokio::test(start_paused = true)]
async fn the_quota_stays_known_while_the_service_is_away() {
    let service = Fake::with([]);
    let usage = crate::image::Usage { limit: Some(10), used: 4, image_limit: None, images: 1 };
    service.change(|world| world.usage = Some(usage));
    let catalogue = catalogue(&service);
    assert_eq!(catalogue.usage().await.unwrap(), Some(usage));
    service.change(|world| world.failing = Some(Kind::Unreachable));
    tokio::time::advance(TTL).await;
    assert_eq!(catalogue.usage().await.unwrap(), Some(usage));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_for_the_quota_and_it_is_taken_in_when_it_comes() {
    let service = Fake::with([]);
    let usage = crate::image::Usage { limit: Some(10), used: 4, image_limit: None, images: 1 };
    let held = Arc::new(Semaphore::new(0));
    service.change(|world| {
        world.usage = Some(usage);
        world.holding.insert("usage", Arc::clone(&held));
    });
    let catalogue = catalogue(&service);
    let begun = Instant::now();
    assert_eq!(catalogue.usage().await.unwrap(), None);
    assert_eq!(catalogue.usage().await.unwrap(), None);
    assert_eq!((begun.elapsed().as_secs(), service.calls("usage")), (20, 1), "one question is under way");
    held.add_permits(1);
    assert_eq!(catalogue.usage().await.unwrap(), Some(usage));
    tokio::time::advance(TTL).await;
    let begun = Instant::now();
    assert_eq!(catalogue.usage().await.unwrap(), Some(usage), "as it was last told");
    assert_eq!(begun.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_here_shows_at_once_and_in_listings_that_were_asked_for_before() {
    let service = Fake::with([image(1, "one"), image(2, "two")]);
    let catalogue = catalogue(&service);
    let names = async || {
        let listing = catalogue.listing().await.unwrap().value;
        listing.names().iter().map(|(name, _)| name.into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["one", "two"]);
    catalogue.learn(image(3, "three"));
    catalogue.gone(id(1));
    assert_eq!(names().await, ["three", "two"], "although the service was not asked again");
    assert!(catalogue.image(id(3)).await.is_ok());

    // The service, which this test did not tell, is right about what is older than its listing.
    tokio::time::advance(TTL).await;
    assert_eq!(names().await, ["one", "two"]);
}

#[test]
fn a_listing_that_was_asked_for_before_a_change_is_brought_up_to_it() {
    let (mut changes, asked) = (Changes::default(), Instant::now());
    changes.asked(asked);
    changes.note(Change::Gone(id(1)), asked);
    changes.note(Change::Image(Arc::new(image(3, "three"))), asked);
    let mut brought = Snapshot::new([image(1, "one")]);
    changes.bring_up(&mut brought, asked);
    assert!(brought.image(id(1)).is_none() && brought.names().resolve("three") == Some(id(3)));
}

/// Has the answers to calls of a name wait until they are let through.
fn hold(service: &Fake, name: &'static str) -> Arc<Semaphore> {
    let held = Arc::new(Semaphore::new(0));
    service.change(|world| world.holding.insert(name, Arc::clone(&held)));
    held
}

#[tokio::test(start_paused = true)]
async fn members_that_were_asked_for_before_a_change_are_not_remembered_behind_it() {
    let service = Fake::with([image(1, "x")]);
    let catalogue = catalogue(&service);
    let held = hold(&service, "members");
    let of = image(1, "x");
    let asking = catalogue.members(&of);
    let changing = async {
        tokio::task::yield_now().await;
        assert_eq!(service.calls("members"), 1, "the answer is on its way");
        let member = Member { project: "new".to_owned(), status: MemberStatus::Pending, updated_at: None };
        service.change(|world| world.members.push(member));
        catalogue.forget_members(id(1));
        held.add_permits(2);
    };
    let (asked, ()) = tokio::join!(asking, changing);
    assert_eq!(asked.unwrap().value.len(), 0, "who asked before hears what was so then");
    assert_eq!(catalogue.members(&of).await.unwrap().value.len(), 1);
    assert_eq!(service.calls("members"), 2);
    catalogue.members(&of).await.unwrap();
    assert_eq!(service.calls("members"), 2, "and that is remembered");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_was_asked_for_before_a_change_of_ours_is_not_what_is_remembered_of_it() {
    let service = Fake::with([]);
    service.change(|world| world.hidden = vec![image(1, "old"), image(2, "old")]);
    let catalogue = catalogue(&service);
    let held = hold(&service, "show");
    let changing = async {
        tokio::task::yield_now().await;
        assert_eq!(service.calls("show"), 2, "the answers are on their way");
        tokio::time::advance(Duration::from_millis(1)).await;
        catalogue.learn(image(1, "new"));
        catalogue.gone(id(2));
        held.add_permits(2);
    };
    let (one, two, ()) = tokio::join!(catalogue.image(id(1)), catalogue.image(id(2)), changing);
    assert_eq!(one.unwrap().value.name.as_deref(), Some("new"));
    assert_eq!(two.unwrap_err().kind, Kind::NotFound);
    assert_eq!(catalogue.image(id(1)).await.unwrap().value.name.as_deref(), Some("new"));
    assert_eq!(catalogue.image(id(2)).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(service.calls("show"), 2);
}

const MANY: u32 = 1010;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// More images than a page has, of which the last one changed last.
fn many() -> Fake {
    Fake::with((1..=MANY).map(|n| Image { updated_at: at(i64::from(n)), ..image(n, &format!("image {n}")) }))
}

fn touch(service: &Fake, n: u32, name: &str, second: i64) {
    service.change(|world| {
        let image = world.images.iter_mut().find(|image| image.id == id(n)).unwrap();
        (image.name, image.updated_at) = (Some(name.to_owned()), at(second));
    });
}

async fn name_of(catalogue: &Catalogue, n: u32) -> String {
    catalogue.image(id(n)).await.unwrap().value.name.clone().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_long_listing_is_followed_by_one_short_question_a_ttl() {
    let service = many();
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    assert_eq!(service.calls("list"), 2, "two pages");
    for round in 1..=3 {
        tokio::time::advance(TTL).await;
        assert_eq!(name_of(&catalogue, 1).await, "image 1");
        assert_eq!(name_of(&catalogue, 2).await, "image 2");
        assert_eq!(service.calls("list"), 2 + round);
    }
    let asked = service.change(|world| world.queries.pop().unwrap());
    let from = at(i64::from(MANY) - 60).to_string();
    assert_eq!(asked.filters, [("updated_at".to_owned(), format!("gte:{from}"))]);
    assert_eq!(service.calls("show"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_changes_elsewhere_in_a_long_listing_shows_after_the_ttl() {
    let service = many();
    let catalogue = catalogue(&service);
    let before = catalogue.listing().await.unwrap().value;
    touch(&service, 5, "renamed", 5000);
    service.change(|world| world.images.push(Image { updated_at: at(5001), ..image(2000, "made") }));
    assert_eq!(name_of(&catalogue, 5).await, "image 5");
    tokio::time::advance(TTL).await;
    let after = catalogue.listing().await.unwrap().value;
    assert_eq!(name_of(&catalogue, 5).await, "renamed");
    assert_eq!((after.names().resolve("made"), after.names().resolve("image 5")), (Some(id(2000)), None));
    assert_eq!(before.names().resolve("image 5"), Some(id(5)), "a listing that somebody holds stays as it is");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_stamped_by_a_wrong_clock_hides_no_others() {
    let (year, week) = (365 * 86_400, 7 * 86_400);
    let ahead = Timestamp::now().as_second() - at(0).as_second() + year;
    // As of the year to come, and by a server whose clock is fifty seconds behind that of another.
    for (wrong, right) in [(ahead, ahead - week), (5000, 5000 - 50)] {
        let service = many();
        touch(&service, 1, "wrong", wrong);
        let catalogue = catalogue(&service);
        catalogue.listing().await.unwrap();
        touch(&service, 5, "renamed", right);
        tokio::time::advance(TTL).await;
        assert_eq!(name_of(&catalogue, 5).await, "renamed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_ours_does_not_hide_older_ones_of_others() {
    let service = many();
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    touch(&service, 5, "renamed", 5000);
    catalogue.learn(Image { updated_at: at(9000), ..image(6, "ours") });
    touch(&service, 6, "ours", 9000);
    tokio::time::advance(TTL).await;
    assert_eq!(name_of(&catalogue, 5).await, "renamed");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_elsewhere_shows_when_it_is_opened_and_in_the_next_complete_listing() {
    let service = many();
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    service.change(|world| world.images.retain(|image| image.id != id(7) && image.id != id(8)));
    tokio::time::advance(TTL).await;
    assert_eq!(name_of(&catalogue, 7).await, "image 7", "no short answer can tell");
    assert_eq!(catalogue.current(id(7)).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(catalogue.listing().await.unwrap().value.names().resolve("image 7"), None, "and that is kept");

    tokio::time::advance(Duration::from_mins(1)).await;
    catalogue.listing().await.unwrap();
    asked_for(&service, 6).await;
    settled(&catalogue).await;
    assert!(catalogue.image(id(8)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_complete_listing_that_fails_is_tried_again_a_minute_later_and_the_short_ones_go_on() {
    let service = many();
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    service.change(|world| world.broken_behind = Some(id(1000).into()));
    let short = |query: &ListQuery| !query.filters.is_empty();
    for second in (0..240).step_by(5) {
        tokio::time::advance(TTL).await;
        assert!(!catalogue.listing().await.unwrap().fresh_for.is_zero(), "after {second} s");
        settled(&catalogue).await;
    }
    let queries = service.change(|world| world.queries.clone());
    assert_eq!(queries.iter().filter(|query| short(query)).count(), 48);
    // Each asks for the page that can be read, and for the other one.
    assert_eq!(queries.iter().filter(|query| !short(query)).count(), 2 + 4 * 2);
    service.change(|world| {
        world.broken_behind = None;
        world.images.retain(|image| image.id != id(7));
    });
    tokio::time::advance(Duration::from_mins(1)).await;
    catalogue.listing().await.unwrap();
    settled(&catalogue).await;
    assert!(catalogue.listing().await.unwrap().value.image(id(7)).is_none(), "and it comes to its end again");
}

/// Lets what goes on in the background ask for so many pages.
async fn asked_for(service: &Fake, pages: usize) {
    while service.calls("list") < pages {
        tokio::task::yield_now().await;
    }
}

/// Lets what goes on in the background come to its end.
async fn settled(catalogue: &Catalogue) {
    let is_busy = || {
        let state = catalogue.0.state();
        state.refresh.is_under_way() || state.completing.is_under_way()
    };
    while is_busy() {
        // Pages are read on other threads.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_on_its_way_takes_back_nothing_newer() {
    let service = many();
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    tokio::time::advance(TTL).await;
    let held = hold(&service, "list");
    touch(&service, 5, "theirs", 5000);
    let changing = async {
        asked_for(&service, 3).await;
        catalogue.learn(Image { updated_at: at(5000), ..image(5, "ours") });
        held.add_permits(10);
    };
    let (listed, ()) = tokio::join!(catalogue.listing(), changing);
    assert_eq!(listed.unwrap().value.names().resolve("ours"), Some(id(5)));
    assert_eq!(name_of(&catalogue, 5).await, "ours");
}

#[tokio::test]
async fn a_listing_that_turns_in_a_circle_comes_to_an_end() {
    let service = Fake::with((1..=3).map(|n| image(n, "x")));
    service.change(|world| (world.page, world.endless) = (2, Some(id(2).into())));
    assert_eq!(catalogue(&service).listing().await.unwrap().value.len(), 3);
    assert_eq!(service.calls("list"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_listed_again_as_it_was_is_held_once() {
    let service = Fake::with([image(1, "a"), image(2, "b"), image(3, "c")]);
    service.change(|world| world.page = 2);
    let catalogue = catalogue(&service);
    let before = catalogue.listing().await.unwrap().value;
    service.change(|world| world.images[1].protected = true);
    tokio::time::advance(TTL).await;
    let now = catalogue.listing().await.unwrap().value;
    let is_shared = |n| Arc::ptr_eq(before.image(id(n)).unwrap(), now.image(id(n)).unwrap());
    assert_eq!([1, 2, 3].map(is_shared), [true, false, true]);
    let found = catalogue.find(&ListQuery::default(), None, 1, |_| true).await.unwrap();
    assert!(Arc::ptr_eq(&found[0], now.image(id(1)).unwrap()), "also as the answer to a question");
}

#[tokio::test]
async fn as_many_are_found_as_are_enough_whatever_is_left_out() {
    let service = Fake::with((1..=9).map(|n| image(n, "x")));
    service.change(|world| world.page = 2);
    let is_odd = |image: &Image| [1, 5, 7, 9].map(id).contains(&image.id);
    let found = catalogue(&service).find(&ListQuery::default(), None, 3, is_odd).await.unwrap();
    assert_eq!(found.iter().map(|image| image.id).collect::<Vec<_>>(), [1, 5, 7].map(id));
    assert_eq!(service.calls("list"), 4, "and no page behind them");
}

#[tokio::test]
async fn a_page_that_was_asked_for_in_vain_is_not_taken() {
    for (guess, asked) in [(4, 3 + 3), (2, 3 + 1), (99, 3 + 3)] {
        let service = Fake::with((1..=5).map(|n| image(n, "x")));
        service.change(|world| (world.page, world.looks_like) = (2, Some(id(guess).into())));
        let listing = catalogue(&service).listing().await.unwrap().value;
        assert_eq!(
            listing.images().iter().map(|image| image.id).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5].map(id),
            "{guess}"
        );
        assert!(service.calls("list") <= asked, "{guess}: {}", service.calls("list"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_cannot_be_read_takes_nothing_away() {
    let service = many();
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    service.change(|world| world.failing = Some(Kind::Malformed));
    tokio::time::advance(TTL).await;
    assert_eq!(catalogue.listing().await.unwrap().value.len(), MANY as usize);
    assert!(catalogue.health().stale);
    assert_eq!(name_of(&catalogue, 1).await, "image 1");
}

#[tokio::test]
async fn an_image_that_loses_its_name_leaves_the_names_and_comes_back_with_one() {
    let service = Fake::with([image(1, "one"), image(2, "two")]);
    let catalogue = catalogue(&service);
    catalogue.listing().await.unwrap();
    for name in [None, Some(String::new()), Some("again".to_owned())] {
        catalogue.learn(Image { name: name.clone(), ..image(1, "") });
        let listing = catalogue.listing().await.unwrap().value;
        let names: Vec<_> = listing.names().iter().map(|(entry, _)| entry.into_owned()).collect();
        assert_eq!(names.contains(&"again".to_owned()), name.is_some_and(|name| !name.is_empty()));
        assert!(names.contains(&"two".to_owned()) && listing.image(id(1)).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_nobody_reads_is_changed_in_place() {
    let service = many();
    let catalogue = catalogue(&service);
    for _ in 0..2 {
        drop(catalogue.listing().await.unwrap());
        assert_eq!(catalogue.state().listing.as_ref().map(|listing| Arc::strong_count(&listing.value)), Some(1));
        tokio::time::advance(TTL).await;
    }
}
