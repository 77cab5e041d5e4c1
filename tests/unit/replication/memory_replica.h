// A replica store and a stream source in memory, for tests of the two state machines alone. Nothing
// fails here unless a test says so; the simulator (tests/simulation) has the ones that crash.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "collector/replication/receiver.h"
#include "collector/replication/sender.h"

namespace muster::replication {

// The bytes of a stream: a function of its name and the offset, so that any of them can be checked.
inline char byte_at(std::uint64_t seed, std::uint64_t offset) {
  std::uint64_t hash = seed + offset * 0x9e3779b97f4a7c15U;
  hash ^= hash >> 29;
  return static_cast<char>(hash * 0xbf58476d1ce4e5b9U >> 56);
}

inline std::uint64_t seed_of(std::string_view path) {
  return std::hash<std::string_view>()(path);
}

class MemoryReplica : public ReplicaStore {
 public:
  struct File {
    std::string bytes;
    std::size_t durable = 0;
    std::vector<StreamGap> gaps;
    std::optional<StreamEnd> end;
    bool end_durable = false;
    bool given_up = false;
    StreamDescription description;
  };

  Result<> admit(const store::Writer& writer) override {
    std::uint64_t& epoch = epochs[writer.name];
    if (writer.epoch < epoch) return fail(ErrorCode::kPermission, "superseded");
    epoch = writer.epoch;
    return {};
  }

  Result<OpenedStream> open(const store::Writer& /*writer*/,
                            const StreamDescription& stream) override {
    if (stream.path == refused) return fail(ErrorCode::kPermission, "the name is not allowed");
    const std::string key = key_of(stream);
    File& file = files[key];
    file.description = stream;
    if (file.given_up) file = File{.description = stream};
    handles[++last_handle] = key;
    order.push_back("open " + stream.path);
    return OpenedStream{last_handle, file.bytes.size(), file.durable, file.end_durable};
  }

  Result<> append(Handle handle, std::uint64_t offset, std::string_view bytes) override {
    if (full) return fail(ErrorCode::kRunDirectory, "no room");
    if (handles.at(handle).starts_with(unwanted)) {
      return fail(ErrorCode::kPermission, "no more of it");
    }
    File& file = files.at(handles.at(handle));
    if (offset != file.bytes.size()) return fail(ErrorCode::kInternal, "not at its end");
    file.bytes += bytes;
    return {};
  }

  Result<> append_zeros(Handle handle, std::uint64_t offset, std::uint64_t count) override {
    zeros += count;
    return append(handle, offset, std::string(std::min<std::uint64_t>(count, 1U << 26), '\0'));
  }

  Result<> add_gap(Handle handle, const StreamGap& gap) override {
    File& file = files.at(handles.at(handle));
    file.gaps.push_back(gap);
    if (gap.to) file.bytes.resize(std::min<std::uint64_t>(*gap.to, 1U << 26), '?');
    return {};
  }

  Result<> finish(Handle handle, const StreamEnd& end) override {
    File& file = files.at(handles.at(handle));
    order.push_back("end " + file.description.path);
    if (!end.commit) {
      file.given_up = true;
      return {};
    }
    if (end.digest == "wrong") {
      file.bytes.clear();
      file.durable = 0;
      return fail(ErrorCode::kData, "the digest is another");
    }
    file.end = end;
    return {};
  }

  Result<> tombstone(const store::Writer& /*writer*/, const std::string& path) override {
    order.push_back("deleted " + path);
    return {};
  }
  void close(Handle handle) override { handles.erase(handle); }
  bool is_full() const override { return full; }

  void sync(std::function<void(Result<std::vector<DurableMark>>)> done) override {
    if (sync_fails) {
      for (auto& [key, file] : files) {
        file.bytes.resize(file.durable);
        if (!file.end_durable) file.end.reset();
      }
      done(fail(ErrorCode::kRunDirectory, "the disk failed"));
      return;
    }
    std::vector<DurableMark> marks;
    for (auto& [handle, key] : handles) {
      File& file = files.at(key);
      file.durable = file.bytes.size();
      file.end_durable = file.end.has_value();
      marks.push_back({handle, file.durable, file.end_durable});
    }
    done(std::move(marks));
  }
  void clock(const store::Writer& /*writer*/, const ClockOffset& offset) override {
    clocks.push_back(offset);
  }

  static std::string key_of(const StreamDescription& stream) {
    return stream.path + "@" + std::to_string(stream.generation);
  }

  std::map<std::string, File> files;
  std::map<Handle, std::string> handles;
  std::map<std::string, std::uint64_t> epochs;
  std::vector<std::string> order;
  std::vector<ClockOffset> clocks;
  Handle last_handle = 0;
  std::uint64_t zeros = 0;
  std::string refused;
  std::string unwanted = "\n";  // taken when it is opened, and refused with its first bytes
  bool full = false;
  bool sync_fails = false;
};

class MemorySource : public StreamSource {
 public:
  void add(StreamNumber number, std::string path) { paths[number] = std::move(path); }

  Result<Piece> read(StreamNumber stream, std::uint64_t offset, std::span<char> into) override {
    if (stream == unreadable) return fail(ErrorCode::kRunDirectory, "the file is gone");
    if (offset >= hole_from && offset < hole_to) return Piece{0, hole_to - offset};
    std::size_t count = into.size();
    if (offset < hole_from) {
      count = static_cast<std::size_t>(std::min<std::uint64_t>(count, hole_from - offset));
    }
    const std::uint64_t seed = seed_of(paths.at(stream));
    for (std::size_t i = 0; i < count; ++i) into[i] = byte_at(seed, offset + i);
    reads += 1;
    return Piece{count, 0};
  }

  std::map<StreamNumber, std::string> paths;
  std::optional<StreamNumber> unreadable;
  std::uint64_t hole_from = ~0ULL;
  std::uint64_t hole_to = 0;
  std::uint64_t reads = 0;
};

// A sender and a receiver, and bytes that go between them when a test says so.
class Pair {
 public:
  explicit Pair(ReceiverLimits limits = {}, std::uint64_t epoch = 1)
      : receiver(store, limits, [this] { return wall; }),
        sender({"run", "node-0", "host", 0, epoch}, source, [this] { return wall + 5'000'000; }) {}

  StreamNumber add(const std::string& path, store::StreamKind kind, std::uint64_t size = 0,
                   bool whole = false, std::uint64_t generation = 0) {
    StreamDescription stream;
    stream.path = path;
    stream.kind = kind;
    stream.whole = whole;
    stream.generation = generation;
    stream.size_hint = size;
    const StreamNumber number = sender.add(stream);
    source.add(number, path);
    if (size > 0) sender.grown(number, size);
    return number;
  }

  void connect(LinkRole role = LinkRole::kLive) {
    sender.link_up(role, now);
    links[role] = receiver.link_up(sender.writer(), role, now);
  }

  void cut(LinkRole role = LinkRole::kLive) {
    sender.link_down(role, now);
    receiver.link_down(links.at(role), now);
    links.erase(role);
  }

  void pass(std::chrono::milliseconds time) {
    now += time;
    wall += std::chrono::nanoseconds(time).count();
    sender.tick(now);
    receiver.tick(now);
  }

  // Everything that can be said without time passing.
  Result<> talk(std::size_t most = 1U << 20) {
    for (bool moved = true; moved;) {
      moved = false;
      for (const auto& [role, link] : links) {
        const std::string out = sender.take_output(role, most, now);
        MUSTER_TRY(receiver.receive(link, out, now));
        const std::string back = receiver.take_output(link, most, now);
        MUSTER_TRY(sender.receive(role, back, now));
        sent += out;
        moved = moved || !out.empty() || !back.empty();
      }
    }
    return {};
  }

  // Until nothing is left to do, at most `rounds` of 100 ms.
  void settle(int rounds = 100) {
    for (int i = 0; i < rounds; ++i) {
      (void)talk();
      pass(std::chrono::milliseconds(100));
    }
    (void)talk();
  }

  std::string bytes(const std::string& path, std::uint64_t generation = 0) const {
    const auto it = store.files.find(path + "@" + std::to_string(generation));
    return it == store.files.end() ? "(none)" : it->second.bytes;
  }
  static std::string expected(const std::string& path, std::uint64_t size) {
    const std::uint64_t seed = seed_of(path);
    std::string text(static_cast<std::size_t>(size), '\0');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = byte_at(seed, i);
    return text;
  }
  bool is_whole(const std::string& path, std::uint64_t size, std::uint64_t generation = 0) const {
    return bytes(path, generation) == expected(path, size);
  }

  std::int64_t wall = 1'700'000'000'000'000'000;
  Time now{std::chrono::hours(1)};
  MemoryReplica store;
  MemorySource source;
  Receiver receiver;
  Sender sender;
  std::map<LinkRole, LinkNumber> links;
  std::string sent;
};

}  // namespace muster::replication
