// How fast a sender and a receiver are without a network and a disk: replicate [GiB].  One rank's
// flood goes through frames, checksums, credits and acknowledgements; what the source gives is
// copied from memory, what the store takes is thrown away.  Prints seconds, GB/s and CPU seconds a
// GB.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "collector/replication/receiver.h"
#include "collector/replication/sender.h"

namespace {

using namespace muster::replication;
using muster::Result;

struct Source : StreamSource {
  Source() : block(std::size_t{1} << 20, 'x') {}
  Result<Piece> read(StreamNumber, std::uint64_t offset, std::span<char> into) override {
    const std::size_t at = static_cast<std::size_t>(offset % block.size());
    const std::size_t count = std::min(into.size(), block.size() - at);
    std::memcpy(into.data(), block.data() + at, count);
    return Piece{count, 0};
  }
  std::string block;
};

struct Nowhere : ReplicaStore {
  Result<> admit(const muster::store::Writer&) override { return {}; }
  Result<OpenedStream> open(const muster::store::Writer&, const StreamDescription&) override {
    return OpenedStream{1, stored, stored, false};
  }
  Result<> append(Handle, std::uint64_t, std::string_view bytes) override {
    stored += bytes.size();
    return {};
  }
  Result<> append_zeros(Handle, std::uint64_t, std::uint64_t count) override {
    stored += count;
    return {};
  }
  Result<> add_gap(Handle, const StreamGap&) override { return {}; }
  Result<> finish(Handle, const StreamEnd&) override {
    ended = true;
    return {};
  }
  Result<> tombstone(const muster::store::Writer&, const std::string&) override { return {}; }
  void close(Handle) override {}
  bool is_full() const override { return false; }
  void sync(std::function<void(Result<std::vector<DurableMark>>)> done) override {
    done(std::vector<DurableMark>{{1, stored, ended}});
  }
  std::uint64_t stored = 0;
  bool ended = false;
};

double cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t size = (argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 4) << 30;
  Source source;
  Nowhere store;
  Receiver receiver(store);
  Sender sender({"run", "node-0", "host", 0, 1}, source);
  const StreamNumber stream =
      sender.add({.path = "stdout.log", .kind = muster::store::StreamKind::kStdout});
  sender.grown(stream, size);
  sender.ended(stream, {size, "", true});

  const auto start = std::chrono::steady_clock::now();
  const double cpu = cpu_seconds();
  sender.link_up(LinkRole::kLive, start);
  const LinkNumber link = receiver.link_up(sender.writer(), LinkRole::kLive, start);
  while (!sender.all_complete()) {
    const auto now = std::chrono::steady_clock::now();
    receiver.tick(now);
    const std::string out = sender.take_output(LinkRole::kLive, std::size_t{256} << 10, now);
    if (!receiver.receive(link, out, now)) return 1;
    if (!sender.receive(LinkRole::kLive, receiver.take_output(link, 1U << 20, now), now)) return 1;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double gigabytes = static_cast<double>(size) / 1e9;
  std::printf("%.3f s, %.2f GB/s, %.3f CPU s/GB\n", seconds, gigabytes / seconds,
              (cpu_seconds() - cpu) / gigabytes);
  return store.stored == size ? 0 : 1;
}
