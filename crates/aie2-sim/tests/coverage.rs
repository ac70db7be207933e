//! The table of rules in `README.md` names tests that exist.

use std::fs;
use std::path::Path;

#[test]
fn every_test_named_in_the_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/README.md")).unwrap();
    let named =
        text.split('`').filter_map(|t| t.split_once("::")).filter(|(file, _)| *file != "file" && !file.contains(' '));
    let mut found = 0;
    for (file, test) in named.filter(|(file, _)| *file != "src/file") {
        let path = if file.starts_with("src/") { format!("{file}.rs") } else { format!("tests/{file}.rs") };
        let source = fs::read_to_string(root.join(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let before = source.find(&format!("fn {test}(")).map(|at| source[..at].trim_end());
        let tagged = before.is_some_and(|text| text.ends_with("#[test]"));
        assert!(tagged, "{file}::{test} is no test");
        found += 1;
    }
    assert!(found > 100, "{found} tests named");
    let pitfalls = (1..=30).filter(|n| text.contains(&format!("\n| {n} | "))).count();
    assert_eq!(pitfalls, 30);
}
