"""Which answers are worked on next, and in which cells; plain Python, no tensors, no clock.

A step gives every answer that talks its next token, and reads at most `chunk` cells of prompts
beside it, so that a new turn never stalls those who talk. `next` gives the step to run, `done`
records it. A cancelled answer is in no later step.

What is computed of a conversation stays in its allocation when an answer ends, is cancelled or
makes room: the next request of that conversation computes only what lies behind the longest common
prefix. What comes before the first word of a user a new conversation takes over from others. Two
cells hold the same where all tokens and clips up to them are the same. When cells run out, idle
conversations go first, the least recently used before others, then answers of low priority, then
the latest; those begin again later.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from realtime.engine.steps import BLOCK, Allocation, ClipStarts, Move, Part, Sequence, Step
from realtime.engine.worker.kv_allocator import KvAllocator
from realtime.errors import Busy

RECENT = 8
"""Idle conversations that are looked through, the latest first, for what a new one begins with."""
WORTH = 8
"""Cells that a copy from another conversation must save; fewer are computed about as soon."""


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """How many answers are worked on at once, how many may wait, how much is read in a step."""

    slots: int
    queue: int
    chunk: int
    """Positions of prompts per step."""
    cells: int
    """Positions kept in all, of answers under way and of idle conversations."""
    block: int = BLOCK

    def __post_init__(self) -> None:
        """Refuse a scheduler that could never run anything."""
        if self.slots < 1 or self.queue < 0:
            raise ValueError("slots must be at least 1 and queue at least 0")
        if self.chunk < 1:
            raise ValueError("chunk must be at least 1")
        if not 1 <= self.block <= self.cells:
            raise ValueError("block must be at least 1 and cells at least one block")


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What is computed of a conversation that nobody works on."""

    tokens: list[int]
    heard: ClipStarts
    allocation: Allocation


class Scheduler:
    """Answers waiting (normal before low, then in order of arrival) and running."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.allocator = KvAllocator(config.cells, config.block)
        self.waiting: dict[int, Sequence] = {}
        """By serial; together at most `queue` beyond the free slots."""
        self.running: dict[int, Sequence] = {}
        """By serial, those first that began first; at most `slots`."""
        self.idle: OrderedDict[str, Kept] = OrderedDict()
        """By conversation, the least recently used first."""
        self.begun = 0
        self.owed = False
        """Whether those who talk get a step before the next answer that runs alone."""

    def add(self, sequence: Sequence) -> None:
        """Take an answer; raise Busy when too many wait. Serials are in order of arrival."""
        if len(self.waiting) + len(self.running) >= self.config.slots + self.config.queue:
            raise Busy(f"{len(self.waiting)} answers are waiting already", retry_after=1.0)
        self.waiting[sequence.serial] = sequence

    def cancel(self, serial: int, *, keep: bool = True) -> None:
        """Forget an answer, whatever its state; what is computed of it stays for the next."""
        self.waiting.pop(serial, None)
        if sequence := self.running.pop(serial, None):
            assert sequence.allocation is not None
            if not keep:
                sequence.allocation.used = 0
            self._keep(sequence)

    def confirm(self, serial: int) -> None:
        """Serve an answer of low priority as a normal one; others are ignored."""
        if sequence := self.waiting.get(serial) or self.running.get(serial):
            sequence.low = False

    def next(self) -> Step | None:
        """Give the step to run now; None when there is nothing to do."""
        moves: list[Move] = []
        self._admit(moves)
        parts = self._alone()
        if not parts:
            parts = [part for one in self._served() if (part := self._decode(one, moves))]
            # Making room for one may have sent away another that was before it.
            parts = [part for part in parts if part.serial in self.running]
            parts += self._prefill()
            self.owed = False
        # Later moves may have taken along what earlier parts name.
        placed = [self._placed(part) for part in parts if part.serial in self.running]
        return Step(tuple(moves), tuple(placed)) if placed or moves else None

    def done(
        self,
        parts: Iterable[Part],
        said: Mapping[int, int],
        ended: frozenset[int] = frozenset(),
    ) -> None:
        """Record parts that were run, the tokens that followed, and which answers ended so."""
        for part in parts:
            sequence = self.running.get(part.serial)
            if sequence is None:
                continue
            assert sequence.allocation is not None
            sequence.allocation.used = part.stop
            if part.serial in ended:
                self.cancel(part.serial)
            elif part.last:
                sequence.alone = False
                sequence.tokens.append(said[part.serial])

    # Who is in a step --------------------------------------------------------------------------

    def _alone(self) -> list[Part]:
        """Give the step of an answer that must run alone, unless those who talk are owed one."""
        alone = [one for one in self._served() if one.alone]
        others = any(one.decodes and not one.alone for one in self.running.values())
        if not alone or (self.owed and others):
            return []
        self.owed = True
        return [self._part(alone[0], self.config.chunk)]

    def _decode(self, sequence: Sequence, moves: list[Move]) -> Part | None:
        """Give an answer that talks its next token; None when it does not, or has no room."""
        if sequence.serial not in self.running or sequence.alone or not sequence.decodes:
            return None
        if not self._make_room(sequence, moves):
            return None
        return self._part(sequence, 1)

    def _prefill(self) -> list[Part]:
        """Read prompts, within what a step may hold of them.

        Those that fit into one step go before those that do not, which get a quarter at least:
        a short question does not wait for somebody's long history, nor that for ever.
        """
        chunk = self.config.chunk
        reading = [one for one in self._served() if not (one.decodes or one.alone)]
        long = [one for one in reading if one.left > chunk]
        short = [one for one in reading if one.left <= chunk]
        parts: list[Part] = []
        budget = chunk - (chunk + 3) // 4 if long else chunk
        for sequence in short:
            if budget:
                parts.append(self._part(sequence, budget))
                budget -= parts[-1].stop - parts[-1].start
        budget = chunk - sum(part.stop - part.start for part in parts)
        if long and budget:
            parts.append(self._part(long[0], budget))
        return parts

    def _served(self) -> list[Sequence]:
        """List those who run in the order in which they are served."""
        return sorted(self.running.values(), key=urgency)

    def _part(self, sequence: Sequence, budget: int) -> Part:
        stop = min(len(sequence.tokens), sequence.used + budget)
        return Part(sequence.serial, sequence.used, stop, 0, stop == len(sequence.tokens))

    def _placed(self, part: Part) -> Part:
        allocation = self.running[part.serial].allocation
        assert allocation is not None
        return Part(part.serial, part.start, part.stop, allocation.start, part.last)

    # Who runs ----------------------------------------------------------------------------------

    def _admit(self, moves: list[Move]) -> None:
        """Begin answers in order while there are slots and cells."""
        for sequence in sorted(self.waiting.values(), key=urgency):
            if not (self._has_slot(sequence) and self._begin(sequence, moves)):
                return

    def _has_slot(self, sequence: Sequence) -> bool:
        """Tell whether there is a slot for an answer; one of low priority yields to a normal."""
        if len(self.running) < self.config.slots:
            return True
        lows = [other for other in self.running.values() if other.low]
        if sequence.low or not lows:
            return False
        self._send_back(max(lows, key=lambda other: other.order))
        return True

    def _begin(self, sequence: Sequence, moves: list[Move]) -> bool:
        """Give an answer its cells, with what is computed of it already; False without room."""
        own = self.idle.pop(sequence.conversation, None)
        shared = common(own, sequence, own.allocation.used) if own else 0
        allocation = own.allocation if own else None
        allocation = self._find_cells(allocation, sequence, moves)
        if allocation is None:
            if own:
                self._shelve(sequence.conversation, own)
            return False
        source, copied = self._longest_elsewhere(sequence, shared)
        if source is not None:
            moves.append(Move(source.start, allocation.start, copied))
            shared = copied
        # At least one position is computed, for the scores behind it.
        allocation.used = min(shared, len(sequence.tokens) - 1)
        self.allocator.trim(allocation, len(sequence.tokens))
        sequence.allocation = allocation
        if sequence.cached is None:
            sequence.cached = allocation.used
        del self.waiting[sequence.serial]
        self.begun += 1
        sequence.order = self.begun
        self.running[sequence.serial] = sequence
        return True

    def _longest_elsewhere(self, sequence: Sequence, shared: int) -> tuple[Allocation | None, int]:
        """Find who else has computed more of what an answer begins with, and how many cells.

        Of other conversations nothing is taken that was said in them: how soon an answer comes
        would tell whether somebody else had said the same.
        """
        head = sequence.prompt.head
        best: tuple[Allocation | None, int] = None, shared
        for other in self.running.values():
            same = other.conversation == sequence.conversation
            assert other.allocation is not None
            found = common(other, sequence, other.used if same else min(other.used, head))
            if found >= best[1] + (1 if same else WORTH):
                best = other.allocation, found
        for kept in itertools.islice(reversed(self.idle.values()), RECENT):
            found = common(kept, sequence, min(kept.allocation.used, head))
            if found >= best[1] + WORTH:
                best = kept.allocation, found
        return best

    def _send_back(self, sequence: Sequence) -> None:
        """Let an answer wait again; what is computed of it stays while there is room."""
        del self.running[sequence.serial]
        self._keep(sequence)
        sequence.allocation = None
        self.waiting[sequence.serial] = sequence

    def _keep(self, sequence: Sequence) -> None:
        """Keep what is computed for the conversation's next request."""
        assert sequence.allocation is not None
        tokens = sequence.tokens[: sequence.used]
        self._shelve(sequence.conversation, Kept(tokens, sequence.heard, sequence.allocation))

    def _shelve(self, conversation: str, kept: Kept) -> None:
        """Keep an allocation as idle; of two of one conversation the one that holds more."""
        other = self.idle.pop(conversation, None)
        if other is not None and other.allocation.used > kept.allocation.used:
            kept, other = other, kept
        if other is not None:
            self.allocator.release(other.allocation)
        if kept.allocation.used:
            self.idle[conversation] = kept
        else:
            self.allocator.release(kept.allocation)

    # Whose cells -------------------------------------------------------------------------------

    def _find_cells(
        self, allocation: Allocation | None, sequence: Sequence, moves: list[Move]
    ) -> Allocation | None:
        """Give the cells that an answer needs to begin, grown from its own if it has some.

        They are taken from those who are idle or less urgent; None when that is not enough.
        """
        while True:
            if allocation is None:
                if found := self.allocator.reserve(len(sequence.tokens)):
                    allocation, moved = found
                    moves += moved
                    return allocation
            elif (more := self.allocator.grow(allocation, len(sequence.tokens))) is not None:
                moves += more
                return allocation
            if not self._evict() and not self._preempt_for(sequence):
                return None

    def _make_room(self, sequence: Sequence, moves: list[Move]) -> bool:
        """Make room for an answer's next token; False when it was sent back itself."""
        assert sequence.allocation is not None
        while True:
            moved = self.allocator.grow(sequence.allocation, len(sequence.tokens))
            if moved is not None:
                moves += moved
                return True
            if self._evict():
                continue
            others = [other for other in self.running.values() if other is not sequence]
            latest = max([*others, sequence], key=lambda other: (other.low, other.order))
            self._send_back(latest)
            if latest is sequence:
                return False

    def _evict(self) -> bool:
        """Give up the conversation that is idle for the longest time; False without any."""
        if not self.idle:
            return False
        _, kept = self.idle.popitem(last=False)
        self.allocator.release(kept.allocation)
        return True

    def _preempt_for(self, sequence: Sequence) -> bool:
        """Send back the latest answer of low priority for a normal one; False without any."""
        lows = [other for other in self.running.values() if other.low]
        if sequence.low or not lows:
            return False
        self._send_back(max(lows, key=lambda other: other.order))
        return True


def urgency(sequence: Sequence) -> tuple[bool, int]:
    """Give what answers are served by: those of normal priority first, in order of arrival."""
    return sequence.low, sequence.serial


def common(one: Sequence | Kept, other: Sequence, most: int) -> int:
    """Count the cells, so many at most, that hold the same from the first on."""
    for first, second in itertools.zip_longest(one.heard, other.heard, fillvalue=(most, "")):
        if first != second:
            most = min(most, first[0], second[0])
            break
    return alike(one.tokens, other.tokens, most)


def alike(one: list[int], other: list[int], most: int) -> int:
    """Count the tokens, so many at most, that two rows have in common from the first on."""
    shortest = min(len(one), len(other), most)
    low = 0
    # Whole runs first: comparing slices is fast, and most histories differ near their end only.
    while low < shortest:
        high = min(low + 256, shortest)
        if one[low:high] != other[low:high]:
            return low + next(i for i in range(high - low) if one[low + i] != other[low + i])
        low = high
    return shortest
