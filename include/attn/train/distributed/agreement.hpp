/// Agreement: whether the ranks of a run are ranks of the same run. Asked when it begins.
#pragma once

#include "attn/io/json.hpp"
#include "attn/io/launch.hpp"
#include "attn/nn/parameters.hpp"
#include "attn/train/detail/checksum.hpp"
#include "attn/version.hpp"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace attn::train {

/// The name of this machine.
inline std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

/// What a rank is, for `check_agreement`: an object of objects, "what": {"field": value}.
template <class Ctx>
io::Json identity_of(Ctx& ctx, io::Json const& settings, io::Json const& data) {
  detail::Checksum weights;
  auto const add = [&](auto const& entries, auto const& array) {
    auto const host = host_copy(array);
    for (nn::FlatEntry const& e : entries) {
      weights.add(e.name, io::dtype_of<typename Ctx::Real>(), {e.shape.begin(), e.shape.end()},
                  std::as_bytes(std::span(host.data() + e.offset, std::size_t(e.size))));
    }
  };
  add(ctx.parameters.entries(), ctx.parameters.values());
  add(ctx.parameters.buffer_entries(), ctx.parameters.buffers());
  return {{"version", {{"attn", ATTN_VERSION}}},
          {"settings", settings},
          {"model", {{"parameters", ctx.parameters.count()}, {"weights", weights.text()}}},
          {"data", data}};
}

/// Throws, on all ranks the same sentence, where one of them differs from rank 0: with the first field that does.
template <class C>
void check_agreement(C& communicator, io::Json identity) {
  if (communicator.size() == 1) return;
  auto const text = [](io::Json const& json) {
    return json.is_null() ? "none" : json.dump(-1, ' ', false, io::Json::error_handler_t::replace);
  };
  io::Json const mine = {{"host", host_name()}, {"identity", std::move(identity)}};
  auto const all = communicator.gather(mine.dump(-1, ' ', false, io::Json::error_handler_t::replace));
  io::Json const first = io::Json::parse(all[0]);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    io::Json const other = io::Json::parse(all[rank]);
    auto const fields_of = [](io::Json const& rank, std::string const& what) {
      io::Json const fields = rank["identity"].value(what, io::Json());
      return fields.is_object() ? fields : io::Json::object();
    };
    for (auto const& [what, _] : first["identity"].items()) {
      io::Json const fields = fields_of(first, what), theirs = fields_of(other, what);
      io::Json both = fields;  // the fields of either
      both.update(theirs);
      for (auto const& [field, value] : both.items()) {
        io::Json const here = fields.value(field, io::Json()), there = theirs.value(field, io::Json());
        ATTN_CHECK(here == there, "fit: start all ranks with the same command, program and files; rank ", rank, " on ",
                   other["host"].get<std::string>(), " has another ", what, " than rank 0 on ",
                   first["host"].get<std::string>(), ": ", field, " ", text(there), ", not ", text(here));
      }
    }
  }
}

/// Throws, on all ranks the same sentence, where one of them does not see what rank 0 writes into `directory`. Waits a
/// while for disks that are shared over a network.
template <class C>
void check_shared_disk(C& communicator, io::Path const& directory, double patience = 10) {
  if (communicator.size() == 1 || directory.empty()) return;
  io::Path const token = directory / ".ranks";
  std::string const said = std::to_string(std::chrono::system_clock::now().time_since_epoch().count());
  if (communicator.rank() == 0) std::ofstream(token) << said;
  std::string const expected = communicator.gather(said)[0];
  auto const seen = [&] {
    std::string found;
    std::ifstream(token) >> found;
    return found == expected;
  };
  auto const end = std::chrono::steady_clock::now() + std::chrono::duration<double>(patience);
  while (!seen() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  auto const sees = communicator.gather(seen() ? "" : host_name());
  if (communicator.rank() == 0) {
    std::error_code ignored;
    std::filesystem::remove(token, ignored);
  }
  for (std::size_t rank = 0; rank < sees.size(); ++rank) {
    ATTN_CHECK(sees[rank].empty(), "--out: name a directory on a disk that all nodes share; rank ", rank, " on ",
               sees[rank], " does not see what rank 0 writes into '", directory.string(), "'");
  }
}

}  // namespace attn::train
