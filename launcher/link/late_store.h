// The head's store: none until the run has a directory, then that directory.
#pragma once

#include <memory>

#include "collector/replication/replica_store.h"

namespace muster::link {

class LateStore final : public replication::ReplicaStore {
 public:
  // From now on; once.
  void store_into(std::unique_ptr<replication::ReplicaStore> store) { store_ = std::move(store); }

  Result<> admit(const store::Writer& writer) override;
  void attach(const store::Writer& writer) override;
  void detach(const store::Writer& writer) override;
  Result<replication::OpenedStream> open(const store::Writer& writer,
                                         const replication::StreamDescription& stream) override;
  Result<> append(replication::Handle stream, std::uint64_t offset,
                  std::string_view bytes) override;
  Result<> append_zeros(replication::Handle stream, std::uint64_t offset,
                        std::uint64_t count) override;
  Result<> add_gap(replication::Handle stream, const replication::StreamGap& gap) override;
  Result<> finish(replication::Handle stream, const replication::StreamEnd& end) override;
  Result<> tombstone(const store::Writer& writer, const std::string& path) override;
  void close(replication::Handle stream) override;
  bool is_full() const override;
  void sync(std::function<void(Result<std::vector<replication::DurableMark>>)> done) override;
  void clock(const store::Writer& writer, const replication::ClockOffset& offset) override;

 private:
  std::unique_ptr<replication::ReplicaStore> store_;
};

}  // namespace muster::link
