"""Is a spoken segment fit to be heard? A verdict on its sound, its codes and, if asked, its words.

from csm.audio import PACE
from csm.takes.judging import Judge
verdict = Judge(pace=PACE)("Call me Ishmael.", take.samples, codes=take.codes, ended=take.ended)
print(verdict.passed, verdict.faults, verdict.scores)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csm.audio import CODE_FRAME_SECONDS, SAMPLE_RATE
from csm.takes import measures, noise, repeats
from csm.takes.sound import Sound, hear
from csm.takes.thresholds import Thresholds
from csm.takes.usual import Profile, Usual, profile_of
from csm.takes.verdict import Fault, Findings, Verdict
from csm.takes.voice import Change, cepstra, change
from csm.takes.wording import compare

__all__ = ["Fault", "Judge", "Judged", "Thresholds", "Verdict", "longest_repeat"]

#: Seconds beside the pace that a segment may be longer by (pauses, letters read one by one) and
#: shorter by.
_LONGER_SECONDS, _SHORTER_SECONDS = 1.2, 0.5
#: Characters of the shortest phrase whose return is heard as one.
_LEAST_REPEATED = 6
#: A phrase that the text says twice may be heard again for this many times its expected seconds.
_PHRASE_FACTOR = 1.5
#: Takes of a noisy voice differ by so much in their floor.
_SAME_FLOOR_DB = 7.0
#: Below these, in dB beside the voice, nobody hears noise, and an end that is cut.
_FAINT_DB, _SOFT_END_DB = -50.0, -35.0
#: Seconds of sound below which a take is not compared with the others.
_LEAST_COMPARED = 1.0
#: Pace beside the others is told of takes with so much text, in seconds at the usual pace.
_LEAST_PACED = 2.0
#: What differs by no more than this in sound, in consonants, is a slip of the recogniser.
_SLIP = 3.2
#: Nobody says more words a second.
_MOST_WORDS_A_SECOND = 6.0

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, eq=False)
class Judged:
    """A verdict, and what of the take others are compared with.

    Attributes:
        verdict: on the take, beside what is usual where that is known.
        alone: on the take by itself.
        profile: None where it is silent.
    """

    verdict: Verdict
    alone: Verdict
    profile: Profile | None


@dataclass(frozen=True)
class Judge:
    """Judges takes of one voice. Gives the same verdict whenever it is asked the same.

    Attributes:
        pace: seconds a character takes in this voice, spaces and pauses included.
        thresholds: what a take may be like.
        listen: from samples (float32 mono, ``[n]``) at ``csm.SAMPLE_RATE`` to the words heard in
            them; None judges no words. Called from several threads at once.
    """

    pace: float
    thresholds: Thresholds = field(default_factory=Thresholds)
    listen: Callable[[NDArray[np.float32]], str] | None = None

    def __call__(
        self,
        text: str,
        samples: NDArray[np.float32],
        *,
        codes: ArrayLike | None = None,
        ended: bool = True,
        usual: Usual | None = None,
    ) -> Verdict:
        """Judge one take; see ``judge``."""
        return self.judge(text, samples, codes=codes, ended=ended, usual=usual).verdict

    def judge(
        self,
        text: str,
        samples: NDArray[np.float32],
        *,
        codes: ArrayLike | None = None,
        ended: bool = True,
        usual: Usual | None = None,
    ) -> Judged:
        """Judge one take.

        Args:
            text: what should be said.
            samples: float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.
            codes: what they were decoded from, ``[frames, codebooks]``, where the engine has such.
            ended: whether the engine came to an end by itself, not at its cap.
            usual: how the takes of this narration are, once that is known.
        """
        found = Findings()
        if not ended:
            found.faults[Fault.CAPPED] = 2.0
        sound = hear(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), SAMPLE_RATE)
        if not sound.seconds:
            # Nothing else can be said of it, and nothing is worse.
            silent = Verdict({Fault.SILENT: 100.0}, {"seconds": 0.0})
            return Judged(silent, silent, None)
        self._judge_length(text, sound, found)
        self._judge_repeats(text, sound, codes, found)
        self._judge_noise(sound, found)
        shape = cepstra(sound)
        largest = change(sound, shape)
        self._judge_changes(largest, found)
        profile = profile_of(sound, text, shape, largest)
        if self.listen is not None:
            self._judge_words(text, self.listen(samples), sound.seconds, found)
        alone = found.verdict
        if profile is None or usual is None:
            return Judged(alone, alone, profile)
        return Judged(self.compared(text, alone, profile, usual), alone, profile)

    def compared(self, text: str, judged: Verdict, profile: Profile, usual: Usual) -> Verdict:
        """A verdict on a take by itself, and beside the others of its narration."""
        found = Findings()
        found.faults |= {
            fault: size for fault, size in judged.faults.items() if fault not in usual.common
        }
        found.scores |= judged.scores
        self._compare(text, profile, usual, found)
        return found.verdict

    def _compare(self, text: str, profile: Profile, usual: Usual, found: Findings) -> None:
        limits = self.thresholds
        if profile.seconds < _LEAST_COMPARED:
            return
        beside = profile.pace / usual.pace
        found.score("pace_beside", beside)
        if len(text) * usual.pace >= _LEAST_PACED:
            found.at_least(Fault.OTHER_PACE, beside, limits.fastest_beside)
            found.at_most(Fault.OTHER_PACE, beside, limits.slowest_beside)
        missing = found.score("missing_db", usual.missing_db(profile.colour))
        found.at_most(Fault.OTHER_SOUND, missing, limits.most_missing_db)
        apart = found.score("discolouration_db", usual.discolouration_db(profile.colour))
        found.at_most(Fault.OTHER_SOUND, apart, limits.most_discolouration_db)
        usually = max(usual.floor_db, _FAINT_DB)
        # What is loud is noise unless the others have it, too.
        floor = max(
            min(usually + limits.most_noise_db, limits.loudest_floor_db), usually + _SAME_FLOOR_DB
        )
        found.faults.pop(Fault.NOISY, None)
        found.at_most(Fault.NOISY, noise.loudest_floor(profile.floor), floor)
        brink = max(usual.brink_db + limits.most_brink_db, _SOFT_END_DB)
        found.at_most(Fault.CUT_OFF, profile.brink_db, brink)
        fall = found.score("slower_fall_db", profile.fall_db - usual.fall_db)
        found.at_most(Fault.OTHER_ROOM, fall, limits.most_slower_fall_db)
        if profile.voice is None:
            return
        strange = found.score("strangeness", usual.voice.strangeness(profile.voice))
        found.at_most(Fault.OTHER_VOICE, strange, limits.strangest_voice)
        pitch = found.score("pitch_change", abs(profile.voice.pitch - usual.voice.pitch))
        found.at_most(Fault.OTHER_PITCH, pitch, limits.most_pitch_change)

    def _judge_length(self, text: str, sound: Sound, found: Findings) -> None:
        limits = self.thresholds
        pauses = measures.pauses(sound)
        seconds, expected = pauses.sound_seconds, self.pace * len(text)
        found.scores |= {"seconds": round(seconds, 2), "pace": round(seconds / expected, 2)}
        found.at_least(Fault.TOO_SHORT, seconds + _SHORTER_SECONDS, limits.fastest * expected)
        found.at_most(Fault.TOO_LONG, seconds - _LONGER_SECONDS, limits.slowest * expected)
        longest = found.score("longest_silence", pauses.longest_seconds)
        found.at_most(Fault.LONG_SILENCE, longest, limits.longest_silence_seconds)
        share = found.score("silence", pauses.share)
        found.at_most(Fault.MOSTLY_SILENT, share, limits.most_silence)
        end = found.score("end_db", -pauses.end_db)
        found.at_least(Fault.CUT_OFF, end, limits.cut_off_db)
        forwardness = found.score("forwardness", measures.forwardness(sound))
        found.at_least(Fault.BACKWARDS, forwardness, limits.least_forwardness)

    def _judge_repeats(
        self, text: str, sound: Sound, codes: ArrayLike | None, found: Findings
    ) -> None:
        limits = self.thresholds
        again, held = repeats.said_again_seconds(sound), repeats.held_seconds(sound)
        if codes is not None:
            frames = np.asarray(codes, dtype=np.int64)
            again = repeats.repeated_codes(frames) * CODE_FRAME_SECONDS
            held = max(held, repeats.held_codes(frames) * CODE_FRAME_SECONDS)
        allowed = limits.most_repeated_seconds + self.pace * _PHRASE_FACTOR * longest_repeat(text)
        found.at_most(Fault.REPEATED, found.score("repeated", again), allowed)
        found.at_most(Fault.HELD_SOUND, found.score("held", held), limits.most_held_seconds)
        copied = found.score("copied", repeats.copy_likeness(sound))
        found.at_most(Fault.SAID_TWICE, copied, limits.most_copied)

    def _judge_noise(self, sound: Sound, found: Findings) -> None:
        limits = self.thresholds
        clipped = found.score("clipped", measures.clipped_share(sound.samples))
        found.at_most(Fault.CLIPPED, clipped, limits.most_clipped)
        found.at_most(Fault.CLICKS, found.score("click", noise.click(sound)), limits.sharpest_click)
        found.at_most(Fault.GAPS, found.score("gaps", noise.gaps(sound)), limits.most_gaps, 1)
        toneless = found.score("toneless", noise.toneless_seconds(sound))
        found.at_most(Fault.TONELESS, toneless, limits.most_toneless_seconds)
        floor = found.score("floor_db", noise.loudest_floor(noise.floor(sound)))
        found.at_most(Fault.NOISY, floor, limits.loudest_floor_db)

    def _judge_changes(self, largest: Change, found: Findings) -> None:
        limits = self.thresholds
        voice = found.score("voice_change", largest.voice)
        found.at_most(Fault.VOICE_CHANGES, voice, limits.most_voice_change)
        voicing = found.score("voicing_change", largest.voicing)
        found.at_most(Fault.VOICE_CHANGES, voicing, limits.most_voicing_change)
        level = found.score("level_change_db", largest.level_db)
        found.at_most(Fault.LEVEL_CHANGES, level, limits.most_level_change_db)

    def _judge_words(self, text: str, heard: str, seconds: float, found: Findings) -> None:
        limits = self.thresholds
        words = compare(text, heard)
        astray = len(heard.split()) > _MOST_WORDS_A_SECOND * max(seconds, 1.0)
        rate = found.score("wrong_words", words.error_rate)
        apart = found.score("misheard", words.apart)
        # Where other words are heard, but they sound like those of the text, none is wrong or lost:
        # "and correct" for "incorrect" is two thirds of three words.
        slip = apart <= _SLIP
        if not astray:
            found.at_most(Fault.WRONG_WORDS, apart, limits.most_misheard)
        if not astray and not slip:
            found.at_most(Fault.WRONG_WORDS, rate, limits.most_wrong_words)
        lost, more = found.score("lost_words", words.lost), found.score("made_up", words.made_up)
        if not slip:
            found.at_most(Fault.LOST_WORDS, lost, limits.most_lost_words, 1)
        skipped = found.score("skipped_words", words.skipped)
        found.at_most(Fault.LOST_WORDS, skipped, limits.most_skipped_words, 1)
        if astray:
            # The recogniser went round in circles, as it does on what is said over and over.
            return
        if not slip:
            found.at_most(Fault.MADE_UP_WORDS, more, limits.most_made_up_words, 1)
        inserted = found.score("inserted_words", words.inserted)
        found.at_most(Fault.MADE_UP_WORDS, inserted, limits.most_inserted_words, 1)
        doubled = found.score("doubled_words", words.doubled)
        found.at_most(Fault.DOUBLED_WORDS, doubled, limits.most_doubled_words, 1)


def longest_repeat(text: str) -> int:
    """Characters of the longest phrase that ``text`` says more than once, whatever its marks.

    Parts of words count as well: "consciously or unconsciously" says eleven twice.
    """
    letters = " ".join(_WORD.findall(text.casefold()))
    longest = 0
    for lag in range(1, len(letters)):
        if len(letters) - lag <= longest:
            break
        run = 0
        for letter, later in zip(letters, letters[lag:], strict=False):
            run = run + 1 if letter == later else 0
            longest = max(longest, run)
    return longest if longest >= _LEAST_REPEATED else 0
