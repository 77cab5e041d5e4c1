#include "launcher/cli/stored_links.h"

#include <climits>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "collector/store/stream_kind.h"

namespace muster::cli {
namespace {

constexpr int kMostLinks = 16;  // one after the other

Failure leads_nowhere(const std::string& path, const std::string& why) {
  return fail(ErrorCode::kData, without_controls(path) + " is a link that " + why,
              "name the file itself; `muster files` lists them");
}

}  // namespace

Result<std::string> link_text(const store::SafeRoot& run, const std::string& path) {
  MUSTER_TRY_ASSIGN(const auto place, run.place(path, false));
  std::string text(PATH_MAX, '\0');
  const ssize_t length =
      ::readlinkat(place.directory.get(), place.name.c_str(), text.data(), text.size());
  if (length < 0) return Failure(system_error(ErrorCode::kData, "reading the link " + path));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

Result<std::string> follow_link(const store::SafeRoot& run, const std::string& path) {
  namespace fs = std::filesystem;
  std::string at = path;
  for (int links = 0; links < kMostLinks; ++links) {
    MUSTER_TRY_ASSIGN(const std::string text, link_text(run, at));
    const std::string next = (fs::path(at).parent_path() / text).lexically_normal().string();
    const bool is_inside = next.starts_with("outputs/") || next.starts_with("logs/");
    if (!is_inside || store::why_unsafe(next)) {
      return leads_nowhere(
          path, "leads to " + without_controls(text) + ", which is none of the run's output files");
    }
    auto facts = run.look(next);
    if (!facts || !*facts) {
      return leads_nowhere(path, "leads to " + without_controls(next) + ", which is not stored");
    }
    if (!S_ISLNK((*facts)->st_mode)) return next;
    at = next;
  }
  return leads_nowhere(path, "leads in a circle");
}

}  // namespace muster::cli
