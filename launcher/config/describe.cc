// Shows a config: every setting, its value, and where the value came from.

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "base/text.h"
#include "base/text_table.h"
#include "launcher/config/keys.h"
#include "launcher/config/read_config.h"

namespace muster::config {
namespace {

std::vector<Row> all_rows(const RunConfig& config) {
  std::vector<Row> rows;
  if (const auto* program = std::get_if<Program>(&config.run.value)) {
    rows.push_back({"program", program->argv, config.run.origin});
  }
  for (const Key& key : keys()) {
    if (key.show != nullptr) key.show(key, config, rows);
  }
  if (!config.extra_arguments.empty()) {
    rows.push_back({"extra_arguments",
                    config.extra_arguments,
                    {Origin::Kind::kFlag, "command line, after --", std::nullopt}});
  }
  return rows;
}

std::string cell(const Row& row) {
  return std::visit(
      [&](const auto& value) -> std::string {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return value.empty() ? "\"\"" : on_one_line(value);
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
          return std::to_string(value);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return on_one_line(shell_quoted(value));
        } else {
          return row.key.starts_with("script_params.") ? "(a bare flag)" : "-";
        }
      },
      row.value);
}

// "-n  (run.yaml:7:25 says 2)"
std::string origin_cell(const Origin& origin) {
  std::vector<std::string> hidden;
  for (const Replaced& each : origin.replaced) {
    // A --set names its value itself.
    const bool told = each.by.ends_with("=" + each.value);
    hidden.push_back(told ? each.by : each.by + " says " + each.value);
  }
  return on_one_line(hidden.empty() ? origin.text : origin.text + "  (" + join(hidden, ", ") + ")");
}

struct KindWords {
  const char* word;     // in JSON
  const char* heading;  // in a text
};

const std::map<Remark::Kind, KindWords> kRemarkKinds{
    {Remark::Kind::kWarning, {"warning", "warnings"}},
    {Remark::Kind::kElsewhere, {"elsewhere", "not done here"}},
    {Remark::Kind::kIgnored, {"ignored", "keys that are not known, and not used"}}};

// "" when there are none of this kind.
std::string remarks_text(const RunConfig& config, Remark::Kind kind, const char* heading) {
  std::string text;
  for (const Remark& remark : config.remarks) {
    if (remark.kind != kind) continue;
    if (text.empty()) text = std::string("\n") + heading + "\n";
    text += "  " + on_one_line(remark.origin.text) + "  " + on_one_line(remark.text) + "\n";
  }
  return text;
}

nlohmann::ordered_json json_value(const Shown& shown) {
  return std::visit(
      [](const auto& value) -> nlohmann::ordered_json {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::monostate>) {
          return nullptr;
        } else {
          return value;
        }
      },
      shown);
}

}  // namespace

std::string describe_text(const RunConfig& config) {
  std::string text;
  if (!config.dialect.empty()) {
    text = config.dialect + " (" + config.dialect_reason + ")\n\n";
  }
  TextTable table({{"key"}, {"value"}, {"origin"}});
  for (const Row& row : all_rows(config)) {
    table.add_row({on_one_line(row.key), cell(row), origin_cell(row.origin)});
  }
  text += table.to_string();
  for (const auto& [kind, words] : kRemarkKinds) text += remarks_text(config, kind, words.heading);
  return text;
}

std::string describe_json(const RunConfig& config) {
  nlohmann::ordered_json settings = nlohmann::ordered_json::array();
  for (const Row& row : all_rows(config)) {
    nlohmann::ordered_json setting = {
        {"key", row.key}, {"value", json_value(row.value)}, {"origin", row.origin.text}};
    for (const Replaced& each : row.origin.replaced) {
      setting["replaced"].push_back({{"value", each.value}, {"origin", each.by}});
    }
    settings.push_back(std::move(setting));
  }
  nlohmann::ordered_json json;
  json["file"] = nullptr;
  if (!config.file_name.empty()) json["file"] = config.file_name;
  if (!config.dialect.empty()) {
    json["dialect"] = config.dialect;
    json["recognised_by"] = config.dialect_reason;
  }
  json["settings"] = std::move(settings);
  if (!config.dialect.empty()) {
    json["remarks"] = nlohmann::ordered_json::array();
    for (const Remark& remark : config.remarks) {
      json["remarks"].push_back({{"kind", kRemarkKinds.at(remark.kind).word},
                                 {"text", remark.text},
                                 {"origin", remark.origin.text}});
    }
  }
  // Bytes of a config need not be UTF-8; JSON must be.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace muster::config
