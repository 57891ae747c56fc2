/// All activations that come with attn, and what is needed to write another.
#pragma once

#include "attn/activation/concepts.hpp"
#include "attn/activation/normalized.hpp"
#include "attn/activation/poly.hpp"
#include "attn/activation/related.hpp"
#include "attn/activation/relu.hpp"
#include "attn/activation/scale.hpp"
#include "attn/activation/sigmoid.hpp"
#include "attn/activation/slope.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/activation/tempered_softmax.hpp"
