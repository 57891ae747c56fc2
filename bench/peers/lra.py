"""One training step of the ListOps classifier with Nyström attention in PyTorch: forward, cross-entropy, backward,
AdamW, on batches that are padded to 2048 positions and masked, as the published code has them.

Cases: lra/step/<softmax|poly3_dynamic>/<sequences a step>. Variants: eager, and the model through torch.compile.
"""

import peer  # first, because it says what to install
import torch
from torch import nn

WIDTH, HEADS, HIDDEN, DEPTH, LANDMARKS, TAPS, ITERATIONS = 64, 2, 128, 2, 64, 35, 6
VOCABULARY, CLASSES, LENGTH = 32, 10, 2048


class NystromAttention(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.power = power
        self.scale = nn.Parameter(torch.tensor([LENGTH**-0.5])) if power else None
        self.projections = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.conv = nn.Conv2d(HEADS, HEADS, (TAPS, 1), padding=(TAPS // 2, 0), groups=HEADS, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH)

    def weights(self, scores, hidden=None):
        if self.power:
            return self.scale * scores**self.power  # hidden keys are zeros, and so are their weights
        return torch.softmax(scores if hidden is None else scores - 1e9 * hidden, -1)

    def pseudo_inverse(self, k):
        if self.power:
            size = k.abs().sum(-2).amax(-1) * k.abs().sum(-1).amax(-1)
            z = k.transpose(-1, -2) / size[..., None, None]
        else:
            z = k.transpose(-1, -2) / k.sum(-2).max()
        unit = torch.eye(LANDMARKS)
        for _ in range(ITERATIONS):
            x = k @ z
            z = 0.25 * z @ (13 * unit - x @ (15 * unit - x @ (7 * unit - x)))
        return z

    def forward(self, x, mask):
        q, k, v = (p(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in self.projections)
        shown = mask[:, None, :, None]
        root = (WIDTH // HEADS) ** -0.25
        q, k = q * shown * root, k * shown * root
        q_l = q.unflatten(2, (LANDMARKS, -1)).mean(3)
        k_l = k.unflatten(2, (LANDMARKS, -1)).mean(3)
        first = self.weights(q @ k_l.transpose(-1, -2))
        second = self.pseudo_inverse(self.weights(q_l @ k_l.transpose(-1, -2)))
        third = self.weights(q_l @ k.transpose(-1, -2), 1 - mask[:, None, None, :])
        y = (first @ second) @ (third @ v) + self.conv(v * shown)
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = NystromAttention(power)
        self.dropout = nn.Dropout(0.1)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Dropout(0.1), nn.Linear(HIDDEN, WIDTH),
                                 nn.Dropout(0.1))

    def forward(self, x, mask):
        x = x + self.dropout(self.attention(self.norm1(x), mask))
        return x + self.mlp(self.norm2(x))


class Classifier(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.words, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(Block(power) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))

    def forward(self, ids):
        mask = (ids != 0).float()
        x = self.dropout(self.words(ids) + self.positions.weight)
        for block in self.blocks:
            x = block(x, mask)
        return self.head((self.norm(x) * mask[:, :, None]).mean(1))


def variants(name):
    kind, part, *more = name.split("/")
    if (kind, part) != ("lra", "step"):
        return {}
    activation, batch = more[0], int(more[1])
    lengths = torch.randint(501, 1600, (batch, 1))  # generated sequences have 1040 tokens in the mean
    ids = torch.randint(1, 16, (batch, LENGTH)) * (torch.arange(LENGTH) < lengths)
    labels = torch.randint(CLASSES, (batch,))

    def way(prepare):
        model = Classifier({"softmax": 0, "poly3_dynamic": 3}[activation]).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, eps=1e-6, weight_decay=0, fused=True)
        return peer.training_step(prepare(model), optimizer, ids, labels)

    return {"eager": lambda: way(lambda model: model), "compiled": lambda: way(torch.compile)}


peer.run(peer.parse(__doc__), variants, ["lra/step/softmax/32", "lra/step/poly3_dynamic/32"])
