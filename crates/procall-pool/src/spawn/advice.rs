//! What to do about a worker that ended before it was ready, read from its last words.

use std::path::Path;

use super::{Exit, Launch};

/// The fix, when how the process ended and what it printed is one of the mistakes that nearly everybody makes once.
pub(crate) fn advice(launch: &Launch, exit: Exit, words: &str) -> Option<String> {
    let says = |text: &str| words.contains(text);
    let program = launch.program.display();
    if says("No module named 'procall'") {
        return Some(if is_python(&launch.program) {
            format!(
                "{program} has no package procall; install it with `{program} -m pip install procall`, or name the interpreter that has it"
            )
        } else {
            "the Python that ran has no package procall; install it there with `pip install procall` or `uv add procall`, or name the interpreter that has it".to_owned()
        });
    }
    if says("Cannot find package 'procall'") || says("Cannot find module 'procall'") {
        return Some(
            "Node found no package procall for the worker's file; run `npm install procall` in its project"
                .to_owned(),
        );
    }
    if says("Cannot find package 'tsx'") || says("Cannot find module 'tsx'") {
        let folder = launch.cwd.as_deref().unwrap_or(Path::new(".")).display();
        return Some(format!(
            "Node found no package tsx; run `npm install tsx` in {folder}, or give the .ts file alone and no command"
        ));
    }
    if says("Unknown file extension \".ts\"") || says("bad option: --experimental-strip-types") {
        return Some(
            "this Node does not run TypeScript by itself; run `npm install tsx` in the project of the worker's file, or use Node 22.6 or newer"
                .to_owned(),
        );
    }
    (exit == Exit::Code(0)).then(|| {
        "it came to its end and served nothing; call `run()` of its service at the end of the file"
            .to_owned()
    })
}

fn is_python(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(program: &str, words: &str) -> Option<String> {
        let launch = Launch {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            transport: None,
            choice: None,
        };
        advice(&launch, Exit::Code(1), words)
    }

    #[test]
    fn every_mistake_has_its_fix() {
        let missing = "Traceback ...\nModuleNotFoundError: No module named 'procall'";
        let advice = told("/env/bin/python3", missing).unwrap();
        assert!(advice.contains("/env/bin/python3 -m pip install procall"), "{advice}");
        assert!(told("/bin/uv", missing).unwrap().contains("uv add procall"));
        for (words, fix) in [
            (
                "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'procall' imported from /a/w.mjs",
                "npm install procall",
            ),
            ("Error: Cannot find module 'procall'\nRequire stack:", "npm install procall"),
            ("Cannot find package 'tsx' imported from /a/", "npm install tsx"),
            ("Unknown file extension \".ts\" for /a/w.ts", "npm install tsx"),
            ("node: bad option: --experimental-strip-types", "Node 22.6"),
        ] {
            assert!(told("/bin/node", words).unwrap().contains(fix), "{words}");
        }
        assert_eq!(told("/bin/node", "Cannot find package 'procall-extras'"), None);
        assert_eq!(told("/bin/python3", "No module named 'numpy'"), None);
    }
}
