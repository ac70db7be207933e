//! Reads `cargo metadata` on standard input and refuses a crate graph that breaks a rule of ARCHITECTURE.md.
//!
//! Reachability is over normal and build dependencies: tests may look further than what ships.
#![forbid(unsafe_code)]

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::ExitCode;

/// `(from, never reaches)`.
const RULES: &[(&str, &[&str])] = &[
    ("bennu", &["aie2-sim", "oracle", "bennu-lab", "check-graph", "amdxdna-fake", "virtual-phoenix"]),
    ("gemma", &["aie2-isa", "aie2-codegen", "aie2-kernels", "aie2-array", "aie2-sim", "oracle"]),
    ("npu-package", &["aie2-isa", "aie2-codegen", "aie2-kernels", "aie2-array", "aie2-sim", "oracle"]),
    ("gemma", &["amdxdna-fake"]),
    (
        "npu-host",
        &[
            "aie2-isa",
            "aie2-codegen",
            "aie2-kernels",
            "aie2-array",
            "aie2-sim",
            "oracle",
            "gemma",
            "npu-package",
            "amdxdna",
        ],
    ),
    (
        "amdxdna",
        &[
            "aie2-isa",
            "aie2-codegen",
            "aie2-kernels",
            "aie2-array",
            "aie2-sim",
            "oracle",
            "npu-container",
            "npu-package",
            "gemma",
            "amdxdna-fake",
        ],
    ),
    ("amdxdna-fake", &["aie2-isa", "aie2-codegen", "aie2-kernels", "aie2-array", "aie2-sim", "oracle"]),
    ("aie2-sim", &["aie2-codegen", "aie2-kernels", "aie2-array", "oracle"]),
    ("oracle", &["aie2-isa", "aie2-codegen", "aie2-kernels", "aie2-array", "aie2-sim"]),
    ("aie2-isa", &["aie2-codegen", "aie2-kernels", "aie2-array", "npu-container", "npu-package"]),
    ("aie2-codegen", &["aie2-kernels", "aie2-array", "npu-container", "npu-package", "aie2-sim", "oracle"]),
    ("aie2-array", &["aie2-isa", "aie2-codegen", "aie2-kernels", "npu-package", "aie2-sim", "oracle"]),
    ("aie2-kernels", &["aie2-sim", "oracle", "gemma"]),
    // A judge from outside: it knows the driver's protocol and the array, not what was made for them.
    (
        "virtual-phoenix",
        &["aie2-codegen", "aie2-kernels", "aie2-array", "npu-package", "gemma", "oracle", "amdxdna", "npu-host"],
    ),
];

#[derive(Deserialize)]
struct Metadata {
    workspace_members: BTreeSet<String>,
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// Names of all crates that `from` links, itself left out.
fn reached(metadata: &Metadata, from: &str) -> BTreeSet<String> {
    let names: BTreeMap<&str, &str> = metadata.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    let links: BTreeMap<&str, Vec<&str>> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| {
            let shipped = |d: &&Dependency| d.dep_kinds.iter().any(|k| k.kind.as_deref() != Some("dev"));
            (node.id.as_str(), node.deps.iter().filter(shipped).map(|d| d.pkg.as_str()).collect())
        })
        .collect();
    let mut open: Vec<&str> =
        metadata.workspace_members.iter().map(String::as_str).filter(|id| names[id] == from).collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        for &next in links.get(id).into_iter().flatten() {
            if seen.insert(names[next].to_string()) {
                open.push(next);
            }
        }
    }
    seen
}

fn broken_rules(metadata: &Metadata) -> Vec<String> {
    RULES
        .iter()
        .flat_map(|(from, forbidden)| {
            let reached = reached(metadata, from);
            forbidden
                .iter()
                .filter(move |name| reached.contains(**name))
                .map(move |name| format!("{from} reaches {name}"))
        })
        .collect()
}

fn main() -> ExitCode {
    let metadata: Metadata = match serde_json::from_reader(io::stdin().lock()) {
        Ok(metadata) => metadata,
        Err(error) => {
            eprintln!("standard input is not `cargo metadata`: {error}");
            return ExitCode::from(2);
        }
    };
    let broken = broken_rules(&metadata);
    for rule in &broken {
        eprintln!("dependency rule broken: {rule}");
    }
    if broken.is_empty() {
        println!("crate graph: {} rules hold", RULES.iter().map(|(_, forbidden)| forbidden.len()).sum::<usize>());
    }
    ExitCode::from(u8::from(!broken.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(kind: &str) -> Metadata {
        serde_json::from_str(&format!(
            r#"{{"workspace_members": ["b", "m", "s"],
                "packages": [{{"id": "b", "name": "bennu"}}, {{"id": "m", "name": "middle"}}, {{"id": "s", "name": "aie2-sim"}}],
                "resolve": {{"nodes": [
                    {{"id": "b", "deps": [{{"pkg": "m", "dep_kinds": [{{"kind": null}}]}}]}},
                    {{"id": "m", "deps": [{{"pkg": "s", "dep_kinds": [{{"kind": {kind}}}]}}]}},
                    {{"id": "s", "deps": []}}]}}}}"#
        ))
        .expect("the sample is metadata")
    }

    #[test]
    fn a_forbidden_crate_is_found_behind_another() {
        assert_eq!(broken_rules(&graph("null")), ["bennu reaches aie2-sim"]);
        assert_eq!(broken_rules(&graph(r#""build""#)), ["bennu reaches aie2-sim"]);
    }

    #[test]
    fn dev_dependencies_do_not_ship() {
        assert!(broken_rules(&graph(r#""dev""#)).is_empty());
    }
}
