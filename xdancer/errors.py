"""Errors that a user can cause. Each message gives the value, the rule and the next step; the command line prints it in one line."""


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
