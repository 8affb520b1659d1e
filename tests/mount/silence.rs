//! Programs that are killed while they wait for a service that takes requests and answers none.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use glancefs::server::Ranges;
use serde_json::{Value, json};

use crate::content::noise;
use crate::proxy::{Act, Step};
use crate::target::Target;
use crate::tools::shell;
use crate::upload_faults::proxied;

crate::promises![Embedded:
    who_is_killed_while_the_service_is_silent_ends,
    what_was_begun_goes_on_without_who_was_killed,
    who_reads_what_the_kernel_has_does_not_wait_for_the_service,
    the_download_of_who_was_killed_ends,
];

/// Within this time a program ends that was killed.
const SOON: Duration = Duration::from_secs(20);

/// What waits for the service, each in the folder of an image of its own, which has a tag, a property and no data.
const LINES: [&str; 14] = [
    "echo x > properties/p",
    "echo x > properties/os",
    "printf x > properties/p",
    "exec truncate -s 2 properties/os",
    "exec touch properties/p",
    "exec touch tags/t",
    "exec rm tags/one",
    "exec mv tags/one tags/two",
    "exec python3 -c 'import os; f = open(\"properties/p\", \"w\"); f.write(\"x\"); f.flush(); os.fsync(f)'",
    "sed s/debian/fedora/ metadata.json > new; exec mv new metadata.json",
    "exec ls members",
    "exec cat import",
    "exec mkdir ../../by-name/new-$$",
    "exec rmdir \"$PWD\"",
];

/// Whether an image is as a line makes it.
type Shows = fn(&Value) -> bool;

fn begun(folder: &Path, line: &str) -> Child {
    let mut command = Command::new("bash");
    command.args(["-c", line]).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A program that was killed ends although nobody answers it.
fn ends(mut program: Child, line: &str) {
    let since = Instant::now();
    let status = loop {
        if let Some(status) = program.try_wait().unwrap() {
            break status;
        }
        assert!(since.elapsed() < SOON, "'{line}' waits on");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.signal(), Some(libc::SIGKILL), "'{line}' has waited for nothing");
}

fn who_is_killed_while_the_service_is_silent_ends(target: &Target) {
    let person = target.person("demo");
    let attributes = json!({"name": target.name("silent"), "os": "debian", "tags": ["one"]});
    let ids = LINES.map(|_| target.image(&person, &attributes));
    let (is_silent, (told, hear)) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
    let (silent, told) = (Arc::clone(&is_silent), Mutex::new(told));
    let (_proxy, clouds) = proxied(target, move |_, step| {
        if !silent.load(Ordering::Relaxed) || step != Step::Begun {
            return Act::Pass;
        }
        told.lock().unwrap().send(()).unwrap();
        Act::Hang
    });
    let mount = crate::mounted::Mount::of(&clouds, "demo", &["--ttl=5m"]);
    // What is listed, and the schema, are known from now on.
    shell(&mount.path("by-id"), &format!("ls -l . */tags */properties > /dev/null; echo x > {}/properties/p", ids[0]));
    is_silent.store(true, Ordering::Relaxed);
    let waiting: Vec<_> = LINES
        .iter()
        .zip(&ids)
        .map(|(line, id)| {
            let program = begun(&mount.path("by-id").join(id), line);
            hear.recv_timeout(SOON).unwrap_or_else(|_| panic!("'{line}' asks for nothing"));
            (program, line)
        })
        .collect();
    let killed = waiting.into_iter().map(|(mut program, line)| {
        program.kill().unwrap();
        (program, line)
    });
    for (program, line) in killed.collect::<Vec<_>>() {
        ends(program, line);
    }
    mount.end();
}

fn what_was_begun_goes_on_without_who_was_killed(target: &Target) {
    let person = target.person("demo");
    let id = target.filled(&person, &json!({"name": target.name("goes-on"), "tags": ["one"]}), b"bytes");
    let (is_held, (told, hear)) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
    let (release, released) = mpsc::channel();
    let (held, pipes) = (Arc::clone(&is_held), Mutex::new((told, released)));
    let (_proxy, clouds) = proxied(target, move |_, step| {
        if step == Step::Begun && held.swap(false, Ordering::Relaxed) {
            let pipes = pipes.lock().unwrap();
            pipes.0.send(()).unwrap();
            tokio::task::block_in_place(|| pipes.1.recv().unwrap());
        }
        Act::Pass
    });
    let mount = crate::mounted::Mount::of(&clouds, "demo", &["--ttl=5m"]);
    let folder = mount.path("by-id").join(&id);
    shell(&folder, "cat metadata.json; echo x > properties/p");
    // Each looks at the image, and changes it then.
    let shows: [(&str, Shows); 2] = [
        ("text=$(sed 's/\"min_ram\": 0/\"min_ram\": 64/' metadata.json); echo \"$text\" > metadata.json", |image| {
            image["min_ram"] == 64
        }),
        ("exec mv tags/one tags/two", |image| image["tags"] == json!(["two"])),
    ];
    for (line, is_shown) in shows {
        is_held.store(true, Ordering::Relaxed);
        let mut program = begun(&folder, line);
        hear.recv_timeout(SOON).unwrap_or_else(|_| panic!("'{line}' asks for nothing"));
        program.kill().unwrap();
        ends(program, line);
        assert!(!is_shown(&target.wait(person.show(&id))), "'{line}' has not looked before");
        release.send(()).unwrap();
        let since = Instant::now();
        while !is_shown(&target.wait(person.show(&id))) {
            assert!(since.elapsed() < SOON, "'{line}' was given up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    mount.end();
}

fn who_reads_what_the_kernel_has_does_not_wait_for_the_service(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({"name": target.name("held")}), b"bytes");
    let is_silent = Arc::new(AtomicBool::new(false));
    let silent = Arc::clone(&is_silent);
    let (_proxy, clouds) =
        proxied(
            target,
            move |_, step| {
                if silent.load(Ordering::Relaxed) && step == Step::Begun { Act::Hang } else { Act::Pass }
            },
        );
    let mount = crate::mounted::Mount::of(&clouds, "demo", &["--ttl=300ms"]);
    let mut bytes = [0; 5];
    let open = File::open(mount.data(&id)).unwrap();
    open.read_exact_at(&mut bytes, 0).unwrap();
    is_silent.store(true, Ordering::Relaxed);
    // Long enough that the kernel asks whether the file is as long as it was.
    std::thread::sleep(Duration::from_secs(1));
    let (told, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let outcome = open.read_exact_at(&mut bytes, 0).map(|()| bytes);
        told.send(outcome).unwrap();
    });
    let read = hear.recv_timeout(SOON).unwrap_or_else(|_| panic!("it waits for the service"));
    assert_eq!(&read.unwrap(), b"bytes");
    mount.end();
}

fn the_download_of_who_was_killed_ends(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({"name": target.name("stands-still")}), &noise(7, 20 << 20));
    // A stream is kept for a minute for others who have the image open.
    for (ranges, is_shared) in [(Ranges::Honoured, false), (Ranges::Honoured, true), (Ranges::Refused, false)] {
        target.behave(|behaviour| behaviour.ranges = ranges);
        let (told, hear) = mpsc::channel();
        let told = Mutex::new(told);
        let (proxy, clouds) = proxied(target, move |request, step| {
            if !request.is_download() || step != Step::Told {
                return Act::Pass;
            }
            told.lock().unwrap().send(()).unwrap();
            Act::Hang
        });
        let mount = crate::mounted::Mount::of(&clouds, "demo", &["--ttl=5m"]);
        let other = is_shared.then(|| File::open(mount.data(&id)).unwrap());
        let line = "exec dd if=data of=/dev/null bs=1M";
        let mut program = begun(&mount.path("by-id").join(&id), line);
        hear.recv_timeout(SOON).unwrap();
        if ranges == Ranges::Refused {
            // The first answer says that there are none.
            hear.recv_timeout(SOON).unwrap();
        }
        assert!(proxy.connections() > 0);
        program.kill().unwrap();
        ends(program, line);
        let since = Instant::now();
        while proxy.connections() > 0 {
            assert!(since.elapsed() < SOON, "{ranges:?}, shared: {is_shared}: a request goes on for nobody");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(hear.try_recv().is_err(), "it was asked for again");
        drop(other);
        mount.end();
    }
}
