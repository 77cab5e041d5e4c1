#include "launcher/data/transfer_spec.h"

#include <nlohmann/json.hpp>

namespace muster::data {

using nlohmann::json;

std::string to_json(const TransferSpec& spec) {
  const json text = {
      {"direction", spec.direction == TransferDirection::kDownload ? "download" : "upload"},
      {"by", spec.by == TransferBy::kLocalCopy ? "local" : "rclone"},
      {"type", spec.type == TransferType::kFolder ? "folder" : "file"},
      {"name", spec.name},
      {"source", spec.source},
      {"target", spec.target},
      {"shown", spec.shown},
      {"cache", spec.cache},
      {"include", spec.include},
      {"overwrite", spec.overwrite},
      {"rclone", spec.rclone},
      {"stall_timeout_ms", spec.stall_timeout.count()},
      {"on_behalf_of", spec.on_behalf_of},
  };
  return text.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<TransferSpec> transfer_spec_from_json(std::string_view text) {
  try {
    const json given = json::parse(text);
    TransferSpec spec;
    if (given.at("direction") == "upload") spec.direction = TransferDirection::kUpload;
    if (given.at("by") == "rclone") spec.by = TransferBy::kRclone;
    if (given.at("type") == "file") spec.type = TransferType::kFile;
    given.at("name").get_to(spec.name);
    given.at("source").get_to(spec.source);
    spec.target = given.value("target", "");
    spec.shown = given.value("shown", spec.source);
    spec.cache = given.value("cache", "");
    spec.include = given.value("include", spec.include);
    spec.overwrite = given.value("overwrite", false);
    spec.rclone = given.value("rclone", spec.rclone);
    spec.stall_timeout =
        std::chrono::milliseconds(given.value("stall_timeout_ms", spec.stall_timeout.count()));
    spec.on_behalf_of = given.value("on_behalf_of", "");
    return spec;
  } catch (const json::exception& problem) {
    return fail(ErrorCode::kInternal,
                std::string("reading the spec of a transfer: ") + problem.what());
  }
}

std::string subject_of(const TransferSpec& spec) {
  return (spec.direction == TransferDirection::kDownload ? "input " : "output ") + spec.name;
}

}  // namespace muster::data
