"""What is used of transformers, which comes up whatever stands beside it.

Whoever needs a part of transformers imports it from here, so that ``companions`` was there first.
"""

from csm.checkpoint import companions

companions.hide_unfit()

import transformers.utils.logging as transformers_logging  # noqa: E402
from transformers import (  # noqa: E402
    AutoTokenizer,
    CsmConfig,
    CsmDepthDecoderConfig,
    MimiModel,
    PreTrainedTokenizerFast,
)

__all__ = [
    "AutoTokenizer",
    "CsmConfig",
    "CsmDepthDecoderConfig",
    "MimiModel",
    "PreTrainedTokenizerFast",
    "transformers_logging",
]
