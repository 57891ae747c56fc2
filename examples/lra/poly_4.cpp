// The models with attention of power 4.
#include "lra/make_model.hpp"

template std::unique_ptr<lra::SequenceModel> lra::make_poly<4>(Context&, ModelSettings const&, TaskSizes const&);
