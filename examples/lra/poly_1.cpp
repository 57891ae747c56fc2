// The models with attention of power 1.
#include "lra/make_model.hpp"

template std::unique_ptr<lra::SequenceModel> lra::make_poly<1>(Context&, ModelSettings const&, TaskSizes const&);
