"""Golden data of loading weights: learned positions that timm interpolates to another grid.

Run: python make_weights.py [--check]
"""

from timm.layers import resample_abs_pos_embed

import golden

CHANNELS = 5
CASES = {  # old grid, new grid, tokens in front
    "larger": ((3, 3), (5, 4), 1),
    "smaller": ((7, 7), (3, 3), 1),
    "one": ((2, 2), (1, 1), 1),
    "oblong": ((2, 6), (3, 3), 1),
    "mean": ((4, 4), (7, 2), 0),
    "distilled": ((4, 4), (2, 6), 2),
}

store = golden.Store("weights", __doc__)
normal = golden.Normal(seed=41)
positions = {}
for name, (old, new, prefix) in CASES.items():
    before = normal(1, prefix + old[0] * old[1], CHANNELS)
    positions[name + ".from"] = before
    positions[name + ".to"] = resample_abs_pos_embed(before, new_size=new, old_size=old, num_prefix_tokens=prefix)
store.named("positions", positions)
store.close()
