#include "launcher/exec/folder_claim.h"

#include <set>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace muster::exec {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kKind = "folder-";

// A line of a claim: the first is its maker's, the others are of those who came later.
std::string line_of(const struct stat& folder, const fs::path& run_directory) {
  const Json json = {{"device", folder.st_dev},
                     {"inode", folder.st_ino},
                     {"run_directory", run_directory.string()}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// The run directories that a claim on that folder names; none of a claim on another one.
std::vector<std::string> runs_in(const std::string& text, const struct stat& folder) {
  std::vector<std::string> runs;
  for (const std::string& line : split(text, '\n')) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || json.value("device", Json()) != Json(folder.st_dev) ||
        json.value("inode", Json()) != Json(folder.st_ino)) {
      continue;
    }
    const auto run = json.find("run_directory");
    if (run != json.end() && run->is_string()) runs.push_back(run->get<std::string>());
  }
  return runs;
}

}  // namespace

// Its own file first: of two who start at once at least one then finds the other's, and tells it.
Result<FolderClaim> FolderClaim::take(const std::map<std::string, std::string>& environment,
                                      const fs::path& working_directory,
                                      const fs::path& run_directory) {
  struct stat folder {};
  if (::stat(working_directory.c_str(), &folder) != 0) {
    return Failure(system_error(ErrorCode::kInternal, "looking at " + working_directory.string()));
  }
  MUSTER_TRY_ASSIGN(const LeaseDirectory directory, LeaseDirectory::open(environment));
  const std::string line = line_of(folder, run_directory);
  MUSTER_TRY_ASSIGN(Lease own, directory.put(kKind, line));
  std::vector<std::string> found;
  for (const LeaseDirectory::Living& each : directory.living(kKind)) {
    const std::vector<std::string> runs = runs_in(each.text, folder);
    if (runs.empty() || runs.front() == run_directory.string()) continue;
    found.push_back(runs.front());
    static_cast<void>(write_all(each.file, line));
  }
  FolderClaim claim(std::move(own), std::move(found));
  return claim;
}

std::vector<std::string> FolderClaim::others() const {
  std::set<std::string> all(found_.begin(), found_.end());
  bool is_first = true;
  for (const std::string& line : split(own_.text(), '\n')) {
    if (std::exchange(is_first, false)) continue;
    const Json json = Json::parse(line, nullptr, false);
    const auto run = json.is_object() ? json.find("run_directory") : json.end();
    if (run != json.end() && run->is_string()) all.insert(run->get<std::string>());
  }
  return {all.begin(), all.end()};
}

}  // namespace muster::exec
