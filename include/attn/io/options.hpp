/// The command line of a program: the flags that all trainers share, one-line errors, exit codes, Kokkos started with
/// the threads that were asked for.
#pragma once

#include "attn/core/kokkos_compat.hpp"
#include "attn/io/common_options.hpp"
#include "attn/io/detail/nearest.hpp"
#include "attn/io/failed_run.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <iostream>
#include <limits>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace attn::io {

/// A program for `run_main`: `common` holds the shared flags, `add_options` declares the program's own and describes
/// it (`app.description(...)`), `run` does the work, with Kokkos running, and may return an exit code.
template <class P>
concept Program = requires(P& program, CLI::App& app) {
  { program.common } -> std::same_as<CommonOptions&>;
  program.add_options(app);
  program.run();
};

/// Accepts only the given words, and names the nearest one to a word that is not among them.
inline CLI::Validator one_of(std::vector<std::string> words) {
  std::string list;
  for (std::string const& word : words) list += (list.empty() ? "" : "|") + word;
  auto const check = [words, list](std::string const& value) {
    if (std::find(words.begin(), words.end(), value) != words.end()) return std::string();
    return "use " + list + ", got '" + value + "'" + detail::did_you_mean(value, words);
  };
  return {check, list};
}

/// Accepts numbers from `low` to `high`, both included: whole ones if `T` is an integer type, never NaN.
template <class T>
CLI::Validator between(T low, T high) {
  std::string const range = CLI::detail::to_string(low) + " to " + CLI::detail::to_string(high);
  auto const check = [=](std::string const& value) {
    T number{};
    auto const [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    bool const good = error == std::errc() && end == value.data() + value.size() && number >= low && number <= high;
    char const* const kind = std::integral<T> ? "use a whole number from " : "use a number from ";
    return good ? std::string() : kind + range + ", got '" + value + "'";
  };
  return {check, "in " + range};
}

/// Accepts the path of a regular file that exists.
inline CLI::Validator existing_file() {
  auto const check = [](std::string const& value) {
    std::error_code error;
    return std::filesystem::is_regular_file(value, error) ? std::string() : "there is no file '" + value + "'";
  };
  return {check, "FILE"};
}

/// Declares the shared flags. The current values of `options` are the defaults that --help shows.
inline void add_common_options(CLI::App& app, CommonOptions& options) {
  app.add_option("--activation", options.activation, "Activation of the attention scores")
      ->check(one_of(options.activations));
  app.add_option("--power", options.power, "Power P of the activation poly, c s^P")->check(between(1, 6));
  app.add_option("--scale", options.scale,
                 "Factor c of poly: none (1), fixed (1/sqrt(number of keys)), dynamic (trained, starts as fixed)")
      ->check(one_of({"none", "fixed", "dynamic"}));
  app.add_option("--seed", options.seed, "Seed of all random numbers; the same seed gives the same bits")
      ->check(between(std::uint64_t(0), std::numeric_limits<std::uint64_t>::max()).description(""));
  app.add_option("--out", options.out, "Directory for results, metrics, weights and plots; created when missing");
  CLI::Option* const weights =
      app.add_option("--weights", options.weights, "Weights to start from, a .safetensors file")
          ->check(existing_file());
  app.add_flag("--evaluate", options.evaluate, "Evaluate the weights given with --weights, without training")
      ->needs(weights);
  app.add_option("--threads", options.threads, "Threads of the host; 0 takes all")->check(between(0, 65536));
}

namespace detail {

inline std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return text;
}

/// An error for the first argument that no option takes.
inline void check_no_extras(CLI::App const& app) {
  std::vector<std::string> const extras = app.remaining();
  if (extras.empty()) return;
  std::string const& extra = extras.front();
  ATTN_CHECK(extra[0] == '-' && extra.find_first_not_of('-') != std::string::npos, "unexpected argument '", extra,
             "'; --help lists the flags");
  std::vector<std::string> known;
  for (CLI::Option const* option : app.get_options()) {
    for (std::string const& name : option->get_lnames()) known.push_back(name);
  }
  std::string const flag = extra.substr(0, extra.find('='));
  std::string const found = nearest(flag.substr(flag.find_first_not_of('-')), known);
  ATTN_CHECK(false, "unknown flag ", flag, found.empty() ? "; --help lists the flags" : "; did you mean --", found,
             found.empty() ? "" : "?");
}

/// Parses; true when the program has nothing left to do because the user asked for help.
inline bool parse(CLI::App& app, int argc, char const* const* argv) {
  app.allow_extras();
  try {
    app.parse(argc, argv);
  } catch (CLI::CallForHelp const&) {
    std::cout << app.help() << std::flush;
    return true;
  } catch (CLI::ParseError const& error) {
    throw Error(error.what());
  }
  check_no_extras(app);
  return false;
}

}  // namespace detail

/// The body of `main`: parses the command line, starts Kokkos, runs the program. Returns 0, or what `run` returned; on
/// an error it prints one line that opens with the program's name and returns 2 for bad usage or input (any other
/// `attn::Error`), 1 for a run that failed (`FailedRun`, out of memory, anything else).
template <Program P>
int run_main(int argc, char const* const* argv, P& program) {
  std::string const name = argc > 0 ? Path(argv[0]).filename().string() : "program";
  auto const fail = [&](std::string const& message, int code) {
    std::cout << std::flush;
    std::cerr << name << ": " << detail::on_one_line(message) << std::endl;
    return code;
  };
  try {
    CLI::App app("", name);
    app.option_defaults()->always_capture_default();
    app.get_formatter()->column_width(40);
    app.set_help_flag("--help,-h", "Explain every flag and exit");
    add_common_options(app, program.common);
    program.add_options(app);
    if (detail::parse(app, argc, argv)) return 0;

    Kokkos::InitializationSettings settings;
    settings.set_disable_warnings(true);  // about thread binding, which the user did not ask for
    if (program.common.threads > 0) settings.set_num_threads(program.common.threads);
    Kokkos::ScopeGuard const kokkos(settings);
    int code = 0;
    if constexpr (std::is_void_v<decltype(program.run())>) {
      program.run();
    } else {
      code = program.run();
    }
    if (!(std::cout << std::flush)) return fail("cannot write to the standard output", 1);
    return code;
  } catch (FailedRun const& error) {
    return fail(error.what(), 1);
  } catch (Error const& error) {
    return fail(error.what(), 2);
  } catch (std::bad_alloc const&) {
    return fail("out of memory", 1);
  } catch (std::exception const& error) {
    return fail(error.what(), 1);
  }
}

}  // namespace attn::io
