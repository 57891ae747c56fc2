// The models with attention of power 5.
#include "lra/make_model.hpp"

template std::unique_ptr<lra::SequenceModel> lra::make_poly<5>(Context&, ModelSettings const&, TaskSizes const&);
