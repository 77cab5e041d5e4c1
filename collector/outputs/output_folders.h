// The output folders of a node's ranks, followed into the run directory: looks, decides, stores.
// One thread at a time; what is slow asks `keep_on` whether it should go on.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "collector/outputs/file_tracker.h"
#include "collector/outputs/folder_scan.h"
#include "collector/outputs/folder_watch.h"
#include "collector/outputs/publisher.h"
#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::outputs {

struct OutputFolder {
  WatchedFolder folder;
  bool is_stored = false;  // ranks write into the run directory itself
  bool may_move = false;   // when the ranks have ended, nobody needs it where it is
};

struct OutputFoldersOptions {
  std::vector<OutputFolder> folders = {};
  std::filesystem::path working_directory = {};      // that has a .musterignore
  std::vector<std::filesystem::path> excluded = {};  // not entered
  std::int64_t since_ns = INT64_MIN;                 // older files are not the run's
  PublisherOptions publisher = {};
  TrackerOptions tracker = {};
  bool use_inotify = true;
};

// A sentence about one file that somebody should know: "outputs_refused", "outputs/fifo", "it is a
// FIFO".
struct FileEvent {
  std::string what;
  std::string path;
  std::string why;
};

class OutputFolders {
 public:
  using Clock = std::chrono::steady_clock;

  OutputFolders(store::RunDirectory run, OutputFoldersOptions options);

  // One look, and the work that follows from it.  When the next one is due.
  std::chrono::milliseconds step(const KeepOn& keep_on);
  // Readable when something has happened in the folders; -1 without inotify.
  int hint_fd() const { return watch_ ? watch_->fd() : -1; }

  // The ranks have ended: everything that is there is stored, or is in `problems`.
  struct FolderEnd {
    std::string name;
    std::filesystem::path path;
    Publisher::Sum sum;
    std::vector<Error> problems = {};  // files that are not in the run directory, or the folder
    std::uint64_t problem_count = 0;   // the list has the first few
    std::uint64_t refused = 0;         // what is never stored: pipes, links to elsewhere
    std::string first_refused = {};
    bool is_empty = true;  // nothing was ever in it
  };
  std::vector<FolderEnd> finish(const KeepOn& keep_on);
  // After finish(), once nothing can be lost any more: digests of large files that were moved.
  // Returns how many have none, for `keep_on` said no, or they cannot be read.
  std::uint64_t hash_moved(
      const KeepOn& keep_on, const HashProgress& progress = [](std::uint64_t, std::uint64_t) {});

  std::vector<FileEvent> take_events();
  // Whether anything came from a folder that is not the run directory's own.
  bool has_collected() const;

 private:
  struct Watched {
    OutputFolder what;
    std::optional<store::SafeRoot> root = {};
    FileTracker tracker;
    bool was_there = false;
  };

  Result<> open_publisher();
  FolderListing look(Watched& watched, bool last);
  void take_hints();
  void watch_folders(const Watched& watched, const FolderListing& listing);
  void note_left_out(const FolderListing& listing);
  bool open_root(Watched& watched, const FolderListing& listing);
  void drop_others_files(const Watched& watched, FolderListing& listing) const;
  Publisher::Source source_of(const Watched& watched, bool last) const;
  void carry_out(Watched& watched, std::vector<Work> work, bool last, const KeepOn& keep_on,
                 FolderEnd* end);
  void note_changing(const Watched& watched, const std::vector<Work>& changed, FolderEnd& end);
  void note_waiting(Watched& watched);
  void finish_folder(Watched& watched, const KeepOn& keep_on, FolderEnd& end);
  void make_folders(const Watched& watched, const FolderListing& listing, FolderEnd& end);
  void tell(const std::string& what, const std::string& path, const std::string& why);

  store::RunDirectory run_;
  OutputFoldersOptions options_;
  // Read with the first look: before, a copied working directory is not there.
  std::optional<IgnoreRules> rules_;
  IgnoreRules last_rules_;  // without the defaults: what is left at the end is the run's
  std::vector<Watched> folders_;
  std::optional<FolderWatch> watch_;
  std::optional<Publisher> publisher_;
  std::map<std::string, std::string> told_;
  std::vector<FileEvent> events_;
};

}  // namespace muster::outputs
