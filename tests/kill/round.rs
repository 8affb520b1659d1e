//! One round: images are written, the daemon is killed, and the next one has to find and finish everything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use glancefs::server::{Behaviour, Server, Settings};
use tokio::runtime::Runtime;

use crate::folder::Folder;
use crate::killer::Killer;
use crate::plan::{Moment, Plan, Writing};
use crate::process::Watched;
use crate::proxy::{self, Act, Proxy};
use crate::support::{Place, Ran};
use crate::writer::Story;

/// Longer than anything takes that comes to an end.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How long it is between two looks at something that takes its time.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// How often the kill fell in which state of an upload.
pub(crate) type Histogram = BTreeMap<String, usize>;

/// What a round has to tell.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) states: Histogram,
    /// From the first step to the last, where nothing was killed before.
    pub(crate) took: Option<Duration>,
    pub(crate) kills: usize,
}

/// A service, a proxy before it, and a place to mount at.
pub(crate) struct Round<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) runtime: &'a Runtime,
    pub(crate) place: Place,
    server: Option<Server>,
    proxy: Proxy,
    /// Whoever waits for requests now.
    killer: Arc<Mutex<Option<Arc<Killer>>>>,
}

/// Plays a round; `usual` is how long one of its class takes.
pub(crate) fn play(plan: &Plan, runtime: &Runtime, usual: Option<Duration>) -> Outcome {
    let round = Round::new(plan, runtime);
    let mut stories = round.stories();
    let mut outcome = Outcome { states: Histogram::new(), took: None, kills: 1 };
    let moment = match plan.moment {
        Moment::Time(_) if usual.is_none() => Moment::Never,
        moment => moment,
    };
    let killer = round.mount_to_kill(moment, plan.write_back);
    let folder = Folder::find(&round.state());
    outcome.took = round.disturb(&killer, &folder, &mut stories, usual);
    round.clear_away(&killer);
    round.check(&folder, &stories, &mut outcome.states);
    round.server().set_behaviour(Behaviour::default());
    if let Some(second) = plan.second {
        round.kill_again(second, &folder);
        round.check(&folder, &stories, &mut outcome.states);
        outcome.kills += 1;
    }
    round.finish(&folder, &stories);
    round.end();
    outcome
}

impl<'a> Round<'a> {
    fn new(plan: &'a Plan, runtime: &'a Runtime) -> Self {
        let place = Place::new();
        let behaviour = Behaviour {
            upload_rate: plan.rate,
            latency: plan.latency,
            uploads: plan.faults.clone(),
            ..Behaviour::default()
        };
        let settings = Settings { behaviour, ..Settings::new(place.path("images")) };
        let server = runtime.block_on(Server::start(settings)).unwrap();
        let killer: Arc<Mutex<Option<Arc<Killer>>>> = Arc::default();
        let told = Arc::clone(&killer);
        let judge = Arc::new(move |request: &proxy::Request, step| {
            let killer = told.lock().unwrap().clone();
            killer.map_or(Act::Pass, |killer| killer.judge(request, step))
        });
        let proxy = Proxy::start(runtime, &server.url(), judge);
        Self { plan, runtime, place, server: Some(server), proxy, killer }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.place.path("uploads-of-the-round")
    }

    fn stories(&self) -> Vec<Story> {
        let story = |(number, writing): (usize, &Writing)| {
            let mut bytes = vec![0; writing.size];
            fastrand::Rng::with_seed(self.plan.seed ^ number as u64).fill(&mut bytes);
            Story::new(format!("image-{number}"), bytes)
        };
        self.plan.images.iter().enumerate().map(story).collect()
    }

    pub(crate) fn mount(&self, write_back: bool) -> Watched {
        let mut command = self.place.command();
        command.args(["mount", &self.proxy.url()]).arg(self.place.mount());
        command.arg("--log-file").arg(self.place.path("log")).arg("--state-dir").arg(self.state());
        command.args(write_back.then_some("--write-back"));
        Ran::of(command.output().unwrap()).succeeded();
        Watched::daemon_of(&self.place)
    }

    fn mount_to_kill(&self, moment: Moment, write_back: bool) -> Arc<Killer> {
        let killer = Arc::new(Killer::new(moment));
        *self.killer.lock().unwrap() = Some(Arc::clone(&killer));
        killer.is_for(self.mount(write_back));
        killer
    }

    /// Writes all images, until the daemon is killed; where nothing else kills it, when all is done. Tells how long that
    /// took.
    fn disturb(
        &self,
        killer: &Killer,
        folder: &Folder,
        stories: &mut [Story],
        usual: Option<Duration>,
    ) -> Option<Duration> {
        let (by_name, over, began) = (self.place.mount().join("by-name"), AtomicBool::new(false), Instant::now());
        thread::scope(|scope| {
            let (by_name, over) = (&by_name, &over);
            scope.spawn(move || folder.watch(killer, over));
            let writers = stories.iter_mut().zip(&self.plan.images).enumerate();
            let writers: Vec<_> = writers
                .map(|(number, (story, writing))| scope.spawn(move || story.play(number, writing, by_name, killer)))
                .collect();
            if let (Moment::Time(part), Some(usual)) = (killer.moment, usual) {
                thread::sleep(usual.mul_f64(part));
                killer.fire();
            }
            let mut took = None;
            while !killer.has_fired() {
                if writers.iter().all(ScopedJoinHandle::is_finished) && folder.is_empty() {
                    took = Some(began.elapsed());
                    killer.fire();
                }
                if began.elapsed() > PATIENCE {
                    killer.fire();
                    over.store(true, Ordering::Release);
                    panic!("the round does not come to an end");
                }
                thread::sleep(Duration::from_millis(1));
            }
            for writer in writers {
                writer.join().unwrap();
            }
            over.store(true, Ordering::Release);
            took
        })
    }

    /// A daemon that goes on, and is killed too.
    fn kill_again(&self, moment: Moment, folder: &Folder) {
        let over = AtomicBool::new(false);
        let killer = Arc::new(Killer::new(moment));
        *self.killer.lock().unwrap() = Some(Arc::clone(&killer));
        thread::scope(|scope| {
            let watch = Arc::clone(&killer);
            scope.spawn({
                let over = &over;
                move || folder.watch(&watch, over)
            });
            killer.is_for(self.mount(!self.plan.write_back));
            let began = Instant::now();
            while !killer.has_fired() && folder.is_under_way() && began.elapsed() < PATIENCE {
                thread::sleep(LOOK);
            }
            killer.fire();
            over.store(true, Ordering::Release);
        });
        self.clear_away(&killer);
    }

    fn end(mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }

    /// Waits for the end of a daemon that was killed, and clears its mount away.
    fn clear_away(&self, killer: &Killer) {
        killer.ended();
        *self.killer.lock().unwrap() = None;
        self.place.run(["umount".as_ref(), "--lazy".as_ref(), self.place.mount().as_os_str()]).succeeded();
    }
}
