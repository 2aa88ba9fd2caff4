"""`python -m xdancer.reproduce dances|tokenizer|videos --run …`: measures one trained row, as a child of `xdancer reproduce`."""

import sys

from jsonargparse import auto_cli

from xdancer.errors import XDancerError
from xdancer.reproduce.measure import measure_dances, measure_tokenizer
from xdancer.reproduce.renderer import measure_videos

if __name__ == "__main__":
    try:
        auto_cli({"dances": measure_dances, "tokenizer": measure_tokenizer, "videos": measure_videos}, as_positional=False)
    except XDancerError as error:
        print(f"xdancer reproduce: {error}", file=sys.stderr)
        sys.exit(2)
