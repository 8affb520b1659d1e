//! Programs that are started, watched and ended.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// How long a program may take to end after it was asked to.
const FAREWELL: Duration = Duration::from_secs(5);

/// A program that serves in the background; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts a program with its words going to a file. It is asked to end when this process ends, however that is.
    pub(crate) fn start(command: &Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut command = bound(command);
        let out = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { child, name })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended.
    pub(crate) fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended early: {status}", self.name),
        }
    }

    /// Waits until it has ended by itself; answers whether it has.
    pub(crate) fn ends(&mut self, limit: Duration) -> bool {
        wait(&mut self.child, limit).is_ok_and(|ended| ended)
    }
}

/// The same program, which is sent SIGTERM when its parent is gone.
fn bound(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "TERM", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    bound
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Some(pid) = pid(&self.child) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if !self.ends(FAREWELL) {
            let _ = self.child.kill();
            self.ends(FAREWELL);
        }
    }
}

/// Runs a program to its end and answers how long it took. One that takes longer than `limit` is ended, and that is an
/// error, as is its failure.
pub(crate) fn timed(command: &mut Command, limit: Duration) -> Result<Duration> {
    let name = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
    let ended = wait(&mut child, limit)?;
    let took = began.elapsed();
    if !ended {
        child.kill()?;
        // One that hangs in the kernel goes when its mount is ended.
        wait(&mut child, FAREWELL)?;
        bail!("{name} took longer than {} s", limit.as_secs());
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(took)
}

/// What a short program prints.
pub(crate) fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The number of a child that has not been waited for.
fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn wait(child: &mut Child, limit: Duration) -> Result<bool> {
    if child.try_wait()?.is_some() {
        return Ok(true);
    }
    let watched = pidfd_open(pid(child).context("a process without a number")?, PidfdFlags::empty())?;
    let seconds = Timespec { tv_sec: i64::try_from(limit.as_secs())?, tv_nsec: limit.subsec_nanos().into() };
    let mut watched = [PollFd::new(&watched, PollFlags::IN)];
    // An interrupted wait counts as one that is over: the next line looks.
    let _ = poll(&mut watched, Some(&seconds));
    Ok(child.try_wait()?.is_some())
}

/// Processor seconds, in user and kernel mode, that a process and those it started have spent.
pub(crate) fn processor_seconds(root: u32) -> Result<f64> {
    let mut ticks = 0;
    let processes = processes()?;
    let mut tree = vec![root];
    while let Some(parent) = tree.pop() {
        ticks += processes.iter().filter(|process| process.pid == parent).map(|process| process.ticks).sum::<u64>();
        tree.extend(processes.iter().filter(|process| process.parent == parent).map(|process| process.pid));
    }
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The processor seconds that one process has spent, to the nanosecond, threads that have ended included. The ticks of
/// [`processor_seconds`] are too coarse for what takes less than some of them.
pub(crate) fn processor_time(pid: u32) -> Result<f64> {
    let mut clock = 0;
    // SAFETY: the call takes a number and writes another to the place, which lives.
    let error = unsafe { libc::clock_getcpuclockid(libc::pid_t::try_from(pid)?, &raw mut clock) };
    ensure!(error == 0, "process {pid} has no clock: {}", io::Error::from_raw_os_error(error));
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call reads a clock into the place, which lives.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    ensure!(failed == 0, "the clock of process {pid} cannot be read: {}", io::Error::last_os_error());
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?).as_secs_f64())
}

struct Process {
    pid: u32,
    parent: u32,
    ticks: u64,
}

fn processes() -> Result<Vec<Process>> {
    let folders = fs::read_dir("/proc")?.flatten();
    let stats = folders.filter_map(|folder| fs::read_to_string(folder.path().join("stat")).ok());
    Ok(stats.filter_map(|stat| parse(&stat)).collect())
}

/// A line of /proc/PID/stat: the name in it may hold blanks and brackets, what follows does not (`proc_pid_stat(5)`).
fn parse(stat: &str) -> Option<Process> {
    let (before, after) = stat.rsplit_once(')')?;
    let fields: Vec<_> = after.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Process {
        pid: before.split(' ').next()?.parse().ok()?,
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
    })
}

/// The most memory that a process has ever had resident, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

/// The memory that a process has resident, in bytes.
pub(crate) fn resident_memory(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, what: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).with_context(|| format!("no {what}"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes << 10)
}
