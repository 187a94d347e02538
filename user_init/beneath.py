"""Work in folders whose names and content somebody hostile chooses: by descriptor, and never through a link.

Each call names one component relative to an open directory, so what a path leads to cannot be changed under us. It is
what openat2's RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS promises, and works where seccomp or an old kernel refuses openat2.
Nothing here overwrites: what would is an error. All that user_init changes on disk, it changes through this module.
"""

import ctypes
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import TracebackType
from typing import Self

_LIBC = ctypes.CDLL(None, use_errno=True)
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2  # linux/fs.h
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS})
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_COPY_CHUNK = 8 * 1024 * 1024


class Kind(Enum):
    """What a name stands for, by lstat."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"
    OTHER = "other"
    """A pipe, a socket or a device: never opened."""


class Dir:
    """An open directory. Every method raises `OSError`; names are single components."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def at(cls, path: str) -> Self:
        """Open a folder of the operator's, whose path may contain links."""
        return cls(os.open(path, _DIRECTORY))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.fd)

    def again(self) -> "Dir":
        """The same directory, to be closed on its own."""
        return Dir(os.dup(self.fd))

    def child(self, name: str) -> "Dir":
        """Open a directory in it. Raises `NotADirectoryError` for all else, links to directories among it."""
        try:
            return Dir(os.open(_single(name), _DIRECTORY | os.O_NOFOLLOW, dir_fd=self.fd))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NotADirectoryError(errno.ENOTDIR, "is a link", name) from None
            raise

    def kind(self, name: str) -> Kind | None:
        """What is there under that name; None when nothing is."""
        try:
            mode = os.stat(_single(name), dir_fd=self.fd, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None
        for test, kind in ((stat.S_ISDIR, Kind.DIRECTORY), (stat.S_ISREG, Kind.FILE), (stat.S_ISLNK, Kind.LINK)):
            if test(mode):
                return kind
        return Kind.OTHER

    def names(self) -> list[str]:
        return sorted(os.listdir(self.fd))  # noqa: PTH208 - a descriptor has no Path

    def mkdir(self, name: str) -> None:
        """Make a directory that only its owner can enter."""
        os.mkdir(_single(name), 0o700, dir_fd=self.fd)

    def rmdir(self, name: str) -> None:
        """Remove an empty directory; the kernel refuses any other."""
        os.rmdir(_single(name), dir_fd=self.fd)

    def readlink(self, name: str) -> str:
        return os.readlink(_single(name), dir_fd=self.fd)

    def symlink(self, target: str, name: str) -> None:
        os.symlink(target, _single(name), dir_fd=self.fd)

    def unlink(self, name: str) -> None:
        """Take away a link that we made, or the old name of what was moved: never the last name of a file."""
        os.unlink(_single(name), dir_fd=self.fd)

    def sync(self) -> None:
        os.fsync(self.fd)

    def move(self, name: str, into: "Dir", new: str) -> None:
        """Rename without overwriting. Raises `FileExistsError`; `OSError` (EXDEV) when `into` is on another filesystem."""
        if not _renameat2(self.fd, _single(name), into.fd, _single(new), _RENAME_NOREPLACE):
            self._move_as_nfs_can(name, into, new)

    def _move_as_nfs_can(self, name: str, into: "Dir", new: str) -> None:
        if self.kind(name) is Kind.DIRECTORY:  # a directory can take the place of nothing but an empty directory
            os.rename(name, new, src_dir_fd=self.fd, dst_dir_fd=into.fd)
            return
        os.link(name, new, src_dir_fd=self.fd, dst_dir_fd=into.fd, follow_symlinks=False)
        self.unlink(name)

    def exchange(self, one: str, other: str) -> bool:
        """Swap two names in one instant. False where the filesystem cannot."""
        return _renameat2(self.fd, _single(one), self.fd, _single(other), _RENAME_EXCHANGE)

    @contextmanager
    def reading(self, name: str) -> Iterator[int]:
        """A descriptor of a regular file. Raises `OSError` for all else, without waiting on a pipe."""
        fd = os.open(_single(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "is not a regular file", name)
            yield fd
        finally:
            os.close(fd)

    def read(self, name: str, limit: int) -> bytes:
        """A regular file's bytes. Raises `OSError` (EFBIG) when there are more than `limit`."""
        with self.reading(name) as fd:
            content = b""
            while chunk := os.read(fd, limit + 1 - len(content)):
                content += chunk
        if len(content) > limit:
            raise OSError(errno.EFBIG, f"is larger than {limit} bytes", name)
        return content

    def write_new(self, name: str, content: bytes) -> None:
        """A file that appears whole and on disk, or not at all. Raises `FileExistsError`."""
        with self._appearing(name, 0o600) as fd:
            while content:
                content = content[os.write(fd, content) :]
            os.fsync(fd)
        self.sync()

    def move_copy(self, name: str, into: "Dir", new: str) -> None:
        """Move a file to another filesystem: its old name goes only when the copy is whole and on disk under the new one.

        Raises `FileExistsError`; `OSError` (EBUSY) when somebody wrote to it meanwhile, and then it stays where it was.
        """
        with self.reading(name) as source:
            before = os.fstat(source)
            with into._appearing(new, stat.S_IMODE(before.st_mode) & 0o777) as fd:  # noqa: SLF001 - of another Dir
                while os.sendfile(fd, source, None, _COPY_CHUNK):
                    pass
                os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
                os.fsync(fd)
                now = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
                if _version(before) != _version(os.fstat(source)) or _version(before) != _version(now):
                    raise OSError(errno.EBUSY, "was written to while it was copied", name)
        into.sync()
        self.unlink(name)

    @contextmanager
    def _appearing(self, name: str, mode: int) -> Iterator[int]:
        part = f".{secrets.token_hex(8)}.atelier-part"
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.fd)
        try:
            yield fd
            self.move(part, self, name)
        except OSError:
            self.unlink(part)
            raise
        finally:
            os.close(fd)


def same(one: Dir, name: str, other: Dir, new: str, limit: int) -> bool:
    """Whether two names stand for the same: links with one target, or files of up to `limit` bytes with one content."""
    kinds = {one.kind(name), other.kind(new)}
    if kinds == {Kind.LINK}:
        return one.readlink(name) == other.readlink(new)
    if kinds != {Kind.FILE}:
        return False
    with one.reading(name) as first, other.reading(new) as second:
        here, there = os.fstat(first), os.fstat(second)
        if os.path.samestat(here, there):
            return True
        if here.st_size != there.st_size or here.st_size > limit:
            return False
        while chunk := os.read(first, _COPY_CHUNK):
            if chunk != os.read(second, len(chunk)):
                return False
    return True


def _version(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _single(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise OSError(errno.EINVAL, "is not the name of an entry", name)
    return name


def _renameat2(from_fd: int, name: str, to_fd: int, new: str, flags: int) -> bool:
    """False where the C library (glibc has it since 2.28), the kernel or the filesystem cannot."""
    call = getattr(_LIBC, "renameat2", None)
    if call is None:
        return False
    if call(from_fd, os.fsencode(name), to_fd, os.fsencode(new), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), name, None, new)
