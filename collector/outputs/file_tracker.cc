#include "collector/outputs/file_tracker.h"

#include <algorithm>
#include <array>
#include <utility>

namespace muster::outputs {
namespace {

using namespace std::chrono_literals;

// File times come in steps of a clock tick: what was written this moment may be written again
// without a trace.
constexpr std::int64_t kFreshNs = 200'000'000;
constexpr int kMissedBeforeDeleted = 2;  // a file that is replaced may be gone for a moment

bool is_below(std::string_view path, const std::vector<std::string>& folders) {
  return std::any_of(folders.begin(), folders.end(), [&](const std::string& folder) {
    return path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/';
  });
}

}  // namespace

bool grows_by_name(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (name.find(".tfevents") != std::string_view::npos) return true;
  constexpr std::array<std::string_view, 4> kEndings{".log", ".txt", ".jsonl", ".csv"};
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

void FileTracker::closed(const std::string& path, std::int64_t wall_ns) {
  tracked_[path].closed_ns = wall_ns;  // an unknown one's facts come with the next look
}

FileTracker::Tracked& FileTracker::look(const FoundFile& file, Time now) {
  Tracked& tracked = tracked_[file.path];
  const bool is_new = tracked.facts.inode == 0;
  if (is_new) {
    tracked.append = grows_by_name(file.path) && !file.facts.is_link();
    tracked.appeared = now;
  }
  const bool same_times = !is_new && tracked.facts.inode == file.facts.inode &&
                          tracked.facts.mtime_ns == file.facts.mtime_ns;
  tracked.untimed = same_times && (tracked.untimed || tracked.facts.size != file.facts.size);
  if (is_new || !(tracked.facts == file.facts)) {
    tracked.since = now;
    tracked.was_refused = false;
  }
  tracked.facts = file.facts;
  tracked.seen = true;
  tracked.missed = 0;
  return tracked;
}

std::optional<Work> FileTracker::decide(const FoundFile& file, Tracked& tracked, Time now,
                                        std::int64_t wall_ns) const {
  if (tracked.stored && same_content(*tracked.stored, file.facts)) {
    tracked.stored = file.facts;  // its mode and number of links, as they are now
    return std::nullopt;
  }
  if (tracked.was_refused || now < tracked.retry_at) return std::nullopt;

  const bool fresh = file.facts.mtime_ns > wall_ns - kFreshNs && file.facts.mtime_ns <= wall_ns;
  // A file that is being cut short has its new size for a moment before its new time.
  const bool told_by_times = !tracked.untimed && file.facts.size > 0;
  const bool settled = (tracked.closed_ns >= file.facts.mtime_ns && !fresh && told_by_times) ||
                       now - tracked.since >= options_.settle || file.facts.is_link();
  const bool grew = tracked.stored && tracked.append && tracked.stored->inode == file.facts.inode &&
                    tracked.stored->device == file.facts.device &&
                    file.facts.size >= tracked.stored->size;
  if (grew && (file.facts.size > tracked.stored->size || settled)) {
    return Work{Work::Kind::kExtend, file, true};
  }
  const bool starts_to_grow = !tracked.stored && tracked.append && file.facts.size > 0;
  if (settled || starts_to_grow) return Work{Work::Kind::kPublish, file, tracked.append};
  return std::nullopt;
}

void FileTracker::find_deleted(const std::vector<std::string>& unknown, std::vector<Work>& work) {
  for (auto at = tracked_.begin(); at != tracked_.end();) {
    Tracked& tracked = at->second;
    if (std::exchange(tracked.seen, false) || is_below(at->first, unknown) ||
        ++tracked.missed < kMissedBeforeDeleted) {
      ++at;
      continue;
    }
    if (tracked.stored) {
      Work deleted;
      deleted.kind = Work::Kind::kDelete;
      deleted.file = {at->first, *tracked.stored};
      work.push_back(std::move(deleted));
    }
    at = tracked_.erase(at);
  }
}

std::vector<Work> FileTracker::observe(const std::vector<FoundFile>& files, Time now,
                                       std::int64_t wall_ns,
                                       const std::vector<std::string>& unknown) {
  std::vector<Work> work;
  for (const FoundFile& file : files) {
    if (auto wanted = decide(file, look(file, now), now, wall_ns)) {
      work.push_back(std::move(*wanted));
    }
  }
  find_deleted(unknown, work);
  return work;
}

std::vector<Work> FileTracker::last_look(const std::vector<FoundFile>& files) {
  std::vector<Work> work;
  for (const FoundFile& file : files) {
    Tracked& tracked = look(file, {});
    if (tracked.stored && same_content(*tracked.stored, file.facts)) continue;
    tracked.retry_at = {};
    const bool grew =
        tracked.stored && tracked.append && tracked.stored->inode == file.facts.inode &&
        tracked.stored->device == file.facts.device && file.facts.size >= tracked.stored->size;
    work.push_back({grew ? Work::Kind::kExtend : Work::Kind::kPublish, file, tracked.append});
  }
  for (auto& [path, tracked] : tracked_) {
    if (!tracked.seen) tracked.missed = kMissedBeforeDeleted;
  }
  find_deleted({}, work);
  return work;
}

void FileTracker::published(const std::string& path, const FileFacts& facts, bool append) {
  const auto found = tracked_.find(path);
  if (found == tracked_.end()) return;
  Tracked& tracked = found->second;
  tracked.stored = facts;
  tracked.append = append;
  tracked.appeared = tracked.since;
  tracked.retry = {};
  tracked.retry_at = {};
  tracked.why.clear();
}

void FileTracker::retry_later(Tracked& tracked, Time now) {
  tracked.retry = tracked.retry == 0ms ? options_.first_retry
                                       : std::min(tracked.retry * 2, options_.longest_retry);
  tracked.retry_at = now + tracked.retry;
}

void FileTracker::changed_meanwhile(const std::string& path, Time now) {
  failed(path, "it changes while it is copied", now);
}

void FileTracker::rewritten(const std::string& path) {
  const auto found = tracked_.find(path);
  if (found != tracked_.end()) found->second.append = false;
}

void FileTracker::failed(const std::string& path, std::string why, Time now) {
  const auto found = tracked_.find(path);
  if (found == tracked_.end()) return;
  found->second.why = std::move(why);
  retry_later(found->second, now);
}

void FileTracker::refused(const std::string& path) {
  const auto found = tracked_.find(path);
  if (found != tracked_.end()) found->second.was_refused = true;
}

std::vector<FileTracker::Waiting> FileTracker::waiting(Time now) const {
  std::vector<Waiting> all;
  for (const auto& [path, tracked] : tracked_) {
    if (tracked.facts.inode == 0 || tracked.was_refused) continue;
    if (tracked.stored && same_content(*tracked.stored, tracked.facts)) continue;
    all.push_back({path, tracked.why.empty() ? "it is still being written" : tracked.why,
                   now - tracked.appeared});
  }
  return all;
}

}  // namespace muster::outputs
