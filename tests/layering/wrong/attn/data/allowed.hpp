/// Keeps the layers: nn stands left of data, its own layer and the version are open to it.
#pragma once
#include "attn/data/sibling.hpp"
#include "attn/nn/left.hpp"
#include "attn/version.hpp"
