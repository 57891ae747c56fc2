/// ActivationRegistry: activations by name, for programs whose users choose one.
#pragma once

#include "attn/activation/poly.hpp"
#include "attn/activation/relu.hpp"
#include "attn/activation/sigmoid.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/attention/any_activation.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace attn {

/// What a name leaves open. Most activations ask for none of it.
struct ActivationNumbers {
  int power = 3;               ///< of poly
  std::string scale = "none";  ///< of poly: none (1), fixed (`factor`), dynamic (trained)
  double factor = 0;           ///< of a fixed scale; 0: 1/sqrt(n_keys)
};

/// Names, and how to make an `Any` of each: a `BasicAnyActivation`, or whatever is constructed of an activation.
template <class Any>
class ActivationRegistry {
 public:
  using Make = std::function<Any(ActivationNumbers const&)>;

  /// Throws where there is one of that name.
  void add(std::string name, Make make) {
    ATTN_CHECK(!name.empty() && !contains(name), "ActivationRegistry::add: give each activation its own name, got '",
               name, name.empty() ? "'" : "' twice");
    entries_.emplace_back(std::move(name), std::move(make));
  }
  /// The same activation whatever the numbers.
  template <class A>
  void add(std::string name, A const& activation = {}) requires(!std::constructible_from<Make, A>) {
    add(std::move(name), Make([any = Any(activation)](ActivationNumbers const&) { return any; }));
  }

  bool contains(std::string const& name) const { return find(name) != nullptr; }
  /// In the order in which they were added.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (auto const& [name, make] : entries_) names.push_back(name);
    return names;
  }

  /// Throws where there is none of that name.
  Any make(std::string const& name, ActivationNumbers const& numbers = {}) const {
    Make const* const found = find(name);
    std::string list;
    for (auto const& [known, make] : entries_) list += (list.empty() ? "" : ", ") + known;
    ATTN_CHECK(found != nullptr, "activation: there is no '", name, "' among ", list);
    return (*found)(numbers);
  }

 private:
  Make const* find(std::string const& name) const {
    for (auto const& [known, make] : entries_) {
      if (known == name) return &make;
    }
    return nullptr;
  }

  std::vector<std::pair<std::string, Make>> entries_;
};

/// The registry of a program, one for each type of `Any`.
template <class Any = AnyActivation>
ActivationRegistry<Any>& activations() {
  static ActivationRegistry<Any> registry;
  return registry;
}

/// Makes an activation known by name before `main`, in any source file of a program:
///
///     static bool const registered = attn::register_activation<Mine>("mine");
template <class A, class Any = AnyActivation>
bool register_activation(std::string name, A const& activation = {}) {
  activations<Any>().add(std::move(name), activation);
  return true;
}

/// Adds softmax, poly, relu and sigmoid. Powers of poly in `Powers` get kernels of their own, the others share some.
template <int... Powers, class Any>
void add_common_activations(ActivationRegistry<Any>& to) {
  to.add("softmax", Softmax{});
  to.add("poly", [](ActivationNumbers const& n) -> Any {
    ATTN_CHECK(n.power >= 1, "activation poly: give a power of at least 1, got ", n.power);
    ATTN_CHECK(n.scale == "none" || n.scale == "fixed" || n.scale == "dynamic",
               "activation poly: give a scale none, fixed or dynamic, got '", n.scale, "'");
    FixedScale const constant{n.scale == "none" ? 1.0 : n.factor};  // no scale is one of 1
    auto const of = [&]<int P>(Exponent<P> exponent) -> Any {
      if (n.scale == "dynamic") return Poly<P, DynamicScale>{{}, exponent};
      return Poly<P, FixedScale>{constant, exponent};
    };
    Any result = of(Exponent<any_power>{n.power});
    ((n.power == Powers ? void(result = of(Exponent<Powers>{})) : void()), ...);
    return result;
  });
  to.add("relu", Relu{});
  to.add("sigmoid", Sigmoid{});
}

}  // namespace attn
