#include "pde/optimizers.hpp"

#include <algorithm>
#include <charconv>

namespace train_pde {

std::optional<Optimizers> Optimizers::parse(std::string const& text) {
  Optimizers all{.stages = {}};
  for (std::size_t begin = 0; begin <= text.size();) {
    std::size_t const end = std::min(text.find(',', begin), text.size());
    std::string const part = text.substr(begin, end - begin);
    std::size_t const colon = std::min(part.find(':'), part.size());
    Stage stage{.name = part.substr(0, colon)};
    auto const names = {"lbfgs", "gauss-newton", "levenberg-marquardt", "broyden", "adam"};
    bool const known = std::ranges::find(names, stage.name) != names.end();
    if (!known) return std::nullopt;
    if (colon < part.size()) {
      char const* const last = part.data() + part.size();
      auto const [read, error] = std::from_chars(part.data() + colon + 1, last, stage.steps);
      if (error != std::errc() || read != last || stage.steps < 1 || stage.steps > 100'000'000) return std::nullopt;
    }
    // the last one has no end, the others have
    if ((stage.steps == 0) != (end == text.size())) return std::nullopt;
    all.stages.push_back(stage);
    begin = end + 1;
  }
  return all;
}

std::optional<Optimizers> Optimizers::from_json(attn::io::Json const& json) {
  return json.is_string() ? parse(json.get<std::string>()) : std::nullopt;
}

std::string Optimizers::text() const {
  std::string text;
  for (Stage const& stage : stages) {
    text += (text.empty() ? "" : ",") + stage.name;
    if (stage.steps > 0) text += ":" + std::to_string(stage.steps);
  }
  return text;
}

std::size_t Optimizers::stage_of(int step) const {
  std::size_t stage = 0;
  for (; stage + 1 < stages.size() && step >= stages[stage].steps; ++stage) step -= stages[stage].steps;
  return stage;
}

int Optimizers::end_of(std::size_t stage) const {
  int end = 0;
  for (std::size_t s = 0; s <= stage; ++s) end += stages[s].steps;
  return end;
}

bool Optimizers::use(std::string const& name) const {
  return std::ranges::any_of(stages, [&](Stage const& stage) { return stage.name == name; });
}

}  // namespace train_pde
