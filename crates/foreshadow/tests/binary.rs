//! The binary as it is built for tests of other packages, which run it.

use std::process::Command;

#[test]
fn the_binary_says_its_version() {
    let said = Command::new(env!("CARGO_BIN_EXE_foreshadow"))
        .arg("--version")
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(
        said.trim(),
        concat!("foreshadow ", env!("CARGO_PKG_VERSION"))
    );
}
