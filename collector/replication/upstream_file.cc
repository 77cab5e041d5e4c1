#include "collector/replication/upstream_file.h"

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace muster::replication {

using Json = nlohmann::ordered_json;

Result<> write_upstream(const store::RunDirectory& run, const Upstream& upstream) {
  const Json json = {{"collector", upstream.collector},
                     {"complete", upstream.complete},
                     {"unsent_bytes", upstream.unsent}};
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  return replace_file(run.upstream_json(), text);
}

Result<std::optional<Upstream>> read_upstream(const store::RunDirectory& run) {
  std::error_code error;
  if (!std::filesystem::exists(run.upstream_json(), error)) return std::optional<Upstream>();
  MUSTER_TRY_ASSIGN(const std::string text, read_regular_file(run.upstream_json(), 1U << 20));
  const Json json = Json::parse(text, nullptr, false);
  try {
    Upstream upstream;
    upstream.collector = json.at("collector").get<std::string>();
    upstream.complete = json.at("complete").get<bool>();
    upstream.unsent = json.value("unsent_bytes", std::uint64_t{0});
    return std::optional(std::move(upstream));
  } catch (const Json::exception&) {
    return fail(ErrorCode::kRunDirectory,
                run.upstream_json().string() + " does not say where the run was sent to");
  }
}

}  // namespace muster::replication
