// The models with attention of power 6.
#include "lra/make_model.hpp"

template std::unique_ptr<lra::SequenceModel> lra::make_poly<6>(Context&, ModelSettings const&, TaskSizes const&);
