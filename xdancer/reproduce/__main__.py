"""`python -m xdancer.reproduce dances|tokenizer|videos --run …`: measures one trained row, as a child of `xdancer reproduce`.

`motion`, `generated` and `self_driven` do so for rows of the paper's tables; `reference` and `subset` prepare what these need.
"""

import sys

from jsonargparse import auto_cli

from xdancer.errors import XDancerError
from xdancer.reproduce.measure import measure_dances, measure_tokenizer
from xdancer.reproduce.paper_motion import measure_motion, write_reference
from xdancer.reproduce.paper_video import measure_generated, measure_self_driven
from xdancer.reproduce.renderer import measure_videos
from xdancer.reproduce.subset import write_subset

STEPS = {
    "dances": measure_dances, "tokenizer": measure_tokenizer, "videos": measure_videos, "motion": measure_motion,
    "generated": measure_generated, "self_driven": measure_self_driven, "reference": write_reference, "subset": write_subset,
}  # fmt: skip

if __name__ == "__main__":
    try:
        auto_cli(STEPS, as_positional=False)
    except XDancerError as error:
        print(f"xdancer reproduce: {error}", file=sys.stderr)
        sys.exit(2)
