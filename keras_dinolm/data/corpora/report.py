"""What a pass over files left out, where, and why."""

import collections
import warnings

_MOST_SHOWN = 5


class Report:
    """Counts what was left out, by reason, and says so in one warning.

    Args:
        dropped: counter from reasons to numbers.
    """

    def __init__(self, dropped: collections.Counter):
        self.dropped = dropped
        self.num_files = 0
        self._places: dict[str, list[str]] = collections.defaultdict(list)
        self._notes: dict[str, str] = {}
        self._quiet: set[str] = set()

    def add(
        self,
        reason: str,
        place: object,
        note: str = "",
        quiet: bool = False,
    ) -> None:
        """Counts one thing that was left out, or repaired.

        Args:
            reason: string, a plural, as in "lines that are not JSON".
            place: path, or string of a path and a line.
            note: string. More about the first such place, such as the cure.
            quiet: bool. Whether this reason alone is worth no warning.
        """
        self.dropped[reason] += 1
        if len(self._places[reason]) < _MOST_SHOWN:
            self._places[reason].append(str(place))
        if note:
            self._notes.setdefault(reason, note)
        if quiet:
            self._quiet.add(reason)

    def warn(self, num_documents: int, name: str) -> None:
        """Warns once of all that was added.

        Args:
            num_documents: int. How many documents were read.
            name: string. What was read.
        """
        if set(self._places) <= self._quiet:
            return
        documents = _counted(num_documents, "document")
        lines = [
            f"Read {documents} from {_counted(self.num_files, 'file')} of "
            f"{name}. Some of it was left out or repaired:"
        ]
        for reason, places in sorted(self._places.items()):
            more = self.dropped[reason] - len(places)
            lines.append(
                f"  {self.dropped[reason]:,} {reason}: {', '.join(places)}"
                + (f" and {more:,} more" if more else "")
            )
            if reason in self._notes:
                lines.append(f"    {self._notes[reason]}")
        warnings.warn("\n".join(lines), stacklevel=4)


def _counted(number, word):
    return f"{number:,} {word}" + ("" if number == 1 else "s")
