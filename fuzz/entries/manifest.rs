//! `manifest.json` and `packed.json`: no bytes make the readers panic, what they accept is written and read the same, and its
//! dimensions either give layouts whose sizes are computed without overflow or are refused.

use npu_package::layout::{Panels, ProjectionKind, ProjectionShape};
use npu_package::{Manifest, PackedManifest};
use std::path::Path;

fn sizes(panels: Panels, seq: usize) {
    assert_eq!(panels.bytes() % panels.passes(), 0);
    if let Ok(shape) = ProjectionShape::with_panels(seq, panels) {
        assert!(shape.padded_rows() >= shape.seq());
        assert!(shape.scratch_bytes() > shape.pad_offset());
        let _ = (shape.x_bytes(), shape.weights_bytes(), shape.y_bytes());
    }
}

pub fn check(bytes: &[u8]) {
    let path = Path::new("fuzzed.json");
    match Manifest::parse(path, bytes) {
        Ok(manifest) => {
            let text = manifest.text();
            let again = Manifest::parse(path, &text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(again, manifest);
            for kernel in &manifest.kernels {
                assert!(kernel.file_names().all(|name| manifest.digests.contains_key(name)));
                for panels in ProjectionKind::ALL.map(|kind| manifest.model.panels(kind)).into_iter().flatten() {
                    sizes(panels, kernel.seq);
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match PackedManifest::parse(path, bytes) {
        Ok(packed) => {
            let text = packed.text();
            let again = PackedManifest::parse(path, &text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(again, packed);
            for kind in ProjectionKind::ALL {
                if let Ok(panels) = packed.model.panels(kind) {
                    sizes(panels, 1);
                    assert!(packed.layers.iter().all(|layer| layer.file(kind).1.bytes == panels.bytes() as u64));
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
