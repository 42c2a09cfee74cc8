//! The Python implementation under deploy/verify still makes the golden files, byte for byte.

use std::path::Path;
use std::process::Command;

#[test]
fn the_golden_files_are_what_it_makes() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/verify/vectors.py");
    // -B: leave no bytecode in the source tree.
    match Command::new("python3").arg("-B").arg(script).output() {
        Ok(run) => assert!(
            run.status.success(),
            "{}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        ),
        Err(error) => println!("SKIPPED: python3 does not start: {error}"),
    }
}
