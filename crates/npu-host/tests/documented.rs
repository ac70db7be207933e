//! docs/errors.md has a row for every check, and for no other.

use npu_host::CheckId;

#[test]
fn every_check_has_a_row() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md")).unwrap();
    let (_, section) = text.split_once("## Checks of `bennu doctor`").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: Vec<&str> = rows.map(|(name, _)| name).collect();
    assert_eq!(documented, CheckId::ALL.map(CheckId::name));
}
