use tokio::sync::oneshot;

use super::*;

#[tokio::test]
async fn what_need_not_wait_is_done_on_the_thread_that_took_it() {
    let here = std::thread::current().id();
    let (told, hear) = std::sync::mpsc::channel();
    begin_here(&Handle::current(), async move { told.send(std::thread::current().id()).unwrap() });
    assert_eq!(hear.try_recv(), Ok(here));
}

#[tokio::test]
async fn what_has_to_wait_goes_on_in_the_runtime() {
    let (release, wait) = oneshot::channel::<u8>();
    let (told, hear) = oneshot::channel();
    begin_here(&Handle::current(), async move { told.send(wait.await.unwrap()).unwrap() });
    release.send(7).unwrap();
    assert_eq!(hear.await, Ok(7));
}

#[tokio::test]
async fn a_panic_ends_the_request_and_not_the_thread() {
    let (told, hear) = oneshot::channel::<()>();
    begin_here(&Handle::current(), async move {
        let _dropped_with_the_request = told;
        panic!("on purpose");
    });
    assert!(hear.await.is_err());
}
