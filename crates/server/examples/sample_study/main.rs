//! Makes the sample study: `cargo run --example sample_study -- FOLDER`.
//!
//! A CT-like series, a mammogram-like image and a colour multi-frame of nobody: shapes and noise, computed
//! here, the same on every machine. Files that are there already are left alone.

mod ct;
mod identity;
mod mammogram;
mod shapes;
mod ultrasound;

use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use anyhow::{Context as _, Result};

/// An object's file name and what makes its bytes.
struct Sample {
    name: String,
    make: Box<dyn Fn() -> Result<Vec<u8>> + Send + Sync>,
}

fn main() -> Result<()> {
    let folder = PathBuf::from(env::args_os().nth(1).context("usage: sample_study FOLDER")?);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut samples = vec![
        Sample { name: "mammogram.dcm".to_owned(), make: Box::new(mammogram::object) },
        Sample { name: "ultrasound.dcm".to_owned(), make: Box::new(ultrasound::object) },
    ];
    samples.extend(
        (1..=ct::SLICES)
            .map(|slice| Sample { name: format!("ct-{slice:03}.dcm"), make: Box::new(move || ct::object(slice)) }),
    );
    samples.retain(|sample| !folder.join(&sample.name).exists());
    let missing = samples.len();

    // The mammogram takes about as long as all the others.
    let others = samples.split_off(missing.min(1));
    thread::scope(|scope| {
        let first = scope.spawn(|| write_all(&folder, &samples));
        write_all(&folder, &others)?;
        first.join().unwrap_or_else(|_| Err(anyhow::anyhow!("making a sample failed")))
    })?;
    eprintln!("sample study: {missing} objects written to {}", folder.display());
    Ok(())
}

fn write_all(folder: &Path, samples: &[Sample]) -> Result<()> {
    for Sample { name, make } in samples {
        let bytes = make().with_context(|| format!("cannot make {name}"))?;
        // Under another name first, so that what bears the right one is whole.
        let unfinished = folder.join(format!(".{name}.unfinished"));
        fs::write(&unfinished, bytes).with_context(|| format!("cannot write {}", unfinished.display()))?;
        fs::rename(&unfinished, folder.join(name)).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}
