// A receiver's store and a sender's source that are strings: for tests of what is between them.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "collector/replication/replica_store.h"
#include "collector/replication/stream_source.h"

namespace muster::replication {

class MemoryStore final : public ReplicaStore {
 public:
  using Post = std::function<void(std::function<void()>)>;
  // `post`: calls back later, on the same thread.
  explicit MemoryStore(Post post) : post_(std::move(post)) {}

  struct Stored {
    std::string bytes;
    std::uint64_t durable = 0;
    bool complete = false;
  };
  // "RUN/PATH"
  const std::map<std::string, Stored>& streams() const { return streams_; }

  Result<> admit(const store::Writer&) override { return {}; }
  Result<OpenedStream> open(const store::Writer& writer, const StreamDescription& stream) override {
    const std::string name = writer.run_id + "/" + stream.path;
    const Stored& stored = streams_[name];
    handles_[++last_] = name;
    return OpenedStream{last_, stored.bytes.size(), stored.durable, stored.complete};
  }
  Result<> append(Handle stream, std::uint64_t, std::string_view bytes) override {
    streams_[handles_.at(stream)].bytes += bytes;
    return {};
  }
  Result<> append_zeros(Handle stream, std::uint64_t, std::uint64_t count) override {
    streams_[handles_.at(stream)].bytes.append(count, '\0');
    return {};
  }
  Result<> add_gap(Handle, const StreamGap&) override { return {}; }
  Result<> finish(Handle stream, const StreamEnd&) override {
    streams_[handles_.at(stream)].complete = true;
    return {};
  }
  Result<> tombstone(const store::Writer&, const std::string&) override { return {}; }
  void close(Handle stream) override { handles_.erase(stream); }
  bool is_full() const override { return false; }
  void sync(std::function<void(Result<std::vector<DurableMark>>)> done) override {
    std::vector<DurableMark> marks;
    for (const auto& [handle, name] : handles_) {
      Stored& stored = streams_[name];
      stored.durable = stored.bytes.size();
      marks.push_back({handle, stored.durable, stored.complete});
    }
    post_([done = std::move(done), marks = std::move(marks)] { done(marks); });
  }

 private:
  Post post_;
  Handle last_ = 0;
  std::map<Handle, std::string> handles_;
  std::map<std::string, Stored> streams_;
};

class MemorySource final : public StreamSource {
 public:
  explicit MemorySource(std::vector<std::string> streams) : streams_(std::move(streams)) {}
  Result<Piece> read(StreamNumber stream, std::uint64_t offset, std::span<char> into) override {
    const std::string_view left = std::string_view(streams_.at(stream)).substr(offset);
    return Piece{left.copy(into.data(), into.size()), 0};
  }
  const std::string& of(StreamNumber stream) const { return streams_.at(stream); }

 private:
  std::vector<std::string> streams_;
};

}  // namespace muster::replication
