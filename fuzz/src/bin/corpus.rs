//! Corpora from text to files, as libFuzzer wants them, and back.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use procall_fuzz::{TARGETS, corpus, seeds};

const HELP: &str =
    "corpus unpack DIR    writes DIR/TARGET/N, one file for each seed and each input of fuzz/corpus
corpus pack DIR      writes fuzz/corpus/TARGET.hex of the files in DIR/TARGET, short ones first
corpus names         lists the targets";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let said: Vec<String> = std::env::args().skip(1).collect();
    match &*said.iter().map(String::as_str).collect::<Vec<_>>() {
        ["unpack", folder] => unpack(folder.as_ref()),
        ["pack", folder] => pack(folder.as_ref()),
        ["names"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        _ => Err(HELP.into()),
    }
}

fn unpack(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    for target in TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        let inputs = seeds(target.name)?.into_iter().chain(corpus(target.name)?);
        for (number, input) in inputs.enumerate() {
            fs::write(folder.join(number.to_string()), input)?;
        }
    }
    Ok(())
}

fn pack(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    fs::create_dir_all(CORPUS)?;
    for target in TARGETS {
        let mut inputs = Vec::new();
        for entry in fs::read_dir(folder.join(target.name))? {
            inputs.push(fs::read(entry?.path())?);
        }
        inputs.sort_by_key(|input| (input.len(), input.clone()));
        let mut file = fs::File::create(format!("{CORPUS}/{}.hex", target.name))?;
        for input in inputs.iter().filter(|input| !input.is_empty()) {
            let digits: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(file, "{digits}")?;
        }
    }
    Ok(())
}
