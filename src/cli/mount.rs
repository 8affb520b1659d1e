//! `glancefs mount`: checks what can be checked at once, goes into the background, logs in, mounts and stays until the end.

mod beginning;
mod living;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ArgAction;

use super::connect::{self, Target};
use super::output::{self, Code, Failure};
use super::writes::Writes;
use crate::config::folders::variable;
use crate::config::mount_settings::{self, Access, DiskCache, Limits, Ownership};
use crate::config::{Backend, OpenStackOptions, quantity, users};
use crate::fs::FileSystem;
use crate::mount::daemon::Inherited;
use crate::mount::guard::Guard;
use crate::mount::handed::Handed;
use crate::mount::{point, session};
use crate::telemetry::Detail;
use crate::telemetry::listen::Listener;
use crate::write::Uploads;
use crate::{fs, read};

/// Mount an Image service as a folder
///
/// Returns when the mount answers, and goes on in the background until it is unmounted (umount, fusermount3 -u or
/// glancefs umount). Every long option can also be given as -o name=value, as in fstab.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true, override_usage = "glancefs mount [OPTIONS] [SOURCE] MOUNTPOINT")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line, independent of the others")]
pub struct Arguments {
    /// What to mount and where. SOURCE is a cloud of clouds.yaml (NAME or NAME/REGION), the URL of an Image service
    /// without Keystone, or local:DIR for the embedded Image service on a folder; without one, the OS_* variables tell
    #[arg(num_args = 1..=2, required = true, value_name = "[SOURCE] MOUNTPOINT")]
    places: Vec<OsString>,
    /// Mount options, with commas between them
    #[arg(short = 'o', value_name = "OPTIONS")]
    options: Vec<String>,
    /// Stay in the foreground, and log to standard error
    #[arg(short, long)]
    foreground: bool,
    /// Pass over unknown mount options
    #[arg(short, long)]
    sloppy: bool,
    /// Check everything that can be checked without the service, and do not mount
    #[arg(long, hide = true)]
    fake: bool,
    /// The service that shows the images; the Compute service shows and deletes them and changes their properties
    #[arg(long, value_name = "SERVICE", value_enum, default_value_t)]
    service: Backend,
    /// With --service compute, change properties of shared and community images too, which makes those private
    #[arg(long)]
    allow_visibility_change: bool,
    /// Mount read-only: nothing can be changed through it
    #[arg(short, long)]
    read_only: bool,
    /// Let every user in, as far as the mode bits allow
    #[arg(long, conflicts_with = "allow_root")]
    allow_other: bool,
    /// Let root in besides the user who mounts
    #[arg(long)]
    allow_root: bool,
    /// Let the kernel check the mode bits; it always does in what this program mounts itself
    #[arg(long, hide = true)]
    default_permissions: bool,
    /// Forbid to run programs from the mount
    #[arg(long)]
    noexec: bool,
    /// Follow no symbolic links of the mount, as mount(8) has it; it takes root
    #[arg(long, hide = true)]
    nosymfollow: bool,
    /// Unmount also when the program dies
    #[arg(long)]
    auto_unmount: bool,
    /// Bytes that the kernel may ask for at once
    #[arg(long, value_name = "SIZE", value_parser = mount_settings::max_read, hide = true)]
    max_read: Option<u32>,
    /// Requests of read-ahead that the kernel may let wait at once
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..), hide = true)]
    max_background: Option<u16>,
    /// Words behind -o that this program decides by itself
    #[arg(long, value_name = "NAME", hide = true)]
    passed_over: Vec<String>,
    /// The user who owns everything in the mount [default: the one who mounts]
    #[arg(long, value_name = "USER", value_parser = users::user)]
    uid: Option<u32>,
    /// The group of everything in the mount [default: that of the user who mounts]
    #[arg(long, value_name = "GROUP", value_parser = users::group)]
    gid: Option<u32>,
    /// Mode bits to take away from files and folders
    #[arg(long, value_name = "OCTAL", value_parser = mount_settings::mask)]
    umask: Option<u16>,
    /// Mode bits to take away from files
    #[arg(long, value_name = "OCTAL", value_parser = mount_settings::mask)]
    fmask: Option<u16>,
    /// Mode bits to take away from folders
    #[arg(long, value_name = "OCTAL", value_parser = mount_settings::mask)]
    dmask: Option<u16>,
    /// What the mount is called in findmnt and df [default: the SOURCE]
    #[arg(long, value_name = "NAME", value_parser = mount_settings::name)]
    fsname: Option<String>,
    /// How old what is shown of images may be [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    ttl: Option<Duration>,
    /// Memory for image data [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = mount_settings::memory)]
    memory: Option<u64>,
    /// Requests for image data under way at once, from 1 to 64 [default: 16]
    #[arg(long, value_name = "NUMBER", value_parser = mount_settings::parallel)]
    max_parallel: Option<usize>,
    /// Keep image data in this folder, also from mount to mount [default: only in memory]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// How much of it [default: 16GiB; with this option alone, in ~/.cache/glancefs]
    #[arg(long, value_name = "SIZE", value_parser = mount_settings::cache_size)]
    cache_size: Option<u64>,
    /// Return from close before the service has what was written; the queue goes on behind it
    #[arg(long)]
    write_back: bool,
    /// Keep uploads in this folder until they are done [default: ~/.local/state/glancefs]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// How long the end of the mount waits for uploads [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    drain_timeout: Option<Duration>,
    /// The log of a mount in the background [default: a file in ~/.local/state/glancefs]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Answer monitoring (Prometheus) with numbers: the path /metrics at this address, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// Log every request; the variable `GLANCEFS_LOG` chooses more finely
    #[arg(short, long, action = ArgAction::SetTrue)]
    debug: bool,
    #[command(flatten)]
    cloud: OpenStackOptions,
}

/// What to do, after everything was checked that needs no service.
struct Plan {
    target: Target,
    how: How,
}

/// How to mount.
struct How {
    kernel: session::Options,
    ttl: Duration,
    memory: u64,
    max_parallel: usize,
    disk: Option<DiskCache>,
    writes: Writes,
    visibility_may_change: bool,
    metrics: Option<SocketAddr>,
    detail: Detail,
    /// Whether the mount is to go with the program.
    auto_unmount: bool,
    /// Who sees to that.
    guard: Option<Guard>,
    passed_over: Vec<String>,
}

/// Mounts, and returns when that is done, in the foreground when it is over.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let inherited = Inherited::find();
    let (source, point) = places(&arguments.places)?;
    let handed = Handed::find(Path::new(point)).map_err(Failure::with(Code::Mount))?;
    let outcome = Plan::new(arguments, source, point, handed.as_ref())
        .and_then(|plan| if arguments.fake { Ok(()) } else { living::carry_out(plan, arguments, inherited) });
    outcome.map_err(|failure| living::withdrawn(handed.as_ref(), failure))
}

impl Plan {
    /// Checks what was asked. The mount point comes first, because that is where typing errors are.
    fn new(
        arguments: &Arguments,
        source: Option<&str>,
        point: &OsStr,
        handed: Option<&Handed>,
    ) -> Result<Self, Failure> {
        if arguments.allow_visibility_change && arguments.service == Backend::Image {
            let sentence = "--allow-visibility-change is for mounts with --service compute: the Image service changes properties alone";
            return Err(Failure::new(Code::Usage, sentence));
        }
        let named = connect::source(source)?;
        let point = match handed {
            Some(handed) => arguments.accepted(handed)?,
            None => prepared(Path::new(point))?,
        };
        let target = connect::target(named, &arguments.cloud, arguments.service)?;
        let mut how = arguments.how(source, point)?;
        how.kernel.handed = handed.cloned();
        Ok(Self { target, how })
    }
}

impl How {
    /// What those who send hold of the memory is not there for reading.
    fn filesystem(&self, uploads: Option<&Uploads>) -> fs::Settings {
        let sending = uploads.map_or(0, Uploads::memory);
        let memory = self.memory.saturating_sub(sending).max(read::MINIMUM);
        let owner = fs::Owner { uid: self.kernel.ownership.uid, gid: self.kernel.ownership.gid };
        let read_only = self.kernel.read_only;
        let write_back = self.writes.behind;
        fs::Settings { ttl: self.ttl, read_only, write_back, owner, memory, read: self.reading() }
    }

    /// Answers monitoring, where that is asked for.
    async fn listener(&self, filesystem: &Arc<FileSystem>) -> Result<Option<Listener>, Failure> {
        let Some(address) = self.metrics else { return Ok(None) };
        let filesystem = Arc::clone(filesystem);
        let listening = Listener::start(address, move || filesystem.metrics()).await;
        let refused = |error| format!("--metrics-listen: nothing can listen at {address}: {error}");
        listening.map(Some).map_err(|error| Failure::new(Code::Usage, refused(error)))
    }

    fn reading(&self) -> read::Settings {
        let disk = self.disk.clone().map(|DiskCache { folder, size }| read::Disk { folder, size });
        read::Settings { max_parallel: self.max_parallel, disk, ..read::Settings::default() }
    }
}

impl Arguments {
    /// The point of a mount that another program has made, provided that it is safe to serve: without the kernel, nobody
    /// compares users with mode bits.
    fn accepted(&self, handed: &Handed) -> Result<PathBuf, Failure> {
        if self.access() != Access::Owner && !self.default_permissions {
            let sentence = "allow_other and allow_root with drop_privileges need default_permissions too, \
                            because mount.fuse3 makes the mount and everybody could change everything";
            return Err(Failure::new(Code::Usage, sentence));
        }
        Ok(handed.point())
    }

    fn how(&self, source: Option<&str>, point: PathBuf) -> Result<How, Failure> {
        let shown = self.fsname.as_deref().or(source).or(self.cloud.os_cloud.as_deref());
        let disk = mount_settings::disk_cache(self.cache_dir.as_deref(), self.cache_size, &variable, point::is_root())
            .map_err(Failure::with(Code::Usage))?;
        let folder = mount_settings::state_folder(self.state_dir.as_deref(), &variable, point::is_root());
        let writes = Writes {
            folder: folder.map_err(Failure::with(Code::Usage))?,
            behind: self.write_back,
            drain: self.drain_timeout.unwrap_or(mount_settings::DRAIN),
        };
        Ok(How {
            kernel: session::Options {
                source: shown.unwrap_or("glancefs").to_owned(),
                point,
                handed: None,
                access: self.access(),
                exec: !self.noexec,
                follow: !self.nosymfollow,
                limits: Limits { max_read: self.max_read, max_background: self.max_background },
                read_only: self.read_only,
                ownership: self.ownership(),
            },
            ttl: self.ttl.unwrap_or(mount_settings::TTL),
            memory: self.memory.unwrap_or(mount_settings::MEMORY),
            max_parallel: self.max_parallel.unwrap_or(mount_settings::MAX_PARALLEL),
            disk,
            writes,
            visibility_may_change: self.allow_visibility_change,
            metrics: self.metrics_listen,
            detail: if self.debug { Detail::Everything } else { Detail::Events },
            auto_unmount: self.auto_unmount,
            guard: None,
            passed_over: self.passed_over.clone(),
        })
    }

    fn access(&self) -> Access {
        match (self.allow_other, self.allow_root) {
            (true, _) => Access::Everyone,
            (false, true) => Access::Root,
            (false, false) => Access::Owner,
        }
    }

    fn ownership(&self) -> Ownership {
        let (uid, gid) = point::user();
        let both = self.umask.unwrap_or(0);
        Ownership {
            uid: self.uid.unwrap_or(uid),
            gid: self.gid.unwrap_or(gid),
            file_mask: self.fmask.unwrap_or(both),
            folder_mask: self.dmask.unwrap_or(both),
        }
    }
}

/// The path without symbolic links of a folder where something can be mounted. A mount there whose program has died is
/// cleared away, and that is told: it may not have been looked for.
pub(super) fn prepared(point: &Path) -> Result<PathBuf, Failure> {
    if point::clear_dead(point).map_err(Failure::with(Code::Mount))? {
        output::problem(format!("cleared away the dead mount at {}", point.display()));
    }
    point::prepare(point).map_err(Failure::with(Code::Mount))
}

/// The source, if one was given, and the mount point.
fn places(places: &[OsString]) -> Result<(Option<&str>, &OsString), Failure> {
    match places {
        [point] => Ok((None, point)),
        [source, point] => match source.to_str() {
            Some(source) => Ok((Some(source), point)),
            None => Err(Failure::new(Code::Usage, "the source is not UTF-8")),
        },
        _ => Err(Failure::new(Code::Usage, "a mount needs a source and a mount point")),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn reading(options: &[&str]) -> read::Settings {
        let line = [&["mount"], options, &["cloud", "/mnt"]].concat();
        let matches = Arguments::augment_args(clap::Command::new("mount")).get_matches_from(line);
        let arguments = Arguments::from_arg_matches(&matches).unwrap();
        arguments.how(None, PathBuf::from("/mnt")).unwrap().reading()
    }

    #[test]
    fn what_is_asked_of_reading_reaches_it() {
        let asked = reading(&["--max-parallel=3", "--cache-dir=/c", "--cache-size=1GiB"]);
        assert_eq!(asked.max_parallel, 3);
        assert_eq!(asked.disk, Some(read::Disk { folder: "/c".into(), size: 1 << 30 }));
    }

    #[test]
    fn what_is_not_asked_of_reading_has_its_default() {
        assert_eq!(reading(&[]), read::Settings::default());
    }
}
