/// Breaks the layers: core knows nothing of nn.
#pragma once
#include "attn/nn/left.hpp"
