#include "rank_agent/core_dump.h"

#include <dirent.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <memory>
#include <utility>

#include "base/files.h"
#include "base/text.h"
#include "rank_agent/core_owner.h"

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

// Later ones are better finds.
enum class Whose { kAnothers, kUnknown, kOwn };

struct Found {
  fs::path path;
  std::uint64_t bytes = 0;
  timespec written{};
  std::optional<pid_t> owner;
  Whose whose = Whose::kUnknown;
};

bool better(const Found& a, const Found& b) {
  if (a.whose != b.whose) return a.whose > b.whose;
  if (a.written.tv_sec != b.written.tv_sec) return a.written.tv_sec > b.written.tv_sec;
  return a.written.tv_nsec > b.written.tv_nsec;
}

// This process's file of that name, else the youngest one that was written since.
std::optional<Found> find_core(const CorePlace& place, std::time_t since, pid_t pid) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(place.directory.c_str()),
                                                      &::closedir);
  std::optional<Found> best;
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    if (::fnmatch(place.name.c_str(), entry->d_name, FNM_PERIOD) != 0) continue;
    const fs::path path = place.directory / entry->d_name;
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (status.st_mtim.tv_sec < since) continue;
    const auto owner = core_owner(path);
    Found found{path, static_cast<std::uint64_t>(status.st_size), status.st_mtim, owner,
                !owner          ? Whose::kUnknown
                : *owner == pid ? Whose::kOwn
                                : Whose::kAnothers};
    if (!best || better(found, *best)) best = std::move(found);
  }
  return best;
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
  return core_text(first_line("/proc/sys/kernel/core_pattern"),
                   first_line("/proc/sys/kernel/core_uses_pid") == "1", facts, started_at);
}

std::string core_text(const std::string& pattern, bool append_pid, const CrashFacts& facts,
                      std::chrono::system_clock::time_point started_at) {
  const auto place = core_place(pattern, append_pid, facts);
  if (place && !place->handler.empty()) {
    const std::string text = "it dumped core, which " + place->handler + " has taken";
    const bool listed = place->handler.find("systemd-coredump") != std::string::npos;
    return text + (listed ? ": coredumpctl info " + std::to_string(facts.pid) : "");
  }
  const auto found =
      place ? find_core(*place, std::chrono::system_clock::to_time_t(started_at), facts.pid)
            : std::nullopt;
  if (found) {
    const std::string file = found->path.string() + " (" + format_bytes(found->bytes) + ")";
    if (found->whose == Whose::kOwn) return "it dumped core: " + file;
    if (found->whose == Whose::kUnknown) {
      return "it dumped core; " + file + " is its core or another process's";
    }
    return "it dumped core, but " + file + " is the core of process " +
           std::to_string(*found->owner) +
           (place->name.find_first_of("*") == std::string::npos
                ? ", which has overwritten its own (%p in /proc/sys/kernel/core_pattern keeps them "
                  "apart)"
                : ", and its own is not in " + place->directory.string());
  }
  return "it dumped core, by the pattern " + pattern +
         (place ? ", and no such file is in " + place->directory.string() : "");
}

}  // namespace muster::agent
