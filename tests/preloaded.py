"""What a daemon with the tone engine has loaded once it has narrated, for all that is forked."""

from narrator_daemon import cli
from narrator_daemon.daemon import assembly, worker
from narrator_daemon.speech import tone

__all__ = ["assembly", "cli", "tone", "worker"]

tone.ToneSpeech().load()
