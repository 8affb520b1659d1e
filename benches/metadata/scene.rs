//! The scene: many images in the embedded service, and what a mount asks for when they are listed for the first time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::common::embedded::Embedded;
use crate::common::mounts::{Mount, Place};
use crate::common::process::said;
use crate::common::proxy::Proxy;
use crate::images;

/// In which a mount that lists the images by itself has begun to.
const EARLY: Duration = Duration::from_millis(500);

/// Everything that is measured against, for one number of images.
#[derive(Debug)]
pub(crate) struct Scene {
    service: Embedded,
    binary: PathBuf,
    options: Vec<String>,
    /// For mount points and logs; what is in it is of no use after the run.
    pub(crate) scratch: PathBuf,
    /// How many images there are.
    pub(crate) count: usize,
    /// The URLs that a mount asks for before it answers.
    pub(crate) greetings: Vec<String>,
    /// The URLs that a mount fetches for the first listing.
    pub(crate) pages: Vec<String>,
    /// A mount fetches them as soon as it is there.
    pub(crate) early: bool,
}

/// What a scene is made of.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) binary: &'a Path,
    /// Options for our mounts.
    pub(crate) options: Vec<String>,
    /// Where the images are kept between runs.
    pub(crate) cache: &'a Path,
    pub(crate) scratch: &'a Path,
}

impl Scene {
    pub(crate) fn set(plan: &Plan<'_>, count: usize) -> Result<Self> {
        let began = Instant::now();
        let folder = images::folder(plan.binary, plan.cache, plan.scratch, count)?;
        let service = Embedded::start(plan.binary, &folder, &plan.scratch.join("serve.log"))?;
        ensure!(!folder.join("unreadable").exists(), "the service cannot read its images: once more makes new ones");
        let mut scene = Self {
            service,
            binary: plan.binary.to_owned(),
            options: plan.options.clone(),
            scratch: plan.scratch.to_owned(),
            count,
            greetings: vec![],
            pages: vec![],
            early: false,
        };
        scene.listen()?;
        let (pages, took) = (scene.pages.len(), began.elapsed().as_secs_f64());
        eprintln!("{count} images in {pages} pages, after {took:.1} s of preparation");
        Ok(scene)
    }

    /// Writes down what a mount asks for.
    fn listen(&mut self) -> Result<()> {
        let proxy = self.proxy()?;
        let mount = self.mount_at(&proxy.address, &[])?;
        let url =
            |request: &String| request.split_once(' ').map(|(_, path)| format!("http://{}{path}", self.service.host));
        let mut early = proxy.take();
        self.greetings = early.iter().filter(|request| !is_page(request)).filter_map(url).collect();
        thread::sleep(EARLY);
        let late = {
            early.extend(proxy.take());
            let names = names(&mount.point)?;
            ensure!(names.len() == self.count, "{} images are shown as {}", self.count, names.len());
            proxy.take()
        };
        self.early = early.iter().any(|request| is_page(request));
        let pages = early.iter().chain(&late).filter(|request| is_page(request));
        let paths = pages.filter_map(|request| request.split_once(' ')).map(|(_, path)| path);
        self.pages = paths.map(|path| format!("http://{}{path}", self.service.host)).collect();
        ensure!(self.pages.len() >= self.count.div_ceil(1000), "{early:?} and {late:?} are too few pages");
        Ok(())
    }

    /// A proxy in front of the service.
    pub(crate) fn proxy(&self) -> Result<Proxy> {
        Proxy::start(&self.service.host)
    }

    /// The command of a mount in the background.
    pub(crate) fn background(&self, place: &Place) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["mount", "--state-dir"]).arg(place.folder.join("state"));
        command.args(&self.options).arg(format!("http://{}", self.service.host)).arg(&place.point);
        command
    }

    /// The program that is measured.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// A fresh mount of the service.
    pub(crate) fn mount(&self) -> Result<Mount> {
        self.mount_at(&self.service.host, &[])
    }

    /// The same of what stands before it at `host`, with more options.
    pub(crate) fn mount_at(&self, host: &str, more: &[&str]) -> Result<Mount> {
        let place = Place::make(&self.scratch)?;
        let mut command = Command::new(&self.binary);
        command.args(["mount", "--foreground", "--state-dir"]).arg(place.folder.join("state"));
        command.args(&self.options).args(more).arg(format!("http://{host}")).arg(&place.point);
        let root = place.point.clone();
        Mount::start(&command, place, root, |_| true)
    }
}

/// Whether a request is one for a page of the listing. A mount asks for a single image to see whether it may.
fn is_page(request: &str) -> bool {
    request.starts_with("GET /v2/images?") && !request.ends_with("limit=1")
}

/// `ls` of the images' names below a folder.
pub(crate) fn ls(folder: &Path, option: &str) -> Command {
    let mut command = Command::new("ls");
    // The order of bytes costs no rules of a language.
    command.args([option, "by-name"]).current_dir(folder).env("LC_ALL", "C");
    command
}

/// The images' names below a folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    Ok(said(&mut ls(folder, "-U"))?.lines().map(str::to_owned).collect())
}
