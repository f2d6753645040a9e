"""The voices that come with the released checkpoint: recordings in its ``prompts`` folder.

What is said in them is in no file beside them. The two conversations are as the reference script
of the model has them, the four readings as the model's demonstration does; all six were published
by Sesame under Apache-2.0.
"""

from __future__ import annotations

from pathlib import Path

from csm.checkpoint import hub
from csm.errors import CsmError

#: What is said in ``prompts/{name}.wav``, word for word.
TRANSCRIPTS = {
    "conversational_a": (
        "like revising for an exam I'd have to try and like keep up the momentum because I'd start "
        "really early I'd be like okay I'm gonna start revising now and then like you're revising "
        "for ages and then I just like start losing steam I didn't do that for the exam we had "
        "recently to be fair that was a more of a last minute scenario but like yeah I'm trying to "
        "like yeah I noticed this yesterday that like Mondays I sort of start the day with this "
        "not like a panic but like a"
    ),
    "conversational_b": (
        "like a super Mario level. Like it's very like high detail. And like, once you get into "
        "the park, it just like, everything looks like a computer game and they have all these, "
        "like, you know, if, if there's like a, you know, like in a Mario game, they will have "
        "like a question block. And if you like, you know, punch it, a coin will come out. So like "
        "everyone, when they come into the park, they get like this little bracelet and then you "
        "can go punching question blocks around."
    ),
    "read_speech_a": (
        "And Lake turned round upon me, a little abruptly, his odd yellowish eyes, a little like "
        "those of the sea eagle, and the ghost of his smile that flickered on his singularly pale "
        "face, with a stern and insidious look, confronted me."
    ),
    "read_speech_b": (
        "He was such a big boy that he wore high boots and carried a jack knife. He gazed and "
        "gazed at the cap, and could not keep from fingering the blue tassel."
    ),
    "read_speech_c": (
        "All passed so quickly, there was so much going on around him, the Tree quite forgot to "
        "look to himself."
    ),
    "read_speech_d": (
        "Suddenly I was back in the old days Before you felt we ought to drift apart. It was some "
        "trick-the way your eyebrows raise."
    ),
}


def recording(
    name: str, model: str, *, token: str | None = None, revision: str | None = None
) -> Path:
    """The file of one of the model's own voices, downloaded once.

    Args:
        name: one of ``TRANSCRIPTS``.
        model: hub id or folder of the checkpoint.
        revision: a commit, branch or tag of the repository; None for its newest.
        token: for a gated model; None takes ``HF_TOKEN`` or the stored login.

    Raises:
        CsmError: the model has no such recording, or it cannot be fetched.
    """
    if name not in TRANSCRIPTS:
        raise CsmError(f"the model has no voice {name!r}: take one of {', '.join(TRANSCRIPTS)}")
    return hub.local_file(model, f"prompts/{name}.wav", token, revision)
