// One run at a receiver: which streams and files of it are there, who may write them, and how far
// they have come.  Everything is found again on the disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "collector/replication/replica_store.h"
#include "collector/store/append_file.h"
#include "collector/store/durable_state.h"
#include "collector/store/file_manifest.h"
#include "collector/store/output_names.h"
#include "collector/store/run_directory.h"
#include "collector/store/safe_path.h"
#include "collector/store/stream_ledger.h"

namespace muster::replication {

struct ReplicaLimits {
  std::size_t open_files = 512;
  std::size_t streams = 100'000;  // of a run, files of the output folders too
  std::uint64_t bytes = 0;        // of a run; 0: what the disk has
};

// A stream, or one writer's file of a name.
struct ReplicaStream {
  store::Writer writer;
  StreamDescription description;
  std::string stored_at;  // where its bytes are now: its name, or that of what is incoming
  store::AppendFile file;
  std::vector<store::Gap> gaps;

  std::uint64_t durable = 0;
  bool dirty = false;     // something of it is not on the disk
  bool new_name = false;  // its folder is not
  bool ended = false;     // its end is recorded, or this generation has its name
  bool commit = false;    // this generation gets its name once it is on the disk
  bool end_durable = false;
  std::string digest;          // of a file that waits for its name
  std::uint32_t restarts = 0;  // grows when what was stored counts no more

  Handle handle = 0;  // 0: nobody writes it
  std::uint64_t said_durable = 0;
  bool said_complete = false;
  std::uint64_t used = 0;  // when its descriptor was last needed

  bool is_file() const { return description.kind == store::StreamKind::kFile; }
  bool is_staged() const { return description.whole; }
  std::uint64_t missing() const;
};

class ReplicaRun {
 public:
  // Errors: kRunDirectory; kPermission: a launcher of this machine writes that directory.
  static Result<std::unique_ptr<ReplicaRun>> open(const std::string& directory,
                                                  const ReplicaLimits& limits);
  // The run directory of this very process, which others' streams and files come into.  What is its
  // own is taken of nobody, it is locked and made durable by its owner, and nothing is kept of who
  // may write it: all of them end with it.
  static Result<std::unique_ptr<ReplicaRun>> open_own(const std::string& directory,
                                                      const ReplicaLimits& limits,
                                                      std::shared_ptr<store::OutputNames> names);
  bool is_own() const { return names_ != nullptr; }
  // Held around every other call about streams and files; empty where nobody else names files.
  [[nodiscard]] store::OutputNames::Lock hold_names();

  Result<> admit(const store::Writer& writer);
  Result<std::shared_ptr<ReplicaStream>> open_stream(const store::Writer& writer,
                                                     const StreamDescription& description);
  Result<> add_gap(ReplicaStream& stream, const StreamGap& gap);
  Result<> finish(ReplicaStream& stream, const StreamEnd& end);
  Result<> tombstone(const store::Writer& writer, const std::string& path);
  void clock(const store::Writer& writer, const ClockOffset& offset);
  void attach();
  void detach();
  bool is_attached() const { return attached_ > 0; }

  // Its bytes are opened if they are not.
  Result<> need_file(ReplicaStream& stream);
  Result<> check_quota(std::uint64_t more);

  // A generation that is on the disk gets its name.
  Result<> give_name(ReplicaStream& stream);
  // What was stored from `size` on counts no more.
  Result<> go_back(ReplicaStream& stream, std::uint64_t size);
  void drop(ReplicaStream& stream);  // a generation that was given up
  // It cannot have its name: that is written down, and it is not taken again.
  void refuse(ReplicaStream& stream, const std::string& why);
  // Nothing comes of that writer any more: its streams end where they are, with a gap of unknown
  // length (sender_lost), and it is not admitted again.
  Result<> give_up(const std::string& writer);
  void forget(const ReplicaStream& stream);  // what is known of it: the disk says it again

  const std::map<std::string, std::shared_ptr<ReplicaStream>>& streams() const { return streams_; }
  store::DurableState& durable() { return durable_; }
  const store::RunDirectory& directory() const { return directory_; }
  const store::SafeRoot& root() const { return root_; }
  // Records that wait for room on the disk are written.
  Result<> flush_records();

 private:
  ReplicaRun(store::RunDirectory directory, store::SafeRoot root, const ReplicaLimits& limits);
  Result<> load();
  Result<> refuse_own(const StreamDescription& description);
  bool is_owners(const std::string& path) const;
  Result<> go_back_after_a_reboot();
  Result<> heal_names();
  Result<> write_receiver() const;

  Result<> open_ledgered(ReplicaStream& stream);
  Result<> open_staged(ReplicaStream& stream);
  Result<> open_growing_file(ReplicaStream& stream);
  bool is_there(const ReplicaStream& stream);
  Result<> clear_way(const store::Writer& writer, const std::string& path, bool only_look);
  Result<> clear_way_of(const std::string& path);
  std::optional<std::string> name_of(const std::string& writer, const std::string& path) const;
  Result<std::string> claim_name(const store::Writer& writer, const StreamDescription& description);
  Result<std::string> digest_of(ReplicaStream& stream);
  void record_entry(const ReplicaStream& stream, const std::string& path, std::uint64_t size,
                    const std::string& digest);

  store::RunDirectory directory_;
  store::SafeRoot root_;
  ReplicaLimits limits_;
  store::StreamLedger ledger_;
  store::FileManifest manifest_;
  store::StreamRecords records_;
  store::FileStates files_;
  store::DurableState durable_;
  std::map<std::string, std::uint64_t> epochs_;  // by writer: the one that may write
  std::map<std::string, std::shared_ptr<ReplicaStream>> streams_;
  std::map<std::string, std::string> incoming_;  // of each writer's name, the file that is there
  std::set<std::string> refused_;                // keys of streams that are not taken
  std::uint64_t bytes_ = 0;                      // of the run, where there is a quota
  std::set<std::string> given_up_;               // writers
  int attached_ = 0;
  Fd lock_;
  std::shared_ptr<store::OutputNames> names_;  // null: the directory is a copy
};

}  // namespace muster::replication
