"""What people are told when something cannot be done: one family of errors, one handler in ``cli``.

An error of this family is no bug. Its text says where, what is wrong and what to do, and holds no
secret and nothing of a book's text. Whatever else is raised is a fault of this program, and ends in
a traceback. Members that belong to one room only (a speech engine's, the local Firebase's) stand
there, as subclasses.
"""

from __future__ import annotations


class NarratorError(Exception):
    """Something that cannot be done, in words for people.

    Args:
        what: what is wrong; several lines where several things are.
        where: the setting, file or option that it is about; shown first.
        advice: what to do; shown last.

    Attributes:
        what: as given.
        where: as given.
        advice: as given.
    """

    def __init__(self, what: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.advice = what, where, advice

    def __str__(self) -> str:
        told = f"{self.where}: {self.what}" if self.where else self.what
        return f"{told}; {self.advice}" if self.advice else told


class ConfigError(NarratorError):
    """The configuration cannot be used: a setting, or what a setting names."""


class WrongUse(NarratorError):
    """A command was asked for what it cannot do: options that do not go together, say."""


class NotInstalled(NarratorError):
    """A part of the program that comes as an extra is not installed."""


class NoSuchBook(NarratorError):
    """The catalogue has no book of this id."""


class CannotRead(NarratorError):
    """A file cannot be read aloud, or the audio not written."""


class CannotMark(NarratorError):
    """A file cannot be marked, or the marked one not written."""


class Unreadable(NarratorError):
    """An audio file cannot be read."""


class NoSuchMark(NarratorError):
    """A book has no watermark index."""


class DemoError(NarratorError):
    """The demonstration cannot go on."""


class Unavailable(NarratorError):
    """A dependency does not answer, or says that it cannot now. Trying again later is right.

    Args:
        dependency: ``database`` or ``storage``.
        what: what is wrong.
        advice: what to do, where something can be done.

    Attributes:
        dependency: as given.
    """

    def __init__(self, dependency: str, what: str, *, advice: str = "") -> None:
        super().__init__(what, advice=advice)
        self.dependency = dependency


class Refused(Unavailable):
    """A dependency says no, and will until an operator changes something.

    To a book it is the same as an outage, as no book is at fault: the work is given back, claiming
    pauses, and goes on by itself once the answer changes.
    """


class NodeUnavailable(Unavailable):
    """One node or one object cannot be written now. The dependency answers, and others can."""


class Contended(NodeUnavailable):
    """Others kept writing in between; only this write must wait."""


class NodeRefused(NodeUnavailable):
    """The dependency takes this node's value from nobody: a rule, or a limit on what is stored.

    Everything else that is asked of it goes well, so that credentials are not at fault.
    """
