#include "collector/store/durable_state.h"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "collector/store/record_json.h"

namespace muster::store {

using Json = nlohmann::ordered_json;

std::string this_boot() {
  auto text = read_file("/proc/sys/kernel/random/boot_id", 256);
  if (!text) return "";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

std::optional<DurableState> parse_durable_state(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  DurableState state;
  state.boot_id = text_of(json, "boot_id").value_or("");
  // Names that are no text stand in a list of their own, in hex.
  for (const char* key : {"streams", "streams_hex"}) {
    const auto streams = json.find(key);
    if (streams == json.end() || !streams->is_object()) continue;
    for (const auto& [written, offset] : streams->items()) {
      if (!offset.is_number_unsigned()) continue;
      auto name = std::string(key) == "streams" ? std::optional(written) : bytes_of_hex(written);
      if (name) state.streams.insert_or_assign(*name, offset.get<std::uint64_t>());
    }
  }
  return state;
}

std::optional<DurableState> read_durable_state(const RunDirectory& run) {
  const auto text = read_regular_file(run.durable_json());
  return text ? parse_durable_state(*text) : std::nullopt;
}

Result<> write_durable_state(const RunDirectory& run, const DurableState& state) {
  Json json = {{"boot_id", state.boot_id}, {"streams", Json::object()}};
  for (const auto& [name, offset] : state.streams) {
    Json encoded;
    put_name(encoded, "name", name);
    if (encoded.contains("name")) {
      json["streams"].push_back({name, offset});
    } else {
      json["streams_hex"].push_back({encoded["name_hex"].get<std::string>(), offset});
    }
  }
  MUSTER_TRY(replace_file(run.durable_json(), json.dump() + "\n", true));
  // Its new name, too.
  const Fd folder(::open(run.state().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder && ::fsync(folder.get()) != 0 && errno != EINVAL && errno != ENOTSUP) {
    return Failure(system_error(ErrorCode::kRunDirectory, "syncing " + run.state().string()));
  }
  return {};
}

std::uint64_t trusted_size(const DurableState* state, const std::string& boot_now,
                           std::string_view path, std::uint64_t size) {
  if (state == nullptr) return 0;
  if (!boot_now.empty() && state->boot_id == boot_now) return size;
  const auto found = state->streams.find(path);
  return found == state->streams.end() ? 0 : std::min(size, found->second);
}

}  // namespace muster::store
