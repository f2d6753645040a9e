"""narrator-daemon: narrates the books of a Firebase catalogue.

The frontend sets ``/books/{id}/narrativeAudioStatus`` to ``requested``; the daemon claims the book,
reads its text aloud, watermarks the audio, uploads a WAV and writes URL, duration and status back.
"""

from importlib.metadata import version

__version__ = version("narrator-daemon")
