// Spectra of the tangent kernel: how fast each kind of error is learned, before and after training.
#pragma once

#include <string>

#include "pde/training.hpp"

namespace train_pde {

/// Adds the eigenvalues of optim/tangent_kernel.hpp, of all terms together and of each alone, to spectrum.csv of the
/// run's folder under the name `when`, and draws spectrum.png. Looks at `settings.spectrum` points of each term,
/// without the weights that training gives them; overwrites the gradients.
void add_spectrum(Settings const& settings, Context& ctx, Loss const& loss, std::string const& when);

}  // namespace train_pde
