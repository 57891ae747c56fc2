/// The command line of a program: flags for its settings, one-line errors, exit codes, Kokkos started with the threads
/// that were asked for. The only header that knows the parser, which costs seconds to compile.
#pragma once

#include "attn/core/kokkos_compat.hpp"
#include "attn/io/common_options.hpp"
#include "attn/io/detail/nearest.hpp"
#include "attn/io/failed_run.hpp"
#include "attn/io/launch.hpp"
#include "attn/io/waiting.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <iostream>
#include <new>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace attn::io {

/// A program for `run_main`: `common` holds the shared flags (CommonOptions, or what else has `threads` and a function
/// `describe`), `settings` lists what the program can be told, `add_options` adds the program's own to the list and
/// describes it (`app.description(...)`), `run` does the work, with Kokkos running, and may return an exit code.
/// Several processes may be started as one job where the program says `shares` and was built with MPI.
template <class P>
concept Program = requires(P& program, CLI::App& app) {
  { program.common.threads } -> std::convertible_to<int>;
  { program.settings } -> std::same_as<SettingList&>;
  describe(program.settings, program.common);
  program.add_options(app);
  program.run();
};

/// Declares a flag for each setting. Their values now are the defaults that --help shows. `settings` must outlive the
/// parse, and knows afterwards which flags were given.
inline void add_options(CLI::App& app, SettingList& settings) {
  for (SettingList::Setting& setting : settings.all()) {
    std::string const flag = "--" + setting.name;
    CLI::Option* option = nullptr;
    if (setting.is_switch) {
      auto const set = [&setting](std::int64_t count) {
        if (count > 0) setting.parse(setting.about.off ? "false" : "true");
      };
      option = app.add_flag_function(flag, set, setting.about.help);
    } else {
      auto const set = [&setting](CLI::results_t const& values) {
        std::string text;
        for (std::size_t i = 0; i < values.size(); ++i) text += (i == 0 ? "" : ",") + values[i];
        setting.parse(text);
        return true;
      };
      option = app.add_option(flag, set, setting.about.help)->type_name(setting.kind)->type_size(1);
      if (setting.is_list) option->delimiter(',')->expected(1, CLI::detail::expected_max_vector_size);
      option->default_str(setting.text());
    }
    if (!setting.group.empty()) option->group(setting.group);
    option->required(setting.about.required);
  }
  for (SettingList::Setting const& setting : settings.all()) {
    if (!setting.about.needs.empty()) app.get_option("--" + setting.name)->needs("--" + setting.about.needs);
  }
}

namespace detail {

#ifdef ATTN_HAVE_MPI
inline constexpr bool built_with_mpi = true;
#else
inline constexpr bool built_with_mpi = false;
#endif
/// Whether a program can share its work with others of its kind: it says `static constexpr bool shares = true`.
template <class P>
inline constexpr bool shares = requires {
  requires P::shares;
};

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

/// The body of `main`: parses the command line, starts Kokkos with threads that spin for microseconds only
/// (`limit_spinning`), runs the program. Returns 0, or what `run` returned; on
/// an error it prints one line that opens with the program's name and returns 2 for bad usage or input (any other
/// `attn::Error`), 1 for a run that failed (`FailedRun`, out of memory, anything else).
template <Program P>
int run_main(int argc, char const* const* argv, P& program) {
  if (argc > 0) limit_spinning(argv);
  std::string const name = argc > 0 ? Path(argv[0]).filename().string() : "program";
  Launch const launched = launch();
  bool runs = false;  // where ranks fail alike, one says so: before the run always
  auto const fail = [&](std::string const& message, int code) {
    std::cout << std::flush;
    if (launched.rank > 0) std::this_thread::sleep_for(std::chrono::seconds(3));  // the launcher ends them meanwhile
    if (!runs && launched.rank > 0) return code;
    std::cerr << name << ": " << detail::on_one_line(message) << std::endl;
    return code;
  };
  try {
    CLI::App app("", name);
    app.option_defaults()->always_capture_default();
    app.get_formatter()->column_width(40);
    app.set_help_flag("--help,-h", "Explain every flag and exit");
    describe(program.settings, program.common);
    program.add_options(app);
    add_options(app, program.settings);
    if (detail::parse(app, argc, argv)) return 0;
    check_launch(launched, detail::shares<P>, detail::built_with_mpi);

    Kokkos::InitializationSettings settings;
    settings.set_disable_warnings(true);  // about thread binding, which the user did not ask for
    int const threads = threads_to_start(program.common.threads);
    if (threads > 0) settings.set_num_threads(threads);
    Kokkos::ScopeGuard const kokkos(settings);
    int code = 0;
    runs = true;
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
