//! systemd's journal, where each value of a log line is a field that can be asked for (`journalctl GLANCEFS_IMAGE=…`).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing_journald::Layer;

/// The journal, where it is what standard error goes to (systemd.exec(5), `JOURNAL_STREAM`).
pub(super) fn behind_stderr() -> Option<Layer> {
    let told = std::env::var("JOURNAL_STREAM").ok()?;
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?);
    let about = stderr.metadata().ok()?;
    is_stream(&told, about.dev(), about.ino()).then(|| Layer::new().ok()).flatten().map(named)
}

fn named(layer: Layer) -> Layer {
    layer.with_field_prefix(Some("GLANCEFS".to_owned())).with_syslog_identifier("glancefs".to_owned())
}

/// Whether `told` names this file: the device and the inode, as two numbers with a colon between them.
fn is_stream(told: &str, device: u64, inode: u64) -> bool {
    let numbers = told.split_once(':').and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    numbers == Some((device, inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_known_by_the_device_and_the_inode_of_its_stream() {
        assert!(is_stream("8:1234", 8, 1234));
        for other in ["8:1235", "9:1234", "", ":", "8", "8:1234:5", "x:1234", "-8:1234"] {
            assert!(!is_stream(other, 8, 1234), "{other}");
        }
    }
}
