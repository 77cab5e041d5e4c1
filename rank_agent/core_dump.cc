#include "rank_agent/core_dump.h"

#include <dirent.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <memory>

#include "base/files.h"
#include "base/text.h"

namespace muster::agent {
namespace fs = std::filesystem;
namespace {

// What a letter after % stands for; "*" when only the kernel knows.
std::string expansion(char letter, const CrashFacts& facts) {
  switch (letter) {
    case 'p': return std::to_string(facts.pid);
    case 's': return std::to_string(facts.signal_number);
    case 'u': return std::to_string(facts.user);
    case 'g': return std::to_string(facts.group);
    case 'h': return facts.hostname;
    default: return "*";  // e, E, t, P, i, I, d, c, f: names, times, numbers of other namespaces
  }
}

struct Found {
  fs::path path;
  std::uint64_t bytes = 0;
  timespec written{};
};

bool later(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

// The youngest file of that name that was written since.
std::optional<Found> find_core(const CorePlace& place, std::time_t since) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(place.directory.c_str()),
                                                      &::closedir);
  std::optional<Found> youngest;
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    if (::fnmatch(place.name.c_str(), entry->d_name, FNM_PERIOD) != 0) continue;
    const fs::path path = place.directory / entry->d_name;
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (status.st_mtim.tv_sec < since) continue;
    if (youngest && !later(status.st_mtim, youngest->written)) continue;
    youngest = Found{path, static_cast<std::uint64_t>(status.st_size), status.st_mtim};
  }
  return youngest;
}

std::string first_line(const std::string& path) {
  const auto text = read_file(path, 4096);
  return text ? text->substr(0, text->find('\n')) : "";
}

}  // namespace

std::optional<CorePlace> core_place(const std::string& pattern, bool append_pid,
                                    const CrashFacts& facts) {
  if (pattern.starts_with('|')) return CorePlace{pattern.substr(1, pattern.find(' ') - 1), "", ""};
  std::string path;
  bool has_pid = false;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    if (pattern[at] != '%') {
      path += pattern[at];
    } else if (++at < pattern.size()) {
      has_pid = has_pid || pattern[at] == 'p';
      path += pattern[at] == '%' ? "%" : expansion(pattern[at], facts);
    }
  }
  if (append_pid && !has_pid) path += "." + std::to_string(facts.pid);
  const fs::path whole = fs::path(facts.working_directory) / path;
  if (whole.parent_path().string().find('*') != std::string::npos) return std::nullopt;
  return CorePlace{"", whole.parent_path(), whole.filename().string()};
}

std::string core_text(const CrashFacts& facts, std::chrono::system_clock::time_point started_at) {
  const std::string pattern = first_line("/proc/sys/kernel/core_pattern");
  const bool append_pid = first_line("/proc/sys/kernel/core_uses_pid") == "1";
  const auto place = core_place(pattern, append_pid, facts);
  if (place && !place->handler.empty()) {
    const std::string text = "it dumped core, which " + place->handler + " has taken";
    const bool listed = place->handler.find("systemd-coredump") != std::string::npos;
    return text + (listed ? ": coredumpctl info " + std::to_string(facts.pid) : "");
  }
  const auto found =
      place ? find_core(*place, std::chrono::system_clock::to_time_t(started_at)) : std::nullopt;
  if (found) {
    return "it dumped core: " + found->path.string() + " (" + format_bytes(found->bytes) + ")";
  }
  return "it dumped core, by the pattern " + pattern +
         (place ? ", and no such file is in " + place->directory.string() : "");
}

}  // namespace muster::agent
