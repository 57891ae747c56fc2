/// The part of check_activation that is about pointwise activations and their trained numbers.
#pragma once

#include "attn/activation/polynomial.hpp"
#include "attn/activation/slope.hpp"
#include "attn/core/pack.hpp"
#include "attn/testing/detail/activation_report.hpp"

namespace attn::testing::detail {

/// `A64` computes with `double` and jets of it, `A32` with `float` and packs: the same activation, but for the storage
/// of trained numbers.
template <class A64, class A32>
struct PointwiseCheck {
  A64 wide;
  A32 narrow;
  CheckActivationOptions const& options;
  ActivationReport& report;

  void run() const {
    for (Row const row : {Row{1, 0}, Row{197, 1}}) {
      double scale = 0;  // of weights and slopes at ordinary scores
      for (double const s : trial_scores(1)) {
        if (std::abs(s) <= 2 && std::isfinite(wide(s, row))) scale = std::max(scale, std::abs(wide(s, row)));
      }
      for (double const s : trial_scores(options.largest_score)) {
        calls(s, row);
        derivatives(s, row, scale);
        single_precision(s, row, scale);
      }
      if constexpr (has_packs) packs(row, scale);
    }
  }

 private:
  static std::string at(double s, Row row) {
    std::ostringstream text;
    text.precision(9);
    text << " at score " << s << " (n_keys " << row.n_keys << ", head " << row.head << ")";
    return text.str();
  }

  void calls(double s, Row row) const {
    double const first = wide(s, row);
    (void)wide(s + 1, row);
    double const second = wide(s, row);
    if (!(first == second) && first == first) {
      report.add("pure", "it gives ", first, " and then ", second, at(s, row), ": a call must change nothing");
    }
    if (!std::isfinite(first)) report.add("finite", "the weight is ", first, at(s, row));
    if constexpr (requires { wide.for_row(row); }) same_for_row(s, row);
    if constexpr (StatesPolynomial<A64>) {
      if (wide.degrees() != 0) same_polynomial(s, row, first);
    }
    if constexpr (HomogeneousActivation<A64, double>) {
      double const z = 0.125, by_raw = wide.raw_factor(z, row) * wide.raw(row)(s / z, row);
      if (!close(first, by_raw, 1e-12 * std::abs(first))) {
        report.add("raw", "the weight is ", first, at(s, row), ", but by raw and raw_factor ", by_raw);
      }
      if constexpr (StatesQuotient<A64, double>) quotient(s / z, row);
    }
  }

  /// raw(p) = p quotient, raw'(p) = degree quotient
  void quotient(double p, Row row) const {
    auto const raw = weight_and_slope(wide.raw(row), p, row);
    double const q = wide.raw_quotient(p, row), n = wide.raw_degree();
    if (!close(raw.weight, p * q, 1e-12 * std::abs(raw.weight)) ||
        !close(raw.slope, n * q, 1e-12 * std::abs(raw.slope))) {
      report.add("raw_quotient", "raw gives ", raw.weight, " and the slope ", raw.slope, at(p, row),
                 ", but the quotient ", p * q, " and ", n * q);
    }
  }

  void same_polynomial(double s, Row row, double weight) const {
    double sum = 0, size = 0, power = 1;
    for (int m = 0; m <= max_degree; ++m, power *= s) {
      if ((wide.degrees() >> m & 1u) == 0) continue;
      sum += wide.coefficient(m, row) * power;
      size += std::abs(wide.coefficient(m, row) * power);
    }
    if (!close(weight, sum, 1e-12 * size)) {
      report.add("polynomial", "the weight is ", weight, at(s, row), ", but its coefficients give ", sum);
    }
  }

  void same_for_row(double s, Row row) const {
    auto const known = wide.for_row(row);
    auto const by_row = weight_and_slope(known, s, row), by_score = weight_and_slope(wide, s, row);
    if (!close(by_row.weight, by_score.weight, 1e-12 * std::abs(by_score.weight)) ||
        !close(by_row.slope, by_score.slope, 1e-12 * std::abs(by_score.slope))) {
      report.add("for_row", "the weight is ", by_row.weight, " and the slope ", by_row.slope, at(s, row),
                 ", but without for_row ", by_score.weight, " and ", by_score.slope);
    }
  }

  void derivatives(double s, Row row, double scale) const {
    Differences const slope([&](double t) { return wide(t, row); }, s);
    auto const own = weight_and_slope(wide, s, row);
    if (!slope.admit(own.slope, scale)) {
      report.add("slope", "it is ", own.slope, at(s, row), ", where finite differences give ", slope.middle());
    }

    using First = Jet<double, 1>;
    auto const first = wide(First::variable(s), row);
    if (!close(first.coefficients[0], wide(s, row), 1e-12 * (std::abs(wide(s, row)) + scale))) {
      report.add("jet", "the value is ", first.coefficients[0], at(s, row), ", and that of a double ", wide(s, row));
    }
    if (!slope.admit(first.coefficients[1], scale)) {
      report.add("jet", "the derivative is ", first.coefficients[1], at(s, row), ", where finite differences give ",
                 slope.middle());
    }
    Differences const curvature([&](double t) { return wide(First::variable(t), row).coefficients[1]; }, s);
    double const second = 2 * wide(Jet<double, 2>::variable(s), row).coefficients[2];
    using Mixed = Jet<double, 1, 1>;
    auto const mixed = wide(Mixed::template variable<0>(s) + Mixed::template variable<1>(0), row).coefficients[3];
    double const carried = weight_and_slope(wide, First::variable(s), row).slope.coefficients[1];
    double const curvature_scale = scale + std::abs(slope.before) + std::abs(slope.after);
    for (double const d2 : {second, mixed, carried}) {
      if (!curvature.admit(d2, curvature_scale)) {
        report.add("second derivative", "by jets it is ", d2, at(s, row), ", where finite differences give ",
                   curvature.middle());
      }
    }
  }

  void single_precision(double s, Row row, double scale) const {
    float const w = narrow(static_cast<float>(s), row),
                slope = weight_and_slope(narrow, static_cast<float>(s), row).slope;
    if (!std::isfinite(w) || !std::isfinite(slope)) {
      report.add("finite", "in fp32 the weight is ", w, " and the slope ", slope, at(s, row));
      return;
    }
    double const exact = wide(s, row), exact_slope = weight_and_slope(wide, s, row).slope;
    if (!close(w, exact, 1e-4 * (std::abs(exact) + scale))) {
      report.add("fp32", "the weight is ", w, at(s, row), ", and in fp64 ", exact);
    }
    if (!close(slope, exact_slope, 1e-4 * (std::abs(exact_slope) + std::abs(exact) + scale))) {
      report.add("fp32", "the slope is ", slope, at(s, row), ", and in fp64 ", exact_slope);
    }
  }

  /// Different scores in the lanes of one pack, each against the scalar.
  void packs(Row row, double scale) const {
    using P = Pack<float>;
    auto const scores = trial_scores(options.largest_score);
    for (std::size_t first = 0; first < scores.size(); first += std::size_t(P::width)) {
      P s(0.0f);
      for (int lane = 0; lane < P::width; ++lane)
        s.lanes[lane] = float(scores[(first + std::size_t(lane)) % scores.size()]);
      P const weight = narrow(s, row);
      auto const both = weight_and_slope(narrow, s, row);
      for (int lane = 0; lane < P::width; ++lane) {
        auto const scalar = weight_and_slope(narrow, s[lane], row);
        double const tolerance = 1e-5 * (std::abs(scalar.weight) + std::abs(scalar.slope) + scale);
        if (!close(weight[lane], scalar.weight, tolerance) || !close(both.weight[lane], scalar.weight, tolerance)) {
          report.add("pack", "the weight is ", weight[lane], at(s[lane], row), ", and that of a float ", scalar.weight);
        }
        if (!close(both.slope[lane], scalar.slope, tolerance)) {
          report.add("pack", "the slope is ", both.slope[lane], at(s[lane], row), ", and that of a float ",
                     scalar.slope);
        }
      }
    }
  }
};

/// Trained numbers: their first values, `bind`, heads, and slopes by each of them.
template <class A>
struct LearnableCheck {
  static constexpr int n = A::n_parameters, heads = 2;

  A const& a;
  CheckActivationOptions const& options;
  ActivationReport& report;

  void run() const {
    auto const initial = A::initial_parameters(197);
    std::vector<double> numbers;
    for (int h = 0; h < heads; ++h) {
      for (int p = 0; p < n; ++p) {
        if (!std::isfinite(initial[std::size_t(p)])) {
          report.add("initial parameters", A::parameter_names[p], " starts at ", initial[std::size_t(p)]);
          return;
        }
        numbers.push_back(initial[std::size_t(p)] * (1 + 0.5 * h) + 0.25 * h);  // no two heads alike
      }
    }
    std::vector<float> const narrow(numbers.begin(), numbers.end());
    numbers.assign(narrow.begin(), narrow.end());
    auto const wide = a.bind(LearnedParameters<double>{numbers.data(), nullptr, true});
    PointwiseCheck<decltype(wide), decltype(a.bind(LearnedParameters<float>{}))>{
        wide, a.bind(LearnedParameters<float>{narrow.data(), nullptr, true}), options, report}
        .run();
    auto const bound = wide.parameters();
    if (bound.value != numbers.data() || !bound.per_head)
      report.add("bind", "parameters() is not what bind() was given");

    for (double const s : trial_scores(options.largest_score)) {
      for (int h = 0; h < heads; ++h) {
        Row const row{197, h};
        auto const slopes = wide.parameter_slopes(s, row);
        for (int p = 0; p < n; ++p) {
          if constexpr (StatesPolynomial<std::remove_const_t<decltype(wide)>>) {
            double sum = 0, size = 0, power = 1;
            for (int m = 0; m <= max_degree; ++m, power *= s) {
              if ((wide.degrees() >> m & 1u) == 0) continue;
              sum += wide.coefficient_slope(m, p, row) * power;
              size += std::abs(wide.coefficient_slope(m, p, row) * power);
            }
            if (wide.degrees() != 0 && !close(slopes[std::size_t(p)], sum, 1e-12 * size)) {
              report.add("polynomial", "dw / d(", A::parameter_names[p], ") is ", slopes[std::size_t(p)], " at score ",
                         s, ", but the slopes of its coefficients give ", sum);
            }
          }
          for (int other = 0; other < heads; ++other) {
            double& number = numbers[std::size_t(other * n + p)];
            double const before = number;
            Differences const differences(
                [&](double value) {
                  number = value;
                  double const w = wide(s, row);
                  number = before;
                  return w;
                },
                before);
            double const expected = other == h ? slopes[std::size_t(p)] : 0;
            if (!differences.admit(expected, 1e-3 * std::abs(wide(s, row)))) {
              report.add("parameter slopes", "dw / d(", A::parameter_names[p], ") is ", expected, " at score ", s,
                         other == h ? ", where finite differences give " : " of another head, where they give ",
                         differences.middle());
            }
          }
        }
      }
    }
  }
};

}  // namespace attn::testing::detail
