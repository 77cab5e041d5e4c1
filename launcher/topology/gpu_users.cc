#include "launcher/topology/gpu_users.h"

#include <cstdlib>

#include <nlohmann/json.hpp>

#include "launcher/topology/nvidia_driver.h"
#include "launcher/topology/nvml_source.h"

namespace muster::topology {
namespace {

std::string library_of(const std::map<std::string, std::string>& environment) {
  if (const auto named = environment.find(kNvmlVariable); named != environment.end()) {
    return named->second;
  }
  const char* own = std::getenv(kNvmlVariable);
  return own != nullptr ? own : "";
}

GpuUsers users_of(const std::string& text) {
  const auto told = nlohmann::json::parse(text, nullptr, false);
  GpuUsers users;
  if (!told.is_object()) return users;
  for (const auto& [uuid, pids] : told.items()) users[uuid] = pids.get<std::vector<int>>();
  return users;
}

}  // namespace

std::optional<GpuUsersQuery> GpuUsersQuery::start(
    std::chrono::milliseconds patience, const std::map<std::string, std::string>& environment) {
  std::string library = library_of(environment);
  if (library.empty()) {
    if (!has_nvidia_driver("/")) return std::nullopt;
    library = kNvmlLibrary;
  }
  auto asked = ForkedAnswer::ask(
      [library] { return nlohmann::json(ask_nvml_for_users(library)).dump(); }, patience);
  if (!asked) return std::nullopt;
  return GpuUsersQuery(std::move(*asked));
}

std::optional<GpuUsers> GpuUsersQuery::answer() {
  switch (asked_.poll()) {
    case ForkedAnswer::State::kWaiting: return std::nullopt;
    case ForkedAnswer::State::kAnswered: return users_of(asked_.text());
    case ForkedAnswer::State::kDied:
    case ForkedAnswer::State::kTooLate: break;
  }
  return GpuUsers{};
}

GpuUsers gpu_users(std::chrono::milliseconds patience,
                   const std::map<std::string, std::string>& environment) {
  auto query = GpuUsersQuery::start(patience, environment);
  if (!query) return {};
  query->wait();
  return *query->answer();
}

}  // namespace muster::topology
