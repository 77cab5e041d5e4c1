#include "collector/store/writer.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "collector/store/record_json.h"

namespace muster::store {

using Json = nlohmann::ordered_json;

Result<> write_writer(const RunDirectory& run, const Writer& writer) {
  const Json json = {{"run_id", writer.run_id},   {"writer", writer.name},
                     {"node", writer.node},       {"lowest_rank", writer.lowest_rank},
                     {"boot_id", writer.boot_id}, {"epoch", writer.epoch}};
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  auto written = replace_file(run.writer_json(), text);
  if (!written) written.error().code = ErrorCode::kRunDirectory;
  return written;
}

Result<Writer> read_writer(const RunDirectory& run) {
  MUSTER_TRY_ASSIGN(const std::string text, read_regular_file(run.writer_json(), 1U << 16));
  const Json json = Json::parse(text, nullptr, false);
  const auto is_none = [&] {
    return fail(ErrorCode::kRunDirectory,
                run.writer_json().string() + " does not say who wrote this run");
  };
  try {
    Writer writer;
    writer.run_id = json.at("run_id").get<std::string>();
    writer.name = json.at("writer").get<std::string>();
    writer.node = json.value("node", "");
    writer.lowest_rank = static_cast<int>(integer_of(json, "lowest_rank").value_or(0));
    writer.boot_id = json.value("boot_id", "");
    // Of another type it would be made some number: not the one that fences.
    const auto epoch = count_of(json, "epoch");
    if (!epoch) return is_none();
    writer.epoch = *epoch;
    return writer;
  } catch (const Json::exception&) {
    return is_none();
  }
}

}  // namespace muster::store
