/// Description: what weights and checkpoints say of the model that they belong to: JSON in the metadata of their file.
///
/// Under the key "attn.description" stands an object with the version of the format, the program that trained the
/// model, and fields of the program's choice: sizes, activation, all that builds the model again. Whoever reads weights
/// adopts the fields, and refuses flags that contradict them: `io::SettingList::adopt`.
#pragma once

#include "attn/io/results.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/train/run_files.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace attn::train {

/// The field of a file of weights that holds the description.
inline constexpr char const* description_key = "attn.description";
/// The version of descriptions that is written.
inline constexpr int description_version = 1;

/// What `save_weights` and `save_checkpoint` are given to describe a model: `model` is an object of fields.
inline io::Metadata describe_model(std::string const& program, io::Json const& model) {
  ATTN_CHECK(model.is_object(), "describe_model: give an object of fields, got ", model.dump());
  io::Json const all = {{"version", description_version}, {"program", program}, {"model", model}};
  return {{description_key, all.dump(-1, ' ', false, io::Json::error_handler_t::replace)}};
}

/// The fields that `describe_model` was given; nothing where the file has no description, as files of other programs.
/// A description of another program, of a newer version of the format, or of none at all, is an error, which begins
/// with the flag that named the file.
inline std::optional<io::Json> read_description(io::Path const& path, std::string const& program,
                                                std::string const& flag = "--weights") {
  io::Safetensors const file(path);
  std::string const source = flag + ": '" + path.string() + "'";
  auto const parse = [&](std::string const& text) {
    io::Json json = io::Json::parse(text, nullptr, false);
    ATTN_CHECK(json.is_object(), source, " describes itself by what is no JSON object");
    return json;
  };
  if (auto const text = file.metadata().find(description_key); text != file.metadata().end()) {
    io::Json const all = parse(text->second);
    bool const has_version = all.contains("version") && all["version"].is_number_integer() && all["version"] >= 1;
    ATTN_CHECK(has_version, source, " describes itself without a version of the format");
    ATTN_CHECK(all["version"] <= description_version, source, " describes itself in version ", all["version"].dump(),
               " of the format, this program knows ", description_version,
               "; use the program that wrote it, or a newer one");
    bool const complete =
        all.contains("program") && all["program"].is_string() && all.contains("model") && all["model"].is_object();
    ATTN_CHECK(complete, source, " describes itself wrongly: give it a program and a model");
    ATTN_CHECK(all["program"] == program, source, " belongs to ", all["program"].get<std::string>(), ", not to ",
               program);
    return all["model"];
  }
  // Before there was one key for all, each program had its own.
  auto const text = file.metadata().find("attn." + program);
  if (text == file.metadata().end()) return std::nullopt;
  return parse(text->second);
}

/// That of the run in `out` which --resume continues; nothing where there is none yet, which `fit` will say.
inline std::optional<io::Json> read_run_description(io::Path const& out, std::string const& program) {
  io::Path const checkpoint = checkpoint_path(out);
  std::error_code error;
  if (!std::filesystem::is_regular_file(checkpoint, error)) return std::nullopt;
  return read_description(checkpoint, program, "--resume");
}

}  // namespace attn::train
