// Puts files of output folders into the run directory and says so in its manifest
// (.muster/files.jsonl).  A reader of the run directory sees one state of a file or another that
// was real, never a mixture: generations are copied under .muster/incoming and appear by rename;
// what only grows is extended in place, for TensorBoard and tail -f follow a file and not a name.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "collector/outputs/copy_bytes.h"
#include "collector/outputs/file_tracker.h"
#include "collector/store/file_manifest.h"
#include "collector/store/output_names.h"
#include "collector/store/run_directory.h"
#include "collector/store/safe_path.h"
#include "muster/result.h"

namespace muster::outputs {

struct PublisherOptions {
  int owner_rank = 0;                      // the lowest of whoever writes
  std::optional<std::uint64_t> max_bytes;  // of all that is stored (results.max_size)
  std::uint64_t leave_free = 0;            // bytes of the disk that are others'
  // Where other launchers' files come into the same run directory; null: they do not.
  std::shared_ptr<store::OutputNames> names = {};
};

// What became of one piece of work.
struct Published {
  enum class How {
    kStored,
    kChanged,    // it changed meanwhile, or is gone: again later
    kRewritten,  // it did not only grow: again when it has settled
    kRefused,    // it will not be stored as it is
    kFailed,     // no room, no right: again later
  };
  How how = How::kStored;
  FileFacts facts = {};  // of what was stored
  bool append = false;
  Error error = {};  // kRefused, kFailed
};

// How many bytes of moved files have been read, of how many.
using HashProgress = std::function<void(std::uint64_t done, std::uint64_t all)>;

class Publisher {
 public:
  // Errors: kRunDirectory.
  static Result<Publisher> open(const store::RunDirectory& run, PublisherOptions options);

  // Where the files of a folder come from.
  struct Source {
    std::string name;             // of the folder: what paths begin with
    const store::SafeRoot* root;  // the folder itself
    bool is_stored = false;       // it is in the run directory: only noted
    bool may_move = false;        // a rename does: nobody needs it there any more
    bool is_last = false;         // nobody writes any more
  };

  // Several at once, for small files share what it costs to make them durable.  In their order.
  std::vector<Published> publish(const std::vector<Work>& work, const Source& source,
                                 const KeepOn& keep_on);
  // Whether what was stored piece by piece is what is there now.
  bool is_true_copy(const FoundFile& file, const Source& source, const KeepOn& keep_on) const;

  // Large files that were moved unread get their digest, and only then their record.  Returns how
  // many stay without one, for `keep_on` ended it or they cannot be read.
  std::uint64_t hash_moved(const KeepOn& keep_on, const HashProgress& progress);

  // `copy_kept`: not where ranks write to the run directory itself.
  void note_deleted(const std::string& path, bool copy_kept);
  // With what was stored there, and is gone now.
  Result<> make_folder(const std::string& path, const Source& source);
  void note_refused(const std::string& path, const std::string& why);
  void note_waiting(const std::string& path, const std::string& why);

  bool has(const std::string& path) const { return stored_.contains(path); }
  bool was_stored_by_others(const std::string& path, const std::string& folder) const;
  const store::SafeRoot& run() const { return run_; }
  store::FileManifest& manifest() { return manifest_; }
  // At the end: how far what only grew has come, where that was not written down yet.
  void record_rest();

  struct Sum {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
  };
  Sum sum_of(const std::string& folder) const;  // of what came from that folder

 private:
  struct Stored {
    store::FileEntry entry;
    FileFacts source = {};
    std::string folder = {};                   // that it came from
    std::optional<store::Digest> digest = {};  // of one that grows, as far as it has come
    int records = 0;                           // of this generation
    std::chrono::steady_clock::time_point recorded = {};
    bool is_recorded = true;  // as far as it has come
    bool deleted = false;
  };
  struct Prepared {
    std::size_t at = 0;  // in the work
    std::string temporary = {};
    Fd file = {};
    Stored stored = {};
  };

  Publisher(store::SafeRoot run, const store::RunDirectory& directory, PublisherOptions options)
      : run_(std::move(run)), manifest_(directory.files_jsonl()), options_(options) {}

  Published start_one(const Work& work, const Source& source, const KeepOn& keep_on,
                      Prepared& prepared);
  Published start_whole(const Work& work, const Source& source, const Fd& file,
                        const FileFacts& before, const KeepOn& keep_on, Prepared& prepared);
  std::optional<Published> extend(const Work& work, const Source& source, const Fd& file,
                                  const FileFacts& now, const KeepOn& keep_on);
  Published note_stored(const Work& work, const Source& source, const Fd& file,
                        const FileFacts& before, const KeepOn& keep_on);
  Published publish_link(const Work& work, const Source& source);
  std::optional<Published> publish_hard_link(const Work& work, const Source& source,
                                             const FileFacts& now);
  std::optional<Published> move(const Work& work, const Source& source, const Fd& file,
                                const FileFacts& now, const KeepOn& keep_on);
  void commit(std::vector<Prepared>& prepared, std::vector<Published>& results);
  Result<> put(const std::string& temporary, const std::string& path, const std::string& folder,
               const store::FileEntry& entry);
  // While the result lives, nobody else gives or takes that name.
  Result<store::OutputNames::Lock> take_name(const std::string& path,
                                             const store::FileEntry& entry);
  Result<> clear_way(const std::string& path, const std::string& folder, bool is_stored);
  Result<> check_room(const Work& work, std::uint64_t more, bool is_last) const;
  enum class Record { kNow, kLater };
  void remember(Stored stored, const FileFacts& facts, Record when = Record::kNow);
  void record(Stored& stored, bool always);
  std::uint64_t next_generation(const std::string& path) const;
  std::string new_temporary();

  store::SafeRoot run_;
  store::FileManifest manifest_;
  PublisherOptions options_;
  std::map<std::string, Stored> stored_;
  std::map<std::string, std::uint64_t> made_way_;  // generations of what is not stored any more
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> by_inode_;  // of several names
  std::vector<std::string> unhashed_;         // moved and not recorded yet; a link after its file
  std::map<std::string, std::string> noted_;  // waiting and refused, as last said
  std::uint64_t bytes_ = 0;                   // of all that is stored
  std::uint64_t prepared_bytes_ = 0;          // copied, and without their names yet
  std::uint64_t temporaries_ = 0;
};

// Where a symbolic link at `path` ("outputs/best") to `target` leads, as a target that stays inside
// the run's output folders; nullopt when it leads elsewhere.  `folder` is where the folder of that
// name really is.  Pure.
std::optional<std::string> contained_target(std::string_view path, std::string_view target,
                                            std::string_view folder_name,
                                            const std::string& folder);

}  // namespace muster::outputs
