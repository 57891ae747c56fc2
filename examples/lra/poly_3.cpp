// The models with attention of power 3.
#include "lra/make_model.hpp"

template std::unique_ptr<lra::SequenceModel> lra::make_poly<3>(Context&, ModelSettings const&, TaskSizes const&);
