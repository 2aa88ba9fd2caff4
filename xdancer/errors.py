"""Errors that a user can cause. Each message gives the value, the rule and the next step; the command line prints it in one line."""

import errno

_FULL = "Free space or choose another place."
_FORBIDDEN = "Change the permissions or choose another place."
_NO_FOLDER = "A file stands where a folder is needed: choose another path."
STORAGE = {
    errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EFBIG: _FULL, errno.EACCES: _FORBIDDEN, errno.EPERM: _FORBIDDEN, errno.EROFS: _FORBIDDEN,
    errno.ENOTDIR: _NO_FOLDER, errno.EEXIST: _NO_FOLDER, errno.EISDIR: "A folder stands where a file is needed: choose another path.",
}  # fmt: skip
"""System errors that the user can put right → how."""


class XDancerError(Exception):
    """Base of every error a user can cause; commands print the message and exit with code 2."""


class MediaError(XDancerError):
    """A picture, video or sound file that is missing, damaged, silent or of an unusable kind."""


class PoseError(XDancerError):
    """No usable person or pose where one is needed."""


class ShardError(XDancerError):
    """Shards that are missing, damaged or of another schema."""


class CheckpointError(XDancerError):
    """A checkpoint or model folder that is missing, damaged or of another stage."""


class StageMismatchError(CheckpointError):
    """A downstream stage was trained on another tokenizer than the one given."""


class MissingPackageError(XDancerError):
    """An optional package is not installed; the message is the install line."""


def storage_problem(error: OSError) -> str | None:
    """File, reason and next step of a full disk, a missing permission or a path that cannot be; None for other system errors."""
    advice = STORAGE.get(error.errno or 0)
    return None if advice is None else f"{error.filename2 or error.filename or 'a file'}: {error.strerror}. {advice}"
