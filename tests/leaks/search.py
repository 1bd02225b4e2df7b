# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that searches a machine. It stands alone: it is sent to hosts that have Python and grep, nothing of ours.

    python3 search.py REQUEST        read the file (which holds the secrets, and is deleted at once), print the report
    python3 search.py watch FILE     write down every process that begins, until killed

Request: `{"needles": [text, …], "places": {name: [function, argument, …]}}`; a function is one of `PLACES`.
Report: `{"found": [[place, where, number of the needle], …], "unread": [[place, where, why], …], "looked": {place: how
many things}}`. It never holds a text that was found.
"""

from __future__ import annotations

import bisect
import bz2
import concurrent.futures
import gzip
import json
import lzma
import os
import re
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: grep reads about 100 MB/s; more of them at once than a small machine has processors help nobody.
WORKERS = min(4, os.cpu_count() or 1)
#: How much of a command line the paths for one grep may take. It is half of what Linux allows, and so much that
#: learning the needles anew each time hardly counts.
PATHS = 1 << 20
#: How many bytes of other texts are kept until they are searched.
TEXTS = 64 << 20
#: File systems of the kernel's own, in which nobody stores anything.
KERNEL = set(
    "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs proc"
    " pstore rpc_pipefs securityfs selinuxfs sysfs tracefs".split()
)
#: Seconds between two looks of the watch.
WATCH = 0.03


@dataclass(frozen=True)
class File:
    """A file to search."""

    path: str


@dataclass(frozen=True)
class Text:
    """Something else to search, and how the report calls it."""

    where: str
    content: bytes


@dataclass(frozen=True)
class Unread:
    """Something that could not be searched, and why: it is never passed over in silence."""

    where: str
    why: str


Source = File | Text | Unread


# -- what there is -----------------------------------------------------------------------------------------------------


def tree(root: str, seen: set[tuple[int, int]] | None = None) -> Iterator[Source]:
    """Every file below a folder, on its file system only: content, name, and where a link leads.

    What is compressed is searched unpacked. A file with several names is read once.
    """
    seen = set() if seen is None else seen
    try:
        device = os.lstat(root).st_dev
    except FileNotFoundError:
        return  # it has gone since we heard of it
    names = []
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
        except FileNotFoundError:
            continue  # so has this
        except OSError as error:
            yield Unread(folder, str(error.strerror))
            continue
        for entry in entries:
            names.append(entry.path)
            try:
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISLNK(about.st_mode):
                    names.append(os.readlink(entry.path))
            except FileNotFoundError:
                continue  # or this
            identity = (about.st_dev, about.st_ino)
            if about.st_dev != device or identity in seen:
                continue
            seen.add(identity)
            if stat.S_ISDIR(about.st_mode):
                waiting.append(entry.path)
            elif stat.S_ISREG(about.st_mode):
                yield from file(entry.path)
    yield Text(f"names of files and targets of links below {root}", "\n".join(names).encode(errors="surrogateescape"))


UNPACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
#: What no module of Python's unpacks, apt does: it is on every Debian.
BY_APT = (".lz4", ".zst")


def file(path: str) -> Iterator[Source]:
    """A file, and what is packed in it."""
    yield File(path)
    suffix = os.path.splitext(path)[1]
    try:
        if suffix in UNPACK:
            with open(path, "rb") as packed:
                yield Text(path, UNPACK[suffix](packed.read()))
        elif suffix in BY_APT:
            yield from output("/usr/lib/apt/apt-helper", "cat-file", path, where=path)
    except FileNotFoundError:
        pass  # it has gone
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        with open(path, "rb") as packed:
            if packed.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):  # else it is only called so
                yield Unread(path, f"cannot be unpacked: {error}")


def output(*command: str, where: str = "") -> Iterator[Source]:
    """What a program prints."""
    where = where or " ".join(command[:3])
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        yield Unread(where, str(error))
        return
    if done.returncode:
        yield Unread(where, done.stderr.decode(errors="replace")[-300:])
    yield Text(where, done.stdout + done.stderr)


def mounts(pid: str) -> Iterator[tuple[str, str, str, str]]:
    """Device, root, place and options of each file system that a process sees and that can store something."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            left, _dash, right = line.rstrip("\n").partition(" - ")
            _id, _parent, device, root, place = left.split()[:5]
            kind, _source, options = (*right.split(" ", 2), "")[:3]
            if kind not in KERNEL:
                yield device, unescaped(root), unescaped(place), options


def unescaped(path: str) -> str:
    """A path as mountinfo writes it, with blanks and the like as octal numbers."""
    return re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), path)


def pids() -> list[str]:
    """The processes there are."""
    return [name for name in os.listdir("/proc") if name.isdigit()]


def command_of(pid: str) -> str:
    """The short name of a process."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as text:
            return text.read().strip()
    except OSError:
        return "gone"


# -- the places --------------------------------------------------------------------------------------------------------


def below(*roots: str) -> Iterator[Source]:
    """All files below these folders, or these files, as far as they are there."""
    seen: set[tuple[int, int]] = set()
    for root in roots:
        if os.path.isdir(root):
            yield from tree(root, seen)
        elif os.path.exists(root):
            yield from file(root)


def all_files() -> Iterator[Source]:
    """All files of the machine: of every file system that this process or any other one sees.

    Private temporary folders, memory file systems of containers and credentials of services are among them. A
    container's own view is put together from folders below /var/lib/docker, which are searched as they are.
    """
    namespaces: dict[str, str] = {}
    for pid in ["self", *pids()]:
        try:
            namespaces.setdefault(os.readlink(f"/proc/{pid}/ns/mnt"), pid)
        except OSError:
            continue  # it has ended
    searched: set[tuple[str, str]] = set()
    seen: set[tuple[int, int]] = set()
    for pid in namespaces.values():
        prefix = "" if pid == "self" else f"/proc/{pid}/root"
        try:
            found = list(mounts(pid))
        except OSError:
            continue  # it has ended
        for device, root, place, options in found:
            upper = re.search(r"upperdir=([^,]*)", options)
            if (device, root) in searched or (upper and os.path.isdir(upper[1])):
                continue
            searched.add((device, root))
            path = prefix + place
            if os.path.isdir(path):
                yield from tree(path, seen)
            elif os.path.isfile(path):
                yield from file(path)


def environments(whose: str = "all") -> Iterator[Source]:
    """The environment of every process; `own`: as far as it is ours to know, which not even all of root's may be."""
    return (File(f"/proc/{pid}/environ") for pid in pids() if whose == "all" or may_know(pid))


def command_lines(whose: str = "all") -> Iterator[Source]:
    """The command line of every process; `own`: see `environments`."""
    return (File(f"/proc/{pid}/cmdline") for pid in pids() if whose == "all" or may_know(pid))


def may_know(pid: str) -> bool:
    """Whether this process may look into another one."""
    try:
        with open(f"/proc/{pid}/environ", "rb"):
            return True
    except OSError:
        return False


def watched(path: str) -> Iterator[Source]:
    """Command line and environment of every process that the watch has seen."""
    with open(path, "rb") as seen:
        for record in seen.read().split(b"\n\n"):
            if record:
                yield Text(record.split(b"\n")[0].decode(errors="replace"), record)


def docker_inspect() -> Iterator[Source]:
    """What Docker tells of every container, image, volume and network."""
    for kind, listing in (
        ("container", ["ps", "--all"]),
        *((kind, [kind, "ls"]) for kind in ("image", "volume", "network")),
    ):
        names = subprocess.run(["docker", *listing, "--quiet"], capture_output=True, text=True, check=True).stdout
        for name in sorted(set(names.split())):
            yield from unless_gone(output("docker", kind, "inspect", name, where=f"docker {kind} inspect {name}"))


def image_history() -> Iterator[Source]:
    """The history of every image: how each of its layers was made."""
    names = subprocess.run(["docker", "image", "ls", "--all", "--quiet"], capture_output=True, text=True, check=True)
    for name in sorted(set(names.stdout.split())):
        yield from output("docker", "history", "--no-trunc", name, where=f"docker history {name}")


def unless_gone(sources: Iterator[Source]) -> Iterator[Source]:
    """Without the complaint that something is there no more: runners come and go while we look."""
    return (one for one in sources if not (isinstance(one, Unread) and "No such" in one.why))


def database(path: str) -> Iterator[Source]:
    """A SQLite database: its rows, and its files with what was deleted, or is not yet in the main one."""
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            yield File(path + suffix)
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as connection:
        yield Text(f"rows of {path}", "\n".join(connection.iterdump()).encode(errors="surrogateescape"))
    connection.close()


def journald() -> Iterator[Source]:
    """The system's journal, all fields of all entries of all boots."""
    yield from output("journalctl", "--no-pager", "--all", "--output=export")


def core_dumps() -> Iterator[Source]:
    """Core dumps: wherever a file is called so, or systemd or apport keeps them."""
    yield from below("/var/lib/systemd/coredump", "/var/crash", "/var/lib/apport/coredump")
    searched: set[str] = set()
    for device, _root, place, _options in mounts("self"):
        if device in searched or not os.path.isdir(place):
            continue
        searched.add(device)
        for source in tree(place):
            if isinstance(source, File) and is_core(source.path):
                yield source


def is_core(path: str) -> bool:
    """Whether a file is an ELF file of the type core, whatever its name."""
    try:
        with open(path, "rb") as begin:
            head = begin.read(18)
    except OSError:
        return False
    return head.startswith(b"\x7fELF") and head[16:] in (b"\x04\x00", b"\x00\x04")


def ansible_temporary() -> Iterator[Source]:
    """Ansible's temporary folders, of whoever was logged in."""
    homes = ["/root", *(os.path.join("/home", name) for name in os.listdir("/home"))]
    yield from below(*(os.path.join(home, ".ansible") for home in homes))


def says(*command: str) -> Iterator[Source]:
    """What a program says."""
    return output(*command, where=" ".join(command))


PLACES: dict[str, Callable[..., Iterator[Source]]] = {
    function.__name__: function
    for function in (
        below,
        all_files,
        environments,
        command_lines,
        watched,
        docker_inspect,
        image_history,
        database,
        journald,
        core_dumps,
        ansible_temporary,
        says,
    )
}


# -- the search --------------------------------------------------------------------------------------------------------


class Grep:
    """grep, with the needles in a file that has no name."""

    def __init__(self, needles: list[str]) -> None:
        self._numbers = {text.encode(): number for number, text in enumerate(needles)}
        self._memory = os.memfd_create("needles")
        os.write(self._memory, "".join(f"{text}\n" for text in needles).encode())

    def _run(self, *arguments: str, data: bytes | None = None) -> tuple[list[tuple[str, int, int]], list[str]]:
        """What was found (file, offset, number of the needle), and what grep complained of."""
        done = subprocess.run(
            [
                "grep",
                "--fixed-strings",
                "--text",
                "--only-matching",
                "--byte-offset",
                "--with-filename",
                "--null",
                f"--file=/proc/self/fd/{self._memory}",
                *arguments,
            ],
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            pass_fds=[self._memory],
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
        hits = re.findall(rb"([^\0]+)\0(\d+):([^\n]*)\n", done.stdout)
        found = [(os.fsdecode(name), int(at), self._numbers[text]) for name, at, text in hits]
        return found, done.stderr.decode(errors="replace").splitlines()

    def files(self, paths: list[str]) -> tuple[list[tuple[str, int]], list[tuple[str, str]]]:
        """Search files. What was found (path, number), and what could not be read (path, why)."""
        found, complaints = self._run("--devices=skip", "--", *paths)
        unread = []
        for complaint in complaints:
            _grep, _colon, rest = complaint.partition(": ")
            path, _colon, why = rest.rpartition(": ")
            if why not in ("No such file or directory", "No such process"):
                unread.append((path, why))
        return [(path, number) for path, _at, number in found], unread

    def texts(self, texts: list[Text]) -> list[tuple[str, int]]:
        """Search texts. What was found: where, and the number."""
        starts, whole = [], bytearray()
        for text in texts:
            starts.append(len(whole))
            whole += text.content + b"\n"
        found, complaints = self._run("-", data=bytes(whole))
        if complaints:
            raise OSError("\n".join(complaints))
        return [(texts[bisect.bisect(starts, at) - 1].where, number) for _name, at, number in found]


def search(grep: Grep, sources: Iterator[Source]) -> tuple[set[tuple[str, int]], list[tuple[str, str]], int]:
    """Search everything in one place: what was found, what could not be read, how many things it were."""
    found: set[tuple[str, int]] = set()
    unread: list[tuple[str, str]] = []
    paths: list[str] = []
    texts: list[Text] = []
    looked = paths_size = texts_size = 0
    running = []
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for source in sources:
            looked += 1
            if isinstance(source, Unread):
                unread.append((source.where, source.why))
            elif isinstance(source, File):
                paths.append(source.path)
                paths_size += len(os.fsencode(source.path)) + 9  # its end, and its place in the list
            else:
                texts.append(source)
                texts_size += len(source.content)
            if paths_size >= PATHS:
                running.append(pool.submit(grep.files, paths))
                paths, paths_size = [], 0
            if texts_size >= TEXTS:
                found.update(grep.texts(texts))
                texts, texts_size = [], 0
        if paths:
            running.append(pool.submit(grep.files, paths))
        if texts:
            found.update(grep.texts(texts))
        for future in running:
            hits, complaints = future.result()
            found.update(hits)
            unread += complaints
    return found, unread, looked


def main(path: str) -> None:
    """Search what a request asks for, and print the report."""
    with open(path, encoding="utf-8") as file_:
        os.unlink(path)
        request = json.load(file_)
    grep = Grep(request["needles"])
    found: list[tuple[str, str, int]] = []
    unread: list[tuple[str, str, str]] = []
    looked: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for place, (function, *arguments) in request["places"].items():
        begun = time.monotonic()
        hits, complaints, looked[place] = search(grep, PLACES[function](*arguments))
        found += [(place, where, number) for where, number in sorted(hits)]
        unread += [(place, where, why) for where, why in complaints]
        seconds[place] = round(time.monotonic() - begun, 2)
    print(json.dumps({"found": found, "unread": unread, "looked": looked, "seconds": seconds}))


def watch(path: str) -> None:
    """Write down command line and environment of every process that lives for `WATCH` or longer, until killed."""
    seen: set[tuple[str, bytes]] = set()
    with open(path, "ab", buffering=0) as out:
        while True:
            for pid in pids():
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as text:
                        command = text.read()
                    if not command or (pid, command) in seen:
                        continue
                    with open(f"/proc/{pid}/environ", "rb") as text:
                        environment = text.read()
                except OSError:
                    continue  # it has ended, or is another user's
                seen.add((pid, command))
                record = b"\n".join([command, environment]).replace(b"\n\n", b"\n \n")
                out.write(f"process {pid} ({command_of(pid)})\n".encode() + record + b"\n\n")
            time.sleep(WATCH)


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch(sys.argv[2])
    else:
        main(sys.argv[1])
