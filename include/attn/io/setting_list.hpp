/// SettingList: everything that a program can be told. Each setting is described once; its flag, its field in
/// results.json and in checkpoints, the check on resumption, and the description of weights follow from that.
///
///     struct Recipe { double lr = 1e-3; int batch = 64; };
///     void describe(attn::io::SettingList& settings, Recipe& r) {
///       settings.group("Recipe");
///       settings("lr", r.lr, {.help = "Learning rate", .range = {0, 1e3}});
///       settings("batch", r.batch, {.help = "Images of a step", .range = {1, 1e6}});
///     }
///
/// The structs must outlive the list. Flags are read from it by io/options.hpp, which alone knows the parser.
#pragma once

#include "attn/core/check.hpp"
#include "attn/io/detail/setting_value.hpp"

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace attn::io {

/// The settings of a program, described once: flags, help, recipes and descriptions follow.
class SettingList {
 public:
  class Setting {
   public:
    std::string name;  // of the flag --name
    About about;
    std::string group;
    std::string kind;           // "INT:in 1 to 6"
    bool is_switch = false;     // a flag without a value
    bool is_list = false;       // several values, with commas between them
    std::string given_by = {};  // the flag that said it, if one did: "--width"

    /// Takes the text of a flag; an error opens with the flag.
    void parse(std::string const& text) {
      std::string const complaint = value_->parse(text, about);
      ATTN_CHECK(complaint.empty(), "--", name, ": ", complaint);
      given_by = "--" + name;
    }
    std::string field() const {
      std::string field = about.field.empty() ? name : about.field;
      std::replace(field.begin(), field.end(), '-', '_');
      return field;
    }
    Json json() const { return value_->json(); }
    std::string text() const { return value_->text(); }

   private:
    friend class SettingList;
    std::unique_ptr<detail::Value> value_;
  };

  /// What follows stands under this heading in --help.
  void group(std::string name) { group_ = std::move(name); }

  /// Adds a setting. Its value now is the default.
  template <class T>
  Setting& operator()(std::string name, T& value, About about) {
    ATTN_CHECK(find(name) == nullptr, "SettingList: there are two settings '", name, "'");
    Setting& setting = settings_.emplace_back();
    setting.kind = detail::kind_text<T>(about);
    setting.is_switch = std::same_as<T, bool>;
    setting.is_list = detail::IsVector<T>::value;
    setting.name = std::move(name);
    setting.about = std::move(about);
    setting.group = group_;
    setting.value_ = std::make_unique<detail::ValueOf<T>>(value);
    return setting;
  }

  std::deque<Setting> const& all() const { return settings_; }
  std::deque<Setting>& all() { return settings_; }

  Setting& at(std::string_view name) {
    Setting* const setting = find(name);
    ATTN_CHECK(setting != nullptr, "SettingList: there is no setting '", name, "'");
    return *setting;
  }
  /// Whether the flag was given.
  bool given(std::string_view name) const { return const_cast<SettingList*>(this)->at(name).given_by.size() > 0; }

  /// Sets what no flag has said: `values` is an object of values by the names of settings, of which `source` is the
  /// origin: "--recipe deit". What no flag could say is an error.
  void preset(Json const& values, std::string const& source) {
    for (auto const& [name, value] : values.items()) {
      Setting& setting = at(name);
      if (!setting.given_by.empty()) continue;
      std::string const complaint = setting.value_->take(value, setting.about);
      ATTN_CHECK(complaint.empty(), source, ": ", name, ": ", complaint);
    }
  }

  /// Sets the fields of all settings that decide what a run computes: for results.json and for checkpoints. Fields that
  /// are there already keep their place.
  void write(Json& run) const {
    for (Setting const& setting : settings_) {
      if (setting.about.decides) run[setting.field()] = setting.json();
    }
  }

  /// Sets the fields that describe the model: for weights.
  void write_model(Json& description) const {
    for (Setting const& setting : settings_) {
      if (setting.about.model) description[setting.field()] = setting.json();
    }
  }

  /// Takes over the model that a description tells of. A flag that says otherwise is an error, and so is a value that
  /// no flag could have. What the description does not tell, or calls null, stays. `source` opens the sentences: the
  /// file.
  void adopt(Json const& description, std::string const& source) {
    ATTN_CHECK(description.is_object(), source, " describes itself wrongly: it holds no object");
    for (Setting& setting : settings_) {
      auto const found = description.find(setting.field());
      if (!setting.about.model || found == description.end() || found->is_null()) continue;
      if (setting.given_by.empty()) {
        std::string const complaint = setting.value_->take(*found, setting.about);
        ATTN_CHECK(complaint.empty(), source, " describes its ", setting.field(), " wrongly: ", complaint);
      } else {
        ATTN_CHECK(setting.json() == *found, setting.given_by, ": ", source, " has ", setting.field(), " ",
                   found->dump(), ", not ", setting.json().dump(),
                   "; leave the flag out, or give the weights that it belongs to");
      }
    }
  }

 private:
  Setting* find(std::string_view name) {
    auto const found = std::find_if(settings_.begin(), settings_.end(), [&](auto const& s) { return s.name == name; });
    return found == settings_.end() ? nullptr : &*found;
  }

  std::deque<Setting> settings_;
  std::string group_;
};

}  // namespace attn::io
