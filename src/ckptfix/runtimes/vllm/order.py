"""Classes that get no `g_idx`, the order of columns, whatever quantized the checkpoint.

A mapper that AutoWeightsLoader asks the quantization config for drops it, for a class that shows
its config (vllm 0.30.0 to 0.33.0, vllm/model_executor/layers/quantization/base_config.py,
`get_checkpoint_weight_mapper`, and vllm/model_executor/models/utils.py). Each of these was given
one next to NVFP4 or FP8 codes, in 0.33.0; Mamba2ForCausalLM, which shows none, stops at it.
"""

from typing import Final

SINCE: Final = ">=0.30"
DROPS_G_IDX: Final = frozenset(
    {
        "ApertusForCausalLM", "ArceeForCausalLM", "Cohere2ForCausalLM", "CohereForCausalLM",
        "CwmForCausalLM", "Ernie4_5ForCausalLM", "Ernie4_5_MoeForCausalLM", "Exaone4ForCausalLM",
        "Exaone4_5_ForConditionalGeneration", "FalconForCausalLM", "Gemma2ForCausalLM",
        "Gemma3ForCausalLM", "GemmaForCausalLM", "Glm4ForCausalLM", "GlmForCausalLM",
        "GlmOcrForConditionalGeneration", "GraniteForCausalLM", "GraniteSWAForCausalLM",
        "HrmTextForCausalLM", "HyperCLOVAXForCausalLM", "Idefics3ForConditionalGeneration",
        "Jais2ForCausalLM", "LlamaForCausalLM", "Ministral3ForCausalLM",
        "Mistral3ForConditionalGeneration", "MistralForCausalLM", "MixtralForCausalLM",
        "MuseGlimmerForConditionalGeneration", "NemotronH_Nano_VL_V2", "Olmo2ForCausalLM",
        "Olmo3ForCausalLM", "OlmoForCausalLM", "OlmoeForCausalLM", "Phi3ForCausalLM",
        "Qwen2ForCausalLM", "Qwen2MoeForCausalLM", "Qwen2VLForConditionalGeneration",
        "Qwen2_5_VLForConditionalGeneration", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM",
        "Qwen3NextForCausalLM", "Qwen3VLForConditionalGeneration", "Qwen3_5ForCausalLM",
        "Qwen3_5ForConditionalGeneration", "Qwen3_5MoeForCausalLM",
        "Qwen3_5MoeForConditionalGeneration", "SeedOssForCausalLM",
    }
)  # fmt: skip
