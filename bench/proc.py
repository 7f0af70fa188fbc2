"""CPU and memory of a process tree, read from /proc. It does not start or stop processes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """The fields of /proc/<pid>/stat that matter here."""

    pid: int
    name: str
    parent: int
    session: int
    cpu_s: float
    """User and system time, own and of children already reaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Mebibytes of a tree: RSS counts a page once per process that maps it, PSS once."""

    rss_mib: float
    pss_mib: float


def tree(root: int) -> list[Stat]:
    """Return the process, its descendants, and what else lives in its session."""
    stats = {stat.pid: stat for entry in Path("/proc").iterdir() if entry.name.isdigit() for stat in _read(entry)}
    members = {root} | {stat.pid for stat in stats.values() if stat.session == root}
    grown = True
    while grown:
        children = {stat.pid for stat in stats.values() if stat.parent in members}
        grown = not children <= members
        members |= children
    return [stats[pid] for pid in sorted(members & stats.keys())]


def alive(members: list[Stat]) -> list[Stat]:
    """Return those that still run; a reused process id with another name is not one of them."""
    return [stat for stat in members for now in _read(Path(f"/proc/{stat.pid}")) if now.name == stat.name]


def cpu_s(root: int) -> float:
    """Return the CPU seconds a tree has used since it started."""
    return sum(stat.cpu_s for stat in tree(root))


def memory(root: int) -> Memory:
    """Return the memory of a tree now."""
    totals = {b"Rss:": 0, b"Pss:": 0}
    for stat in tree(root):
        try:
            lines = Path(f"/proc/{stat.pid}/smaps_rollup").read_bytes().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in lines:
            words = line.split()
            if words[0] in totals:
                totals[words[0]] += int(words[1])
    return Memory(rss_mib=round(totals[b"Rss:"] / 1024, 1), pss_mib=round(totals[b"Pss:"] / 1024, 1))


def pin(root: int, cores: set[int]) -> None:
    """Bind every thread of a tree to some cores."""
    for stat in tree(root):
        for thread in Path(f"/proc/{stat.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def cores() -> tuple[set[int], set[int]]:
    """Return the gateway's core and the others, or all for both where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return (set(usable[:1]), set(usable[1:])) if len(usable) > 1 else (set(usable), set(usable))


def processor() -> str:
    """Return the name of the machine's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _read(entry: Path) -> list[Stat]:
    try:
        text = (entry / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []  # it ended between the listing and the reading
    # The name is in parentheses and may itself hold spaces and parentheses.
    before, _, after = text.rpartition(")")
    fields = after.split()
    ticks = sum(int(field) for field in fields[11:15])
    name = before.partition("(")[2]
    return [Stat(pid=int(entry.name), name=name, parent=int(fields[1]), session=int(fields[3]), cpu_s=ticks * _TICK_S)]
