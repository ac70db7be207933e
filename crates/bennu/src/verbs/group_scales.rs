//! Projections of weights with a scale for every group of inputs.

use aie2_kernels::w8a16_groups::GroupProjection;
use aie2_kernels::w8a16_groups::decode::GroupDecodeProjection;
use aie2_kernels::{Compiled, KernelError};
use clap::ValueEnum;
use gemma::{Checkpoint, Quantisation};
use npu_package::layout::{DECODE_TOKENS, GroupSize, Panels};

use crate::failure::Failure;
use crate::model::PRESET;

/// How many weights share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scales {
    /// Those of an output channel, or all of a projection
    Channel,
    /// 32 inputs of an output channel
    Group32,
    /// 128 inputs of an output channel
    Group128,
}

impl Scales {
    /// Those asked for, or those of the model: a preset has a scale per channel, and so will a dense checkpoint.
    pub fn of(asked: Option<Self>, model: &str) -> Result<Self, Failure> {
        match asked {
            Some(scales) => Ok(scales),
            None if model == PRESET => Ok(Scales::Channel),
            None => {
                let found = Quantisation::detect(&Checkpoint::open(model.as_ref())?)?;
                Ok(match found.granularity.and_then(|granularity| granularity.groups()) {
                    None => Scales::Channel,
                    Some(GroupSize::Of32) => Scales::Group32,
                    Some(GroupSize::Of128) => Scales::Group128,
                })
            }
        }
    }

    /// Groups, if there are some.
    pub fn groups(self) -> Option<GroupSize> {
        match self {
            Scales::Channel => None,
            Scales::Group32 => Some(GroupSize::Of32),
            Scales::Group128 => Some(GroupSize::Of128),
        }
    }
}

/// A kernel of one projection and one length.
#[derive(Clone, Copy, Debug)]
pub enum GroupKernel {
    /// Any number of tokens.
    Prefill(GroupProjection),
    /// One to four.
    Decode(GroupDecodeProjection),
}

impl GroupKernel {
    /// Those of a projection for `seq` tokens.
    pub fn all(seq: usize, panels: Panels, size: GroupSize) -> Result<Vec<Self>, KernelError> {
        let mut kernels = vec![Self::Prefill(GroupProjection::new(seq, panels, size)?)];
        if seq <= DECODE_TOKENS {
            kernels.push(Self::Decode(GroupDecodeProjection::new(seq, panels, size)?));
        }
        Ok(kernels)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prefill(kernel) => kernel.name(),
            Self::Decode(kernel) => kernel.name(),
        }
    }

    /// Compiles it.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        match self {
            Self::Prefill(kernel) => kernel.compile(),
            Self::Decode(kernel) => kernel.compile(),
        }
    }
}
