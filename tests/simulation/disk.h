// A receiver's store on a disk that crashes: the ReplicaStore of the simulation, and the first
// judge of what a receiver does.
//
// What is appended lies in the page cache.  It survives the end of the process.  When the machine
// ends, what a sync had covered is there, and of the rest any part: some sectors, some records, no
// order among them.  Then the store does what the real one does after a reboot: it goes back to
// what durable.json says.  A full or broken disk takes a part of what it was given, and sometimes a
// bit of a file changes on it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "collector/replication/replica_store.h"
#include "tests/simulation/judge.h"
#include "tests/simulation/random.h"

namespace muster::simulation {

struct StoredFile {
  std::string writer;
  replication::StreamDescription description;
  std::string bytes;
  std::vector<replication::StreamGap> gaps;
  std::optional<replication::StreamEnd> end;

  std::uint64_t durable = 0;
  std::size_t durable_gaps = 0;
  bool end_durable = false;
  bool given_up = false;
  bool rotten = false;       // a bit of it has changed
  bool begun_again = false;  // it had another digest: nothing of it counts any more
};

std::string digest_of(std::string_view bytes);

struct Tombstone {
  std::string writer;
  std::string path;
};

class Disk : public replication::ReplicaStore {
 public:
  // Knows what any stream has to contain; nullopt: nobody ever wrote that.
  using Oracle = std::function<std::optional<Payload>(const std::string& writer,
                                                      const replication::StreamDescription&)>;

  Disk(std::string name, Judge& judge, Random& random, Oracle oracle)
      : name_(std::move(name)), judge_(judge), random_(random), oracle_(std::move(oracle)) {}

  // Faults.
  bool full = false;
  std::uint64_t append_fails_once_in = 0;  // 0: never
  std::uint64_t sync_fails_once_in = 0;
  std::uint64_t rots_once_in = 0;  // of whole files, once each
  void process_ends();
  void machine_ends();

  // Time.
  void step();

  const std::map<std::string, StoredFile>& files() const { return files_; }
  const StoredFile* find(const std::string& writer,
                         const replication::StreamDescription& stream) const;
  const std::map<std::string, store::Writer>& writers() const { return admitted_; }
  // One that no loss of power takes away.
  bool has_tombstone(const std::string& writer, const std::string& path) const;
  std::size_t open_handles() const { return handles_.size(); }

  Result<> admit(const store::Writer& writer) override;
  Result<replication::OpenedStream> open(const store::Writer& writer,
                                         const replication::StreamDescription& stream) override;
  Result<> append(replication::Handle handle, std::uint64_t offset,
                  std::string_view bytes) override;
  Result<> append_zeros(replication::Handle handle, std::uint64_t offset,
                        std::uint64_t count) override;
  Result<> add_gap(replication::Handle handle, const replication::StreamGap& gap) override;
  Result<> finish(replication::Handle handle, const replication::StreamEnd& end) override;
  Result<> tombstone(const store::Writer& writer, const std::string& path) override;
  void close(replication::Handle handle) override;
  bool is_full() const override { return full; }
  void sync(std::function<void(Result<std::vector<replication::DurableMark>>)> done) override;

 private:
  struct Open {
    std::string key;
    std::uint64_t epoch = 0;
    std::uint64_t said = 0;  // durable offset that was told of this handle
  };
  struct Snapshot {
    std::uint64_t size = 0;
    std::size_t gaps = 0;
    bool ended = false;
  };
  struct Sync {
    replication::Time at;
    std::map<std::string, Snapshot> files;
    std::size_t tombstones = 0;
    std::function<void(Result<std::vector<replication::DurableMark>>)> done;
  };

  StoredFile* writing(replication::Handle handle, const char* what);
  Result<> put(StoredFile& file, std::uint64_t offset, std::string_view bytes);
  void make_durable(const Sync& sync);
  void lose_power(StoredFile& file);
  void recover();
  void back_to_durable();

  std::string name_;
  Judge& judge_;
  Random& random_;
  Oracle oracle_;
  std::map<std::string, StoredFile> files_;
  std::map<std::string, store::Writer> admitted_;
  std::vector<Tombstone> tombstones_;
  std::size_t durable_tombstones_ = 0;
  std::map<replication::Handle, Open> handles_;
  replication::Handle last_handle_ = 0;
  std::optional<Sync> sync_;
};

}  // namespace muster::simulation
