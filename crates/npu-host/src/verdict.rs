//! Whether the NPU can be used, and if not, why.

use crate::check::Check;

/// There is no NPU of the kind bennu compiles for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// No NPU at all.
    #[error("{evidence}")]
    None {
        /// What was looked through and found instead.
        evidence: String,
        /// What can be done.
        remedy: String,
    },
    /// An NPU of another generation.
    #[error("{evidence}")]
    Other {
        /// The device, by name.
        evidence: String,
        /// What can be done.
        remedy: String,
    },
}

impl Absence {
    /// What can be done.
    pub fn remedy(&self) -> &str {
        match self {
            Self::None { remedy, .. } | Self::Other { remedy, .. } => remedy,
        }
    }
}

/// The NPU is there and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(failed))]
pub struct Unusable {
    /// The checks that failed or gave no answer where one is needed; at least one, causes before
    /// consequences.
    pub failed: Vec<Check>,
}

fn lines(failed: &[Check]) -> String {
    failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Unusable {
    /// What can be done about the first of them: the others may be its consequences.
    pub fn remedy(&self) -> &str {
        self.failed
            .iter()
            .find_map(|check| check.remedy.as_deref())
            .unwrap_or("run `bennu doctor` and follow its remedies")
    }
}

/// Why the NPU cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It is not there.
    #[error(transparent)]
    Absent(#[from] Absence),
    /// Something stands between the program and the device.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}
