//! The golden files are still those that the Python implementation in deploy/verify makes, byte for byte.

use std::path::Path;
use std::process::Command;

#[test]
fn the_second_implementation_makes_the_golden_files() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/verify/vectors.py");
    // The option -B keeps Python from writing bytecode to the source tree.
    match Command::new("python3").arg("-B").arg(script).output() {
        Ok(run) => assert!(
            run.status.success(),
            "{}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        ),
        Err(error) => println!("SKIPPED: cannot start python3: {error}"),
    }
}
