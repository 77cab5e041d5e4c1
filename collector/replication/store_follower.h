// Follows a run directory while it grows and tells a sink of everything in it that travels: its
// streams, their gaps and ends, the files that its manifest lists, and the files that describe the
// run.  The real StreamSource.
//
// What it looks at is the truth on the disk, so it does not matter who writes it, whether that one
// still lives, and how often one looks.  All calls on one thread, but for read().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "collector/replication/descriptor_cache.h"
#include "collector/replication/store_scan.h"
#include "collector/replication/stream_sink.h"
#include "collector/store/file_manifest.h"
#include "collector/store/offset_ranges.h"
#include "collector/store/run_directory.h"
#include "collector/store/stream_ledger.h"

namespace muster::replication {

// The lines that a file of records got since the last look.
class NewLines {
 public:
  explicit NewLines(std::string path) : path_(std::move(path)) {}
  // Whole lines only; "" when there are none.
  std::string take();

 private:
  std::string path_;
  std::uint64_t offset_ = 0;
};

// One append-only stream of the store, as far as it has been seen.
struct FollowedStream {
  std::string path;
  store::StreamKind kind = store::StreamKind::kLog;
  StreamNumber number = 0;
  std::uint64_t size = 0;
  store::OffsetRanges gone;     // takes no room: freed, dropped, or never stored
  store::OffsetRanges dropped;  // of it: for want of room, undelivered
  std::uint64_t freed_to = 0;   // of what the collector has, told to the sink
  bool ended = false;
};

class StoreFollower : public StreamSource {
 public:
  StoreFollower(store::RunDirectory run, StreamSink& sink);

  // Tells what is new.  True: something was.
  bool look();
  // The ranks write no more: tells the rest of what is theirs, and its ends.  The launcher's own
  // record goes on: it still has to say how this ended.
  void finish_streams();
  // Nobody writes the run any more: tells the rest, and every end.  The record of the run's end
  // travels last.
  void finish();

  // run.json says that the run is over, by the last look.
  bool is_over() const { return over_; }

  const std::vector<FollowedStream>& streams() const { return streams_; }
  // Bytes below `to` are durable elsewhere and go from here.
  void free(std::size_t stream, std::uint64_t to, const std::string& collector);
  // [from, to), which is here, goes for want of room, undelivered.
  void drop(std::size_t stream, std::uint64_t from, std::uint64_t to);
  // The sender could not read it: says what becomes of it.
  void unreadable(StreamNumber number);
  // "" while the file system gives room back; else why not.
  const std::string& cannot_free() const { return cannot_free_; }

  Result<Piece> read(StreamNumber stream, std::uint64_t offset, std::span<char> into) override;

 private:
  // What read() needs of a stream.
  struct Readable {
    std::string path;
    std::shared_ptr<const std::string> snapshot;  // of a small file that is replaced as a whole
    std::uint64_t size = 0;                       // that was told
    store::OffsetRanges dropped;
    bool has_holes = false;
  };
  struct ControlFile {
    std::string path;
    std::uint64_t generation = 0;
    std::int64_t changed_ns = 0;
    std::uint64_t inode = 0;
    std::string text;  // that was told
  };
  struct FollowedFile {
    StreamNumber number = 0;
    std::uint64_t generation = 0;
    std::uint64_t size = 0;
    bool grows = false;
    bool ended = false;
  };

  StreamNumber announce(StreamDescription description, Readable readable);
  void tell_grown(StreamNumber number, std::uint64_t size);
  void add_streams(bool thorough);
  void tell_rest();
  bool measure_streams();
  bool read_records();
  void end_those_that_ended();
  bool read_manifest();
  void tell_file(const store::FileEntry& entry);
  void tell_gap(FollowedStream& stream, const store::Gap& gap);
  void tell_freed(FollowedStream& stream, std::uint64_t to);
  void end_stream(FollowedStream& stream);
  void end_file(FollowedFile& file, const std::string& digest, bool commit);
  bool look_at_control(ControlFile& file, bool closing);
  void send_control(ControlFile& file, std::string text, bool last);
  void tell_unlisted_files();
  void punch(const std::string& path, std::uint64_t from, std::uint64_t to);
  std::string digest_of_stored(const FollowedStream& stream) const;

  const store::RunDirectory run_;
  StreamSink& sink_;
  StoreScan scan_;
  NewLines ledger_lines_;
  NewLines manifest_lines_;
  store::StreamLedger ledger_;
  std::vector<FollowedStream> streams_;
  std::map<std::string, std::size_t, std::less<>> by_path_;
  store::StreamRecords records_;  // of streams, also of those that were not seen yet
  std::vector<std::size_t> ending_;
  std::map<std::string, FollowedFile, std::less<>> files_;
  std::vector<ControlFile> control_;
  std::optional<std::string> final_record_;  // run.json, held until the end
  std::string cannot_free_;
  bool over_ = false;
  bool streams_finished_ = false;
  bool finished_ = false;

  std::mutex mutex_;  // guards what follows: read() comes from the sender's thread
  std::map<StreamNumber, Readable> readable_;
  DescriptorCache descriptors_;
};

}  // namespace muster::replication
