use std::time::Duration;

use procall_pool::OnCancel;

use super::*;
use crate::activation::{Program, StartWhen};

fn read(text: &str) -> Result<ConfigFile, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, text).unwrap();
    ConfigFile::read(&path).map_err(|error| {
        let folder = format!("{}/", folder.path().display());
        Error::invalid(error.message().replace(&folder, ""))
    })
}

#[test]
fn everything_is_read_with_its_line() {
    let text = r#"
[engine]
listen = ["tcp:127.0.0.1:0", "unix:/run/hub.sock"]
state = "state"
drain = "2m"
policy = "least_loaded"
queue = 64
validate = false

[service.calc]
command = "calc.py"
workers = 4
min_workers = 1
memory = "1.5GiB"
max_calls = 10_000
env = { COLOUR = "blue" }
cwd = "/srv"
interpreter = "./.venv"
args = ["--fast"]
restart = { backoff = "50ms", jitter = 0, max_restarts = 7 }
start = "call"
description = "Sums."
methods = ["add"]
idle_timeout = 30
concurrency = 1
hang_timeout = "1m"
on_cancel = "kill"
cancel_grace = "500ms"

[service."text.tools"]
command = ["uv", "run", "t.py"]
"#;
    let file = read(text).unwrap();
    let folder = file.path.parent().unwrap();
    let engine = &file.engine;
    assert_eq!(
        engine.listen.as_ref().map(|listen| (listen.value.len(), listen.line)),
        Some((2, 3))
    );
    assert_eq!(engine.state, Some(Placed { value: folder.join("state"), line: 4 }));
    assert_eq!(engine.drain, Some(Placed { value: Duration::from_secs(120), line: 5 }));
    assert_eq!(engine.policy, Some(Placed { value: Policy::LeastLoaded, line: 6 }));
    assert_eq!(engine.queue, Some(Placed { value: 64, line: 7 }));
    assert_eq!(engine.validate, Some(Placed { value: false, line: 8 }));
    let [calc, texts] = &*file.services else { panic!("{:?}", file.services) };
    let spec = &calc.spec;
    assert_eq!((calc.line, calc.lines["memory"], calc.lines["restart.jitter"]), (10, 14, 20));
    assert_eq!(spec.program, Program::File(folder.join("calc.py")));
    assert_eq!((spec.workers, spec.min_workers), (Some(4), Some(1)));
    assert_eq!((spec.memory, spec.max_calls), (Some(3 << 29), Some(10_000)));
    assert_eq!(spec.env, [("COLOUR".to_owned(), "blue".to_owned())]);
    assert_eq!(spec.cwd.as_deref(), Some(Path::new("/srv")));
    assert_eq!(spec.interpreter, Some(folder.join("./.venv").display().to_string()));
    assert_eq!(spec.restart.backoff, Duration::from_millis(50));
    assert_eq!((spec.restart.jitter, spec.restart.max_restarts), (0.0, 7));
    assert_eq!((spec.start, &*spec.description), (StartWhen::Call, "Sums."));
    assert_eq!(
        (&*spec.args, &*spec.methods),
        (&["--fast".to_owned()][..], &["add".to_owned()][..])
    );
    assert_eq!(spec.idle_timeout, Some(Duration::from_secs(30)));
    assert_eq!(spec.concurrency, Some(1));
    assert_eq!(spec.hang_timeout, Some(Duration::from_secs(60)));
    assert_eq!((spec.on_cancel, spec.cancel_grace), (OnCancel::Kill, Duration::from_millis(500)));
    assert_eq!(texts.spec.name, "text.tools");
    assert_eq!((texts.spec.hang_timeout, texts.spec.on_cancel), (None, OnCancel::Abandon));
    assert_eq!(texts.spec.cancel_grace, Duration::from_secs(5));
    assert_eq!(texts.spec.cwd.as_deref(), Some(folder));
    assert_eq!(
        texts.spec.program,
        Program::Command(vec!["uv".into(), "run".into(), "t.py".into()])
    );
}

#[test]
fn every_mistake_is_told_with_its_line_and_what_would_be_right() {
    for (text, told) in [
        ("[engin]", "1: the file has no key \"engin\"; did you mean engine?"),
        ("[engine]\nlisten = \"x\"", "2: listen is a list: addresses such as"),
        ("[engine]\nlisten = [\"x:y\"]", "2: listen: "),
        ("[engine]\nqueue = 0", "2: queue is a whole number from 1 on, not 0"),
        ("[engine]\nqueue = 1.5", "2: queue is a whole number from 1 on, not 1.5"),
        ("[engine]\ndrain = \"5 apples\"", "2: drain: \"5 apples\" is no duration"),
        ("[engine]\npolicy = \"round_robbin\"", "did you mean round_robin?"),
        ("[engine]\nstate = 7", "2: state is a path, not 7"),
        ("[engine]\nvalidate = \"yes\"", "2: validate is true or false, not \"yes\""),
        ("[service.calc]\nworkers = 2", "1: [service.calc] has no command"),
        ("[service.calc]\ncommand = \"calc.py --fast\"", "so write [\"calc.py\", \"--fast\"]"),
        ("[service.calc]\ncommand = []", "not an empty list"),
        (
            "[service.calc]\ncommand = \"c\"\nmemory = \"2 gigs\"",
            "3: memory: \"2 gigs\" is no amount",
        ),
        ("[service.calc]\ncommand = \"c\"\nmemory = -1", "3: memory is a number of bytes, not -1"),
        ("[service.calc]\ncommand = \"c\"\nstart = \"now\"", "3: start is \"boot\""),
        ("[service.calc]\ncommand = \"c\"\nenv = { A = 1 }", "3: env.A is a text, not 1"),
        ("[service.calc]\ncommand = \"c\"\nrestart = { backof = 1 }", "did you mean backoff"),
        (
            "[service.calc]\ncommand = \"c\"\nrestart = { jitter = 2 }",
            "3: jitter is a number from 0 to 1",
        ),
        ("[service.calc]\ncommand = [\"c\"]\ninterpreter = \"p\"", "3: interpreter is for"),
        (
            "[service.calc]\ncommand = \"c\"\nworkers = 1\nmin_workers = 2",
            "1: service calc: min_workers is 2",
        ),
        (
            "[service.calc]\ncommand = \"c\"\non_cancel = \"stop\"",
            "3: \"stop\" is nothing that a cancelled call can do to its worker: there are abandon and kill",
        ),
        (
            "[service.calc]\ncommand = \"c\"\non_cancel = \"kill\"\nconcurrency = 4",
            "1: service calc: on_cancel = \"kill\" is for workers that take one call at a time, and these take 4",
        ),
        ("[service.\"a b\"]\ncommand = \"c\"", "1: \"a b\" cannot name a service"),
        ("[service.procall]\ncommand = \"c\"", "1: service procall: names that begin"),
        ("service = 3", "1: [service] is a table, not 3"),
        ("[engine\n", "procall.toml:1: "),
        ("[engine]\nqueue = 1\nqueue = 2", "procall.toml:3: "),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.message().contains(told), "{text}\n  {error}\n  not {told}");
    }
    let error = read("[engine]\nqueue = 0\ndrain = 0\n[service.x]\nworker = 1").unwrap_err();
    let lines: Vec<&str> = error.message().lines().collect();
    let lines: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["procall.toml:2:", "procall.toml:3:", "procall.toml:4:", "procall.toml:5:"]);
}

#[test]
fn it_is_found_in_the_nearest_folder_above_unless_others_could_have_written_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("a").join("b");
    std::fs::create_dir_all(&below).unwrap();
    let path = folder.path().join("a").join(FILE);
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(ConfigFile::find(&below).unwrap(), Some(path.clone()));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = ConfigFile::find(&below).unwrap_err();
    assert!(error.message().contains("chmod go-w"), "{error}");
}

#[test]
fn what_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let error = ConfigFile::read(&path).unwrap_err();
    assert!(error.message().contains("cannot be read"), "{error}");
    std::fs::write(&path, [b'#', 0xff]).unwrap();
    assert!(ConfigFile::read(&path).unwrap_err().message().contains("not UTF-8 at 1"));
    std::fs::write(&path, " ".repeat(1 << 21)).unwrap();
    assert!(ConfigFile::read(&path).unwrap_err().message().contains("longer than"));
}

/// The page of the book on the file.
const PAGE: &str = include_str!("../../../../docs/src/configuration.md");

#[test]
fn the_files_of_the_book_are_right() {
    let blocks: Vec<&str> =
        PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    for block in &blocks {
        assert!(!read(block).unwrap().services.is_empty(), "{block}");
    }
    // What the page runs, and readers do not see, says what they see.
    let hidden = PAGE.split("<!-- with: procall.toml\n").nth(1).unwrap();
    let hidden = hidden.split("-->").next().unwrap();
    let said = |text: &str| -> Vec<String> {
        let bare = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
        text.lines().map(bare).filter(|line| !line.is_empty()).collect()
    };
    assert_eq!(said(hidden), said(blocks[0]));
}

#[test]
fn the_book_has_every_key() {
    for key in [super::ENGINE, super::service::KEYS, super::service::RESTART].concat() {
        assert!(PAGE.contains(&format!("\n| `{key}` |")), "{key} has no row");
    }
}
