"""Write the trained model as a checkpoint that stock transformers loads without a word."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer

from .model import Learner
from .vocabulary import END_OF_TEXT, IM_END, SPECIAL

# transformers types its constructors loosely.
library: Any = transformers


def make_processor(tokenizer: Tokenizer) -> Any:
    """Build the processor: tokenizer, 128-bin feature extractor, Qwen2-Audio's chat template."""
    fast = library.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=SPECIAL[IM_END],
        pad_token=SPECIAL[END_OF_TEXT],
        additional_special_tokens=[SPECIAL[1], *SPECIAL[3:]],
        model_max_length=8192,
        padding_side="left",  # batches of unequal prompts answer right only when padded in front
        clean_up_tokenization_spaces=False,
    )
    extractor = library.WhisperFeatureExtractor(feature_size=128, return_attention_mask=True)
    processor = library.Qwen2AudioProcessor(feature_extractor=extractor, tokenizer=fast)
    processor.chat_template = processor.default_chat_template
    return processor


def export(learner: Learner, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the checkpoint beside its place, then move it in file by file."""
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    model: Any = learner.model
    state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    model.generation_config = library.GenerationConfig(
        bos_token_id=END_OF_TEXT,
        eos_token_id=[IM_END, END_OF_TEXT],
        pad_token_id=END_OF_TEXT,
        do_sample=False,
        max_new_tokens=128,
    )
    model.to(torch.bfloat16).save_pretrained(partial)
    model.to(torch.float32).load_state_dict(state)
    make_processor(tokenizer).save_pretrained(partial)
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(partial.iterdir()):
        path.chmod(0o644)
        path.rename(folder / path.name)
    partial.rmdir()
