"""What a signed URL says of itself: from when it works.

Source: https://cloud.google.com/storage/docs/authentication/canonical-requests (V4 signatures).
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

#: The longest life that a signature can give, in milliseconds.
LONGEST_LIFE_MS = 7 * 24 * 3600 * 1000

#: Clocks that are nearer to each other than this count as one, in milliseconds.
TOLERANCE_MS = 60_000


def works_from(url: object) -> int | None:
    """When a signed URL begins to work, epoch milliseconds; None where it does not say.

    Args:
        url: what a book holds, of any JSON type.
    """
    try:
        date = parse_qs(urlsplit(str(url)).query)["X-Goog-Date"][0]
        at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except (ValueError, KeyError):
        return None
    return int(at.timestamp() * 1000)


def is_by_a_wrong_clock(url: object, expires_at: float, now_ms: int) -> bool:
    """Whether a URL, or what is shown as its end, is such as no right clock gives.

    Args:
        url: what a book holds.
        expires_at: what is shown beside it, epoch milliseconds.
        now_ms: by the bucket, epoch milliseconds.
    """
    begins = works_from(url)
    if begins is not None and begins > now_ms + TOLERANCE_MS:
        return True
    return expires_at > now_ms + LONGEST_LIFE_MS + TOLERANCE_MS
