/// Breaks the layers: siblings do not include each other.
#pragma once
#include "attn/data/sibling.hpp"
