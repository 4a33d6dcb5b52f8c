//! What a process is called by those it talks to.

use std::path::Path;
use std::sync::OnceLock;

/// The name of this process when nobody gave it one: that of its program, such as `calc`.
///
/// ```
/// assert!(!procall::program_name().is_empty());
/// ```
pub fn program_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let program = std::env::args_os().next().unwrap_or_default();
        name_of_program(&program.to_string_lossy()).unwrap_or_else(|| "procall".to_owned())
    })
}

/// The name that a program or script at this path gives its process; none for what is no file, such as Python's `-c`.
///
/// ```
/// use procall::name_of_program;
///
/// assert_eq!(name_of_program("/srv/jobs/nightly.py").as_deref(), Some("nightly.py"));
/// assert_eq!(name_of_program("/srv/report/__main__.py").as_deref(), Some("report"));
/// assert_eq!(name_of_program("-c"), None);
/// ```
pub fn name_of_program(path: &str) -> Option<String> {
    let path = Path::new(path);
    let file = path.file_name()?.to_str()?;
    // A package that is run has its own name, and not that of the file that every package has.
    let package = || path.parent()?.file_name()?.to_str();
    let name = if file == "__main__.py" { package().unwrap_or(file) } else { file };
    let name = procall_proto::clean_name(name);
    (!name.is_empty() && !name.starts_with('-')).then_some(name)
}
