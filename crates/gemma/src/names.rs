//! Tensor names of Gemma 3: which tensor of the model a name stands for.
//!
//! SOURCE: huggingface/transformers `models/gemma3/modeling_gemma3.py`; names as written by `save_pretrained` 4.50 to 5.23.

use std::fmt;

/// What stands before `layers.N.` and `embed_tokens.`; one per checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// `language_model.model.`: published 4B, 12B and 27B.
    Published,
    /// `model.language_model.`: module names since transformers 4.52.
    Modules,
    /// `model.`: text-only models.
    TextOnly,
}

impl Prefix {
    /// Every prefix.
    pub const ALL: [Prefix; 3] = [Prefix::Published, Prefix::Modules, Prefix::TextOnly];

    /// The text itself.
    pub fn text(self) -> &'static str {
        match self {
            Prefix::Published => "language_model.model.",
            Prefix::Modules => "model.language_model.",
            Prefix::TextOnly => "model.",
        }
    }

    /// Whether `name` is a text tensor under this prefix.
    pub fn holds(self, name: &str) -> bool {
        name.strip_prefix(self.text()).is_some_and(|rest| {
            rest.starts_with("layers.") || rest.starts_with("embed_tokens.") || rest.starts_with("norm.")
        })
    }
}

/// A linear module of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Projection {
    /// Query.
    Q,
    /// Key.
    K,
    /// Value.
    V,
    /// Attention output.
    O,
    /// MLP gate.
    Gate,
    /// MLP up.
    Up,
    /// MLP down.
    Down,
}

impl Projection {
    /// Every projection.
    pub const ALL: [Projection; 7] = [
        Projection::Q,
        Projection::K,
        Projection::V,
        Projection::O,
        Projection::Gate,
        Projection::Up,
        Projection::Down,
    ];
    /// Query, key and value, in the order in which they are packed.
    pub const QKV: [Projection; 3] = [Projection::Q, Projection::K, Projection::V];

    /// Module path inside a layer.
    pub fn module(self) -> &'static str {
        match self {
            Projection::Q => "self_attn.q_proj",
            Projection::K => "self_attn.k_proj",
            Projection::V => "self_attn.v_proj",
            Projection::O => "self_attn.o_proj",
            Projection::Gate => "mlp.gate_proj",
            Projection::Up => "mlp.up_proj",
            Projection::Down => "mlp.down_proj",
        }
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.module())
    }
}

/// A norm of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Norm {
    /// Before attention.
    Input,
    /// After attention.
    PostAttention,
    /// Before the MLP.
    PreFeedforward,
    /// After the MLP.
    PostFeedforward,
    /// Of each query head.
    Query,
    /// Of each key head.
    Key,
}

impl Norm {
    /// Every norm of a layer.
    pub const ALL: [Norm; 6] =
        [Norm::Input, Norm::PostAttention, Norm::PreFeedforward, Norm::PostFeedforward, Norm::Query, Norm::Key];

    /// Module path inside a layer.
    pub fn module(self) -> &'static str {
        match self {
            Norm::Input => "input_layernorm",
            Norm::PostAttention => "post_attention_layernorm",
            Norm::PreFeedforward => "pre_feedforward_layernorm",
            Norm::PostFeedforward => "post_feedforward_layernorm",
            Norm::Query => "self_attn.q_norm",
            Norm::Key => "self_attn.k_norm",
        }
    }
}

/// A module of the model that owns a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Module {
    /// Token embedding.
    Embedding,
    /// Linear module of a layer.
    Projection(usize, Projection),
    /// Norm of a layer.
    Norm(usize, Norm),
    /// The norm before the head.
    FinalNorm,
    /// The output head, if it is not the embedding.
    Head,
}

impl Module {
    /// Full name of the module's weight.
    pub fn weight_name(self, prefix: Prefix) -> String {
        let prefix = prefix.text();
        match self {
            Module::Embedding => format!("{prefix}embed_tokens.weight"),
            Module::Projection(layer, projection) => format!("{prefix}layers.{layer}.{projection}.weight"),
            Module::Norm(layer, norm) => format!("{prefix}layers.{layer}.{}.weight", norm.module()),
            Module::FinalNorm => format!("{prefix}norm.weight"),
            Module::Head => "lm_head.weight".to_owned(),
        }
    }
}

/// What a tensor name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The weight of a module.
    Weight(Module),
    /// `{weight}_scale` of a module.
    Scale(Module),
    /// Vision tower or projector: the text path does not use it.
    Vision,
    /// Inside a layer, but of no known meaning.
    UnknownInLayer,
    /// Outside the layers and of no known meaning.
    Other,
}

impl Role {
    /// Reads a full tensor name.
    pub fn of(name: &str, prefix: Prefix) -> Role {
        let bare = name.strip_prefix("model.").unwrap_or(name);
        if bare.starts_with("vision_tower.") || bare.starts_with("multi_modal_projector.") {
            return Role::Vision;
        }
        let (weight, is_scale) = match name.strip_suffix("_scale") {
            Some(weight) => (weight, true),
            None => (name, false),
        };
        let module = match weight {
            "lm_head.weight" | "language_model.lm_head.weight" | "model.lm_head.weight" => Some(Module::Head),
            _ => weight.strip_prefix(prefix.text()).and_then(text_module),
        };
        match module {
            Some(module) if is_scale => Role::Scale(module),
            Some(module) => Role::Weight(module),
            None if name.strip_prefix(prefix.text()).is_some_and(|rest| rest.starts_with("layers.")) => {
                Role::UnknownInLayer
            }
            None => Role::Other,
        }
    }
}

fn text_module(rest: &str) -> Option<Module> {
    let module = rest.strip_suffix(".weight")?;
    match module {
        "embed_tokens" => return Some(Module::Embedding),
        "norm" => return Some(Module::FinalNorm),
        _ => {}
    }
    let (layer, module) = module.strip_prefix("layers.")?.split_once('.')?;
    // "07" or "+7" would be a second name of layer 7.
    if layer.is_empty() || !layer.bytes().all(|b| b.is_ascii_digit()) || (layer.len() > 1 && layer.starts_with('0')) {
        return None;
    }
    let layer = layer.parse().ok()?;
    let projection = Projection::ALL.into_iter().find(|projection| projection.module() == module);
    let norm = Norm::ALL.into_iter().find(|norm| norm.module() == module);
    projection.map(|projection| Module::Projection(layer, projection)).or(norm.map(|norm| Module::Norm(layer, norm)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_name_reads_back_under_every_prefix() {
        for prefix in Prefix::ALL {
            let mut modules = vec![Module::Embedding, Module::FinalNorm, Module::Head];
            modules.extend(Projection::ALL.map(|projection| Module::Projection(61, projection)));
            modules.extend(Norm::ALL.map(|norm| Module::Norm(0, norm)));
            for module in modules {
                let name = module.weight_name(prefix);
                assert_eq!(Role::of(&name, prefix), Role::Weight(module), "{name}");
                assert_eq!(Role::of(&format!("{name}_scale"), prefix), Role::Scale(module), "{name}_scale");
            }
        }
    }

    #[test]
    fn names_that_are_not_a_weight_of_the_text_model() {
        let of = |name| Role::of(name, Prefix::Published);
        assert_eq!(of("vision_tower.vision_model.post_layernorm.weight"), Role::Vision);
        assert_eq!(of("model.multi_modal_projector.mm_soft_emb_norm.weight"), Role::Vision);
        assert_eq!(of("language_model.model.layers.0.self_attn.q_proj.bias"), Role::UnknownInLayer);
        assert_eq!(of("language_model.model.layers.00.self_attn.q_proj.weight"), Role::UnknownInLayer);
        assert_eq!(of("language_model.model.layers.0.self_attn.q_proj.weight_zero_point"), Role::UnknownInLayer);
        assert_eq!(of("rotary.inv_freq"), Role::Other);
        assert_eq!(of("language_model.lm_head.weight"), Role::Weight(Module::Head));
    }

    #[test]
    fn prefixes_do_not_shadow_each_other() {
        for (name, expected) in [
            ("language_model.model.layers.0.input_layernorm.weight", Prefix::Published),
            ("model.language_model.embed_tokens.weight", Prefix::Modules),
            ("model.norm.weight", Prefix::TextOnly),
        ] {
            let found: Vec<_> = Prefix::ALL.into_iter().filter(|prefix| prefix.holds(name)).collect();
            assert_eq!(found, [expected], "{name}");
        }
    }
}
