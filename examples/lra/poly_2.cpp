// The models with attention of power 2.
#include "lra/make_model.hpp"

template std::unique_ptr<lra::SequenceModel> lra::make_poly<2>(Context&, ModelSettings const&, TaskSizes const&);
