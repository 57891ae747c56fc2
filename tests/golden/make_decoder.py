"""Golden data of a decoder: two layers of torch.nn.TransformerDecoder with the norms in front, forward and backward.

Tokens see those before them, and of the memory what is no padding.
Run: python make_decoder.py [--check]
"""

import torch

import golden

WIDTH, HEADS, HIDDEN, LENGTHS = 6, 2, 5, [4, 2]


def main():
    store = golden.Store("decoder", __doc__)
    normal = golden.Normal(43)
    layer = torch.nn.TransformerDecoderLayer(
        WIDTH, HEADS, HIDDEN, dropout=0, activation="gelu", batch_first=True, norm_first=True
    )
    decoder = torch.nn.TransformerDecoder(layer, 2).double()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(normal(*parameter.shape, deviation=0.5))
    x = normal(2, 5, WIDTH).requires_grad_()
    memory = normal(2, 4, WIDTH).requires_grad_()
    hides = torch.arange(4)[None, :] >= torch.tensor(LENGTHS)[:, None]
    later = torch.ones(5, 5).triu(1).bool()
    y = decoder(x, memory, tgt_mask=later, memory_key_padding_mask=hides)
    r = normal(*y.shape)
    (y * r).sum().backward()
    for name, values in {"x": x, "memory": memory, "y": y, "d_y": r, "d_x": x.grad, "d_memory": memory.grad}.items():
        store.array(name, values)
    store.named("parameters", dict(decoder.named_parameters()))
    store.named("gradients", {key: p.grad for key, p in decoder.named_parameters()})
    store.close()


if __name__ == "__main__":
    main()
