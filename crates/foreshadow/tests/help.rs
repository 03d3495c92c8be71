//! The binary explains itself.

use std::process::Command;

fn help(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_foreshadow"))
        .args(args)
        .arg("--help")
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).expect("help is text")
}

#[test]
fn each_command_is_listed_and_has_help_of_its_own() {
    let overview = help(&[]);
    for command in ["train", "evaluate", "backtest", "serve", "demo", "import"] {
        assert!(overview.contains(command), "{command} is not listed");
        assert!(
            help(&[command]).contains("Usage: foreshadow"),
            "{command} has no help"
        );
    }
    assert!(
        !overview.contains("demo-worker"),
        "what is internal is hidden"
    );
}
