"""What a narration's credentials say: pure functions from facts to the C2PA manifest's definition.

Never the text, and nothing that a listener must not see: the claim's token is in the object's name
already, and the watermark's index is worth nothing without the key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

#: The source of sound that a model makes, by IPTC's vocabulary.
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
#: The watermark that the soft binding speaks of.
SOFT_BINDING = "org.narrator-daemon.watermark.1"
#: Our own assertion.
NARRATION = "org.narrator-daemon.narration"


@dataclass(frozen=True)
class Made:
    """What is known of a narration when its file is finished.

    Attributes:
        version: of narrator-daemon.
        engine: what spoke: its name.
        model: which model, and revision where it has one; empty where there is none.
        book_id: of which book it is.
        claim: the token of the claim it was made under; empty outside the daemon.
        take: which take of the book.
        input_hash: of text, voice and settings; empty outside the daemon.
        watermark_index: the index in its mark.
        at: when, ISO 8601 in UTC.
        producer: who offers it; empty where nobody is named.
    """

    version: str
    engine: str
    model: str
    book_id: str
    claim: str
    take: int
    input_hash: str
    watermark_index: int
    at: str
    producer: str


def manifest(made: Made, media_type: str) -> str:
    """The definition of a manifest, as JSON.

    Args:
        made: the facts.
        media_type: of the file, such as ``audio/wav``.
    """
    agent = {"name": f"narrator-daemon {made.engine}", "version": made.version}
    told = {
        "book": made.book_id,
        "claim": made.claim,
        "take": made.take,
        "inputHash": made.input_hash,
        "engine": made.engine,
        "model": made.model,
        "producer": made.producer,
    }
    actions = [
        {
            "action": "c2pa.created",
            "when": made.at,
            "digitalSourceType": DIGITAL_SOURCE,
            "softwareAgent": agent,
        },
        {"action": "c2pa.watermarked.bound", "when": made.at, "softwareAgent": agent},
    ]
    binding = {
        "alg": SOFT_BINDING,
        "blocks": [{"scope": {}, "value": str(made.watermark_index)}],
    }
    return json.dumps(
        {
            "claim_generator_info": [{"name": "narrator-daemon", "version": made.version}],
            "title": f"Narration of {made.book_id}",
            "format": media_type,
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": actions}},
                {"label": "c2pa.soft-binding", "data": binding},
                {"label": NARRATION, "data": {k: v for k, v in told.items() if v != ""}},
            ],
        }
    )


def label(made: Made) -> str:
    """The value of the metadata field ``AIGC`` by GB 45438-2025, as JSON.

    Label 1 says that the content was made by a machine.
    """
    return json.dumps(
        {
            "Label": "1",
            "ContentProducer": made.producer or "narrator-daemon",
            "ProduceID": made.claim or made.book_id,
            "ReservedCode1": "",
            "ContentPropagator": "",
            "PropagateID": "",
            "ReservedCode2": "",
        },
        ensure_ascii=True,
        separators=(",", ":"),
    )
