"""A value for a configuration attribute that a class reads and the config lacks."""

import copy
import re
from typing import Any, Final

_RULES: Final[tuple[tuple[str, Any], ...]] = (
    (r"vision_feature_layer$|select_layer$|vision_layer$", -1),
    (r"vision_feature_select_strategy$", "default"),
    (r"(hybrid_layer_pattern|layer_pattern|moe_layer_freq_list)$", [0, 1, 0, 1]),
    (r"norm_type$", "rms_norm"),
    (r"pooling$|pool_type$", "avg"),
    (r"layers_enum$", "1,2,3"),
    (r"position_embedding_type$", "rotary"),
    (r"rope_parameters$", {"rope_type": "default", "rope_theta": 10000.0}),
    (
        (
            r"(rope_scaling|sliding_window|window_size|quantization_config|"
            r"original_rope_scaling)$"
        ),
        None,
    ),
    (r"(rope_theta|rotary_emb_base|rope_base)$", 10000.0),
    (r"(partial_rotary_factor|rotary_pct|rope_ratio)$", 1.0),
    (
        (
            r"(hidden_act|hidden_activation|activation_function|act_fn|activation|"
            r"mlp_activation|projector_hidden_act)$"
        ),
        "silu",
    ),
    (
        (
            r"(score_func|scoring_func|score_function|moe_router_score_function|"
            r"router_score_function)$"
        ),
        "sigmoid",
    ),
    (r"topk_method$", "noaux_tc"),
    (
        (
            r"(first_k_dense_replace|num_dense_layers|n_dense_layers|moe_layer_start_index|"
            r"first_dense|num_leading_dense)"
        ),
        1,
    ),
    (
        (
            r"(moe_layer_freq|decoder_sparse_step|moe_layer_interval|"
            r"interleave_moe_layer_step|moe_layer_offset|expert_interval|moe_interval|"
            r"expert_layer_period)$"
        ),
        1,
    ),
    (
        (
            r"(num_hidden_layers|num_layers|n_layers?|depth|num_blocks|encoder_layers|"
            r"decoder_layers|num_encoder_layers|num_decoder_layers)$"
        ),
        4,
    ),
    (
        (
            r"(num_nextn_predict_layers|num_mtp_layers|mtp_num_hidden_layers|"
            r"num_nextn_predict|mtp_num_layers|n_predict)$"
        ),
        1,
    ),
    (
        (
            r"(num_attention_heads|n_heads?|num_heads|attention_heads|"
            r"linear_num_value_heads|linear_num_key_heads|mamba_n_heads|mamba_num_heads)$"
        ),
        32,
    ),
    (
        (
            r"(num_key_value_heads|num_kv_heads|n_kv_heads|multi_query_group_num|"
            r"num_attention_groups)$"
        ),
        8,
    ),
    (
        (
            r"(num_experts_per_tok|moe_topk|top_k|topk|moe_top_k|moe_k|"
            r"num_experts_per_token|experts_per_token|n_activated_experts)$"
        ),
        2,
    ),
    (r"(n_group|topk_group|num_expert_group|num_limited_groups)$", 1),
    (r"(n_shared_experts|num_shared_experts|moe_num_shared_experts|num_shared_expert)$", 1),
    (r"(experts?$|num_experts|n_routed_experts|num_local_experts|moe_num_experts)", 8),
    (r"(q_lora_rank)$", 1536),
    (r"(kv_lora_rank)$", 512),
    (r"(qk_nope_head_dim|v_head_dim|head_dim|kv_channels|head_size)$", 128),
    (r"qk_rope_head_dim$", 64),
    (r"(vocab_size|padded_vocab_size)$", 32000),
    (r"(hidden_size|n_embd|d_model|dim|embed_dim|embedding_size|width)$", 4096),
    (
        (
            r"(moe_intermediate_size|expert_ffn_hidden_size|shared_expert_intermediate_size|"
            r"moe_shared_expert_intermediate_size)$"
        ),
        1024,
    ),
    (r"(intermediate_size|ffn_hidden_size|n_inner|ffn_dim|mlp_dim|d_ff)$", 11008),
    (
        (
            r"(max_position_embeddings|seq_length|max_seq_len|max_sequence_length|"
            r"n_positions|original_max_position_embeddings)$"
        ),
        4096,
    ),
    (r"(patch_size)$", 14),
    (r"(image_size)$", 448),
    (r"(num_channels|in_channels|in_chans)$", 3),
    (r"(spatial_merge_size|temporal_patch_size|downsample_ratio)$", 2),
    (r"(eps|epsilon)$", 1e-05),
    (r"(multiplier|scale|scaling|factor|coeff|alpha|ratio|softcap|softcapping)$", 1.0),
    (r"(dropout|pdrop|drop_rate|limit|threshold|std)$", 0.0),
    (
        (
            r"^(use|is|has|enable|do|add|apply|with|no|tie|norm|multi|sandwich|residual|"
            r"post|pre|qk|mlp_only|attention_bias|mlp_bias|bias|qkv)_?"
        ),
        False,
    ),
    (r"(bias|norm|enabled?|qk_norm|use_\w+|flag)$", False),
    (r"(token_id|token_index|_id|_idx|_index)$", 1),
    (
        r"(layer_types|layers_block_type)$",
        ["full_attention", "full_attention", "full_attention", "full_attention"],
    ),
    (r"(_layers|_list|layers|mlp_only_layers|types)$", []),
    (
        (
            r"(kernel|conv|stride|size|dim|rank|num|count|length|interval|freq|period|"
            r"groups?|heads?|channels)"
        ),
        2,
    ),
)
"""The first pattern that matches an attribute's name gives its value."""


def guess(name: str) -> Any:
    """A value that a config attribute of this name often has; None if the name gives no hint."""
    return next(
        (copy.deepcopy(value) for pattern, value in _RULES if re.search(pattern, name)), None
    )
