#include "collector/outputs/output_folders.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <sys/stat.h>
#include <utility>

#include "base/files.h"

namespace muster::outputs {
namespace fs = std::filesystem;
using How = Published::How;

namespace {

using namespace std::chrono_literals;

constexpr auto kShortestInterval = 2s;
constexpr auto kLongestInterval = 10s;
constexpr int kRestAfterALook = 20;  // times as long as the look took
constexpr auto kWaitsLong = 10s;     // then the manifest says that a file waits
constexpr std::size_t kShownProblems = 5;
constexpr std::size_t kMostEvents = 1000;
constexpr std::size_t kMostWatched = 1000;

std::int64_t wall_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Small files before large ones, the newest of those first: a checkpoint is worth more than the one
// before it.
void sort_by_worth(std::vector<Work>& work) {
  constexpr std::uint64_t kSmall = 1 << 20;
  std::stable_sort(work.begin(), work.end(), [](const Work& one, const Work& other) {
    const FileFacts& a = one.file.facts;
    const FileFacts& b = other.file.facts;
    if ((a.size < kSmall) != (b.size < kSmall)) return a.size < kSmall;
    return a.size >= kSmall && a.mtime_ns > b.mtime_ns;
  });
}

IgnoreRules own_rules_of(const fs::path& working_directory) {
  IgnoreRules rules;
  auto text = read_regular_file(working_directory / kIgnoreFile, 1U << 18);
  if (text) rules.add_file("", *text);
  return rules;
}

}  // namespace

OutputFolders::OutputFolders(store::RunDirectory run, OutputFoldersOptions options)
    : run_(std::move(run)), options_(std::move(options)) {
  for (OutputFolder& folder : options_.folders) {
    folders_.push_back({folder, std::nullopt, FileTracker(options_.tracker)});
  }
}

void OutputFolders::tell(const std::string& what, const std::string& path, const std::string& why) {
  if (std::exchange(told_[path], why) == why || events_.size() >= kMostEvents) return;
  events_.push_back({what, path, why});
}

std::vector<FileEvent> OutputFolders::take_events() {
  return std::exchange(events_, {});
}

bool OutputFolders::has_collected() const {
  return publisher_ && std::any_of(folders_.begin(), folders_.end(), [this](const auto& watched) {
           return !watched.what.is_stored && publisher_->sum_of(watched.what.folder.name).files > 0;
         });
}

// With the first file: a run without outputs has no manifest.
Result<> OutputFolders::open_publisher() {
  if (publisher_) return {};
  MUSTER_TRY_ASSIGN(Publisher publisher, Publisher::open(run_, options_.publisher));
  publisher_.emplace(std::move(publisher));
  return {};
}

void OutputFolders::take_hints() {
  if (!watch_) return;
  const std::int64_t now = wall_ns();
  for (const std::string& path : watch_->read().closed) {
    for (Watched& watched : folders_) {
      const std::string& name = watched.what.folder.name;
      if (path.starts_with(name + "/")) watched.tracker.closed(path, now);
    }
  }
}

void OutputFolders::watch_folders(const Watched& watched, const FolderListing& listing) {
  if (!options_.use_inotify) return;
  if (!watch_ && listing.exists) watch_ = FolderWatch::create();
  if (!watch_ || listing.folders.size() > kMostWatched) return;
  for (const FoundFolder& folder : listing.folders) {
    const std::string inner = folder.path.substr(watched.what.folder.name.size());
    if (!watch_->add(folder.path, watched.what.folder.path.string() + inner)) return;
  }
}

FolderListing OutputFolders::look(Watched& watched, bool last) {
  if (!rules_) {
    rules_ = rules_of(options_.working_directory);
    last_rules_ = own_rules_of(options_.working_directory);
  }
  ScanOptions options;
  options.excluded = options_.excluded;
  options.since_ns = options_.since_ns;
  // Where the folder is thrown away in the end nothing is left out of it but what the user says.
  options.large_core_dumps = last && watched.what.may_move;
  FolderListing listing = scan(watched.what.folder, last ? last_rules_ : *rules_, options);
  drop_others_files(watched, listing);
  note_left_out(listing);
  return listing;
}

// What another folder's files became is seen again where ranks write to the run directory itself.
void OutputFolders::drop_others_files(const Watched& watched, FolderListing& listing) const {
  if (!publisher_ || !watched.what.is_stored) return;
  std::erase_if(listing.files, [&](const FoundFile& file) {
    return publisher_->was_stored_by_others(file.path, watched.what.folder.name);
  });
}

void OutputFolders::note_left_out(const FolderListing& listing) {
  for (const LeftOut& each : listing.left_out) {
    tell("output_refused", each.path, each.why);
    if (open_publisher()) publisher_->note_refused(each.path, each.why);
  }
}

bool OutputFolders::open_root(Watched& watched, const FolderListing& listing) {
  watched.root.reset();
  if (!listing.exists) return false;
  auto root = store::SafeRoot::open(watched.what.folder.path.string());
  if (!root || !open_publisher()) return false;
  watched.root.emplace(std::move(*root));
  return true;
}

Publisher::Source OutputFolders::source_of(const Watched& watched, bool last) const {
  Publisher::Source source;
  source.name = watched.what.folder.name;
  source.root = &*watched.root;
  source.is_stored = watched.what.is_stored;
  source.may_move = last && watched.what.may_move;
  source.is_last = last;
  return source;
}

std::chrono::milliseconds OutputFolders::step(const KeepOn& keep_on) {
  const auto began = Clock::now();
  take_hints();
  for (Watched& watched : folders_) {
    const FolderListing listing = look(watched, false);
    watch_folders(watched, listing);
    watched.was_there = watched.was_there || !listing.files.empty();
    if (!watched.was_there || !open_root(watched, listing)) continue;
    std::vector<std::string> unknown;
    for (const LeftOut& each : listing.unreadable) unknown.push_back(each.path);
    carry_out(watched, watched.tracker.observe(listing.files, Clock::now(), wall_ns(), unknown),
              false, keep_on, nullptr);
    note_waiting(watched);
  }
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
  return std::clamp<std::chrono::milliseconds>(took * kRestAfterALook, kShortestInterval,
                                               kLongestInterval);
}

void OutputFolders::carry_out(Watched& watched, std::vector<Work> work, bool last,
                              const KeepOn& keep_on, FolderEnd* end) {
  for (const Work& each : work) {
    if (each.kind != Work::Kind::kDelete) continue;
    publisher_->note_deleted(each.file.path, !watched.what.is_stored);
  }
  std::erase_if(work, [](const Work& each) { return each.kind == Work::Kind::kDelete; });
  sort_by_worth(work);
  const std::vector<Published> done = publisher_->publish(work, source_of(watched, last), keep_on);
  FileTracker& tracker = watched.tracker;
  const auto now = Clock::now();
  std::vector<Work> changed;
  for (std::size_t i = 0; i < done.size(); ++i) {
    const std::string& path = work[i].file.path;
    std::optional<Error> problem;
    switch (done[i].how) {
      case How::kStored: tracker.published(path, done[i].facts, done[i].append); break;
      case How::kRewritten: tracker.rewritten(path); break;
      case How::kChanged:
        tracker.changed_meanwhile(path, now);
        changed.push_back(work[i]);
        break;
      case How::kRefused:
        tracker.refused(path);
        publisher_->note_refused(path, done[i].error.message);
        tell("output_refused", path, done[i].error.message);
        if (end != nullptr && end->refused++ == 0) {
          end->first_refused = path + ": " + done[i].error.message;
        }
        break;
      case How::kFailed:
        problem = done[i].error;
        if (problem->code == ErrorCode::kStopped && !last) break;  // asked to end
        tracker.failed(path, problem->message, now);
        if (!last) tell("output_waits", path, problem->message);
        break;
    }
    if (end == nullptr || !problem) continue;
    if (end->problem_count++ < kShownProblems) {
      end->problems.push_back(std::move(*problem).with_context(path));
    }
  }
  if (end != nullptr) note_changing(watched, changed, *end);
}

// Somebody else writes into the folder, for the run's own processes are gone.  That is nothing that
// the run has lost, as long as the file stays where it is.
void OutputFolders::note_changing(const Watched& watched, const std::vector<Work>& changed,
                                  FolderEnd& end) {
  for (const Work& each : changed) {
    const std::string why = "it changes while it is copied";
    if (watched.what.may_move) {
      if (end.problem_count++ < kShownProblems) {
        end.problems.push_back({ErrorCode::kData, each.file.path + ": " + why});
      }
    } else if (end.refused++ == 0) {
      end.first_refused = each.file.path + ": " + why;
    }
  }
}

void OutputFolders::note_waiting(Watched& watched) {
  for (const FileTracker::Waiting& each : watched.tracker.waiting(Clock::now())) {
    if (each.age >= kWaitsLong) publisher_->note_waiting(each.path, each.why);
  }
  static_cast<void>(publisher_->manifest().flush());
}

std::vector<OutputFolders::FolderEnd> OutputFolders::finish(const KeepOn& keep_on) {
  std::vector<FolderEnd> ends;
  for (Watched& watched : folders_) {
    FolderEnd end;
    end.name = watched.what.folder.name;
    end.path = watched.what.folder.path;
    finish_folder(watched, keep_on, end);
    if (publisher_) end.sum = publisher_->sum_of(end.name);
    end.is_empty = end.sum.files == 0;
    ends.push_back(std::move(end));
  }
  if (publisher_) {
    publisher_->record_rest();
    if (auto flushed = publisher_->manifest().flush(); !flushed && !ends.empty()) {
      ends.front().problems.push_back(std::move(flushed).error());
      ++ends.front().problem_count;
    }
  }
  return ends;
}

std::uint64_t OutputFolders::hash_moved(const KeepOn& keep_on, const HashProgress& progress) {
  if (!publisher_) return 0;
  const std::uint64_t without = publisher_->hash_moved(keep_on, progress);
  static_cast<void>(publisher_->manifest().flush());
  return without;
}

void OutputFolders::finish_folder(Watched& watched, const KeepOn& keep_on, FolderEnd& end) {
  // Out of a folder that a link led to nothing is taken away.
  struct stat info {};
  if (::lstat(end.path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) {
    watched.what.may_move = false;
  }
  FolderListing listing = look(watched, true);
  for (const LeftOut& each : listing.unreadable) {
    end.problems.push_back({ErrorCode::kData, "reading " + each.path + ": " + each.why});
    ++end.problem_count;
  }
  for (const LeftOut& each : listing.left_out) {
    if (end.refused++ == 0) end.first_refused = each.path + ": " + each.why;
  }
  const bool has_empty =
      std::any_of(listing.folders.begin(), listing.folders.end(), [&](const FoundFolder& folder) {
        return folder.is_empty && folder.path != watched.what.folder.name;
      });
  const bool has_any = !listing.files.empty() || has_empty || watched.was_there;
  if (!listing.exists || (!has_any && !watched.what.may_move)) return;
  if (!open_root(watched, listing)) {
    end.problems.push_back({ErrorCode::kRunDirectory, "it cannot be opened any more"});
    ++end.problem_count;
    return;
  }
  carry_out(watched, watched.tracker.last_look(listing.files), true, keep_on, &end);
  // What was stored piece by piece, of a file that was written anew under the same name.
  std::vector<Work> again;
  const Publisher::Source source = source_of(watched, true);
  for (const FoundFile& file : listing.files) {
    if (!publisher_->is_true_copy(file, source, keep_on) && keep_on()) {
      again.push_back({Work::Kind::kPublish, file, grows_by_name(file.path)});
    }
  }
  if (!again.empty()) carry_out(watched, std::move(again), true, keep_on, &end);
  make_folders(watched, listing, end);
}

// Empty ones as well, and all where the folder itself goes away, each with its mode; we ourselves
// must be able to fill and to remove it.
void OutputFolders::make_folders(const Watched& watched, const FolderListing& listing,
                                 FolderEnd& end) {
  if (watched.what.is_stored) return;
  for (const FoundFolder& folder : listing.folders) {
    if (!watched.what.may_move) {
      if (folder.path == watched.what.folder.name) continue;  // that one is ours
    }
    if (watched.what.may_move || folder.is_empty) {
      if (auto made = publisher_->make_folder(folder.path, source_of(watched, true)); !made) {
        end.problems.push_back(std::move(made).error());
        ++end.problem_count;
        continue;
      }
    }
    const fs::path path = run_.root() / folder.path;
    struct stat info {};
    const mode_t mode = (folder.mode & 0777) | S_IRWXU;
    if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
        (info.st_mode & 07777) != mode) {
      static_cast<void>(::chmod(path.c_str(), mode));
    }
  }
}

}  // namespace muster::outputs
