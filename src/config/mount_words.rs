//! What words behind `-o` mean that are not named after an option of this program.

/// What a word asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// What the long option of this name does.
    Option(&'static str),
    /// That the long option of this name, which stood in front of it, is not meant.
    Without(&'static str),
    /// Nothing of this program: when to mount is others' business, device nodes and set-user-id bits are always off, and
    /// access times are never kept.
    Elsewhere,
    /// What this program decides by itself, by what it knows of the service and the kernel.
    Decided,
    /// What makes no sense here; the text says why.
    Refused(&'static str),
}

/// Words that fstab, mount(8), mount.fuse3 and systemd pass along.
const ELSEWHERE: &[&str] = &[
    "async",
    "atime",
    "auto",
    "comment",
    "defaults",
    "dev",
    "diratime",
    "fail",
    "group",
    "iversion",
    "lazytime",
    "loop",
    "loud",
    "mand",
    "-netdev",
    "no-netdev",
    "noatime",
    "noauto",
    "nodev",
    "nodiratime",
    "nofail",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nouser",
    "owner",
    "private",
    "relatime",
    "-rnetdev",
    "rprivate",
    "rshared",
    "rslave",
    "runbindable",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "subtype",
    "suid",
    "unbindable",
    "user",
    "users",
];

/// Words for all FUSE programs, and those for security modules. How old what the kernel knows may be is `ttl`; caches,
/// threads and sizes of requests were measured; interrupting always works, and so does a folder that is not empty.
const DECIDED: &[&str] = &[
    "ac-attr-timeout",
    "async-read",
    "atomic-o-trunc",
    "attr-timeout",
    "auto-cache",
    "big-writes",
    "clone-fd",
    "congestion-threshold",
    "context",
    "defcontext",
    "direct-io",
    "dirsync",
    "entry-timeout",
    "fscontext",
    "hard-remove",
    "intr",
    "intr-signal",
    "kernel-cache",
    "large-read",
    "max-idle-threads",
    "max-readahead",
    "max-threads",
    "max-write",
    "negative-timeout",
    "no-remote-flock",
    "no-remote-lock",
    "no-remote-posix-lock",
    "no-splice-move",
    "no-splice-read",
    "no-splice-write",
    "noauto-cache",
    "noforget",
    "nointr",
    "nonempty",
    "nopath",
    "readdir-ino",
    "remember",
    "rootcontext",
    "seclabel",
    "splice-move",
    "splice-read",
    "splice-write",
    "sync",
    "sync-read",
    "use-ino",
];

/// What a word means; `None` where it is an option's name or unknown. `x-…` belongs to whoever reads fstab (systemd,
/// desktops), `X-…` and `comment=` to nobody.
pub(super) fn meaning(name: &str) -> Option<Meaning> {
    Some(match name {
        "ro" => Meaning::Option("read-only"),
        "rw" => Meaning::Without("read-only"),
        "exec" => Meaning::Without("noexec"),
        "symfollow" => Meaning::Without("nosymfollow"),
        "fake" => Meaning::Refused("it is for the command line: mount --fake"),
        "foreground" => {
            Meaning::Refused("mount(8) waits until its helper has ended. glancefs mount --foreground stays")
        }
        "drop-privileges" | "setuid" => {
            Meaning::Refused("mount.fuse3 does that: mount -t fuse.glancefs, or mount.fuse3 itself")
        }
        name if ELSEWHERE.contains(&name) || name.starts_with("x-") || name.starts_with("X-") => Meaning::Elsewhere,
        name if DECIDED.contains(&name) => Meaning::Decided,
        _ => return None,
    })
}
