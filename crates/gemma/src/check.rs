//! Comparison of the tensors with the configuration: every shape that config.json implies, and nothing unexplained
//! inside the layers.

use crate::checkpoint::{Checkpoint, TensorRef};
use crate::error::{Error, Mismatch, Result};
use crate::names::{Module, Norm, Projection, Role};
use crate::scheme::{Quantisation, Scheme};
use crate::shape::Shape;

/// Refuses a checkpoint whose tensors are not exactly those its configuration describes. Returns its scheme.
pub(crate) fn check(checkpoint: &Checkpoint) -> Result<Quantisation> {
    let dims = &checkpoint.config.dims;
    for tensor in checkpoint.tensors() {
        match checkpoint.role(tensor.name) {
            Role::Weight(Module::Projection(layer, _) | Module::Norm(layer, _)) if layer >= dims.layers => {
                return Err(tensor.breaks(format!("config.json has {} layers (num_hidden_layers)", dims.layers)));
            }
            _ => {}
        }
    }
    let quantisation = Quantisation::detect(checkpoint)?;
    let mut modules: Vec<Module> = Vec::new();
    for layer in 0..dims.layers {
        modules.extend(Projection::ALL.map(|projection| Module::Projection(layer, projection)));
        modules.extend(Norm::ALL.map(|norm| Module::Norm(layer, norm)));
    }
    modules.extend([Module::Embedding, Module::FinalNorm]);
    // Of the per-layer layout bennu takes the attention alone; the rest is stored in forms it does not read.
    modules.retain(|&module| quantisation.scheme != Scheme::PerLayer || is_attention(module));

    let mut wrong = Vec::new();
    for module in modules {
        let tensor = checkpoint.required_weight(module)?;
        compare(checkpoint, module, tensor, &mut wrong);
    }
    match checkpoint.weight(Module::Head) {
        Some(head) => compare(checkpoint, Module::Head, head, &mut wrong),
        None if !checkpoint.config.tied_embeddings => {
            return Err(Error::MissingTensor {
                path: checkpoint.path.clone(),
                tensor: Module::Head.weight_name(checkpoint.prefix),
                why: "config.json says tie_word_embeddings is false".to_owned(),
            });
        }
        None => {}
    }
    if !wrong.is_empty() {
        return Err(Error::Contradiction { config: checkpoint.config_path(), all: wrong });
    }
    for tensor in checkpoint.tensors() {
        let unexplained = match checkpoint.role(tensor.name) {
            Role::UnknownInLayer => quantisation.scheme != Scheme::PerLayer,
            Role::Scale(Module::Projection(..)) => quantisation.scheme == Scheme::Dense,
            Role::Scale(_) => quantisation.scheme != Scheme::PerLayer,
            Role::Weight(_) | Role::Vision | Role::Other => false,
        };
        if unexplained {
            return Err(Error::UnknownTensor {
                file: tensor.shard.path.clone(),
                tensor: tensor.name.to_owned(),
                dtype: format!("{:?}", tensor.info.dtype).into(),
                shape: tensor.info.shape.clone(),
            });
        }
    }
    Ok(quantisation)
}

/// Whether the per-layer layout stores this module in a form that is read.
pub(crate) fn is_attention(module: Module) -> bool {
    use Projection::{K, O, Q, V};
    matches!(module, Module::Projection(_, Q | K | V | O) | Module::Norm(_, Norm::Query | Norm::Key))
}

fn compare(checkpoint: &Checkpoint, module: Module, tensor: TensorRef<'_>, wrong: &mut Vec<Mismatch>) {
    let (expected, why) = expected(checkpoint, module);
    if tensor.info.shape != expected {
        wrong.push(Mismatch {
            tensor: tensor.name.to_owned(),
            file: tensor.shard.file_name(),
            found: tensor.info.shape.clone(),
            expected,
            why,
        });
    }
}

/// The shape a module's weight must have, and the fields it follows from.
fn expected(checkpoint: &Checkpoint, module: Module) -> (Shape, &'static str) {
    let d = &checkpoint.config.dims;
    match module {
        Module::Embedding | Module::Head => ([d.vocab, d.hidden].into(), "vocab_size x hidden_size"),
        Module::FinalNorm => ([d.hidden].into(), "hidden_size"),
        Module::Norm(_, Norm::Query | Norm::Key) => ([d.head_dim].into(), "head_dim"),
        Module::Norm(_, Norm::Input | Norm::PostAttention | Norm::PreFeedforward | Norm::PostFeedforward) => {
            ([d.hidden].into(), "hidden_size")
        }
        Module::Projection(_, Projection::Q) => {
            ([d.q_rows(), d.hidden].into(), "num_attention_heads * head_dim x hidden_size")
        }
        Module::Projection(_, Projection::K | Projection::V) => {
            ([d.kv_rows(), d.hidden].into(), "num_key_value_heads * head_dim x hidden_size")
        }
        Module::Projection(_, Projection::O) => {
            ([d.hidden, d.q_rows()].into(), "hidden_size x num_attention_heads * head_dim")
        }
        Module::Projection(_, Projection::Gate | Projection::Up) => {
            ([d.intermediate, d.hidden].into(), "intermediate_size x hidden_size")
        }
        Module::Projection(_, Projection::Down) => {
            ([d.hidden, d.intermediate].into(), "hidden_size x intermediate_size")
        }
    }
}
