"""Sizes and times of a history, small enough that each plays a part in one of a minute."""

from __future__ import annotations

#: Of leases, seconds; and of what reads again what waits.
TTL, BEAT, RECONCILE = 9.0, 2.0, 8.0
MAX_ATTEMPTS = 3
#: Waiting books that a usual reading brings.
WINDOW_BOOKS = 4
#: In which a requester gets so many narrations.
WINDOW_SECONDS = 10
#: Seconds of a day of a budget.
DAY_SECONDS = 40
#: Seconds without progress after which a job is stuck.
STUCK_SECONDS = 14.0
#: Seconds after which whoever reads for nobody has noticed it.
IDLE_SECONDS = 6.0
#: Seconds in which the last answers are sent, and after which a job has noticed that it is to stop.
FAREWELL_SECONDS, NOTICED_SECONDS = 1.5, 2.0
#: Seconds after which whoever runs has seen all that waits.
SEEN_SECONDS = 14.0
#: Seconds between two looks at batches, and at when books will be ready.
BATCH_LOOK_SECONDS, FORECAST_SECONDS = 10.0, 3.0
#: Seconds after which what became of a book stands in its batch, and in which a batch that is taken
#: back is no longer worked on.
BATCH_SECONDS, CANCEL_SECONDS = 5.0, 20.0
#: Seconds after which a worker does what it is told, and after which one that drains has ended.
CONTROL_SECONDS, DRAIN_SECONDS = 8.0, 25.0
#: Characters of a sentence, and seconds that it takes, where each takes its time.
STEADY_CHARACTERS, STEADY_SECONDS = 10, 0.4
#: Books after which it is known what one takes; and seconds by which a forecast is off beside a
#: book that was begun since its worker last said what is left.
PACE_BOOKS, FORECAST_OFF_SECONDS = 4, 3.0
#: Seconds after the grace period in which a job may begin a sentence.
STOPPED_SECONDS = 1.0
