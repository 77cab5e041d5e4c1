// Receiver and Sender: whatever an authenticated peer may say.  An input is a script of frames,
// each of type, flags, stream, offset, length and payload; their checksums are right, or nothing
// would get beyond the frame reader (which has a target of its own).  A type of 0 is a second that
// passes, and one of 255 bytes that are no frame.

#include "protocol/frame.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/unit/replication/memory_replica.h"

namespace {

using namespace muster::replication;
using muster::fuzz::require;

// Gives the bytes of an input one after the other, then zeros.
class Script {
 public:
  explicit Script(std::string_view bytes) : bytes_(bytes) {}

  bool is_over() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(bytes_.front());
    bytes_.remove_prefix(1);
    return value;
  }
  std::string_view take(std::size_t count) {
    const std::string_view piece = bytes_.substr(0, count);
    bytes_.remove_prefix(piece.size());
    return piece;
  }

 private:
  std::string_view bytes_;
};

// A frame as the script wants it; nullopt: time passes.
std::optional<std::string> next_bytes(Script& script) {
  const std::uint8_t type = script.byte();
  if (type == 0) return std::nullopt;
  if (type == 255) return std::string(script.take(script.byte()));
  muster::protocol::FrameHeader header;
  header.type = static_cast<muster::protocol::FrameType>(type);
  header.flags = script.byte();
  header.stream = script.byte();
  header.offset = script.byte();
  // Now and then far away.
  if (header.offset >= 250) header.offset = ~0ULL - header.offset * (1ULL << 55);
  std::string bytes;
  muster::protocol::append_frame(bytes, header, script.take(script.byte()));
  return bytes;
}

void to_receiver(Script script) {
  MemoryReplica store;
  ReceiverLimits limits;
  limits.streams = 4;
  limits.memory = 1;
  Receiver receiver(store, limits, [] { return std::int64_t{1}; });
  Time now{std::chrono::hours(1)};
  const LinkNumber links[2] = {
      receiver.link_up({"run", "node-0", "host", 0, 1}, LinkRole::kLive, now),
      receiver.link_up({"run", "node-0", "host", 0, 1}, LinkRole::kBulk, now)};
  while (!script.is_over()) {
    const std::optional<std::string> bytes = next_bytes(script);
    if (!bytes) {
      now += std::chrono::seconds(1);
      store.full = !store.full;
      receiver.tick(now);
      continue;
    }
    const LinkNumber link = links[bytes->size() % 2];
    (void)receiver.receive(link, *bytes, now);
    (void)receiver.take_output(link, 1U << 20, now);
    require(store.handles.size() <= 8, "no more streams are open than may be");
    require(receiver.buffered_bytes() < 4U << 20, "what is held is bounded");
  }
  receiver.link_down(links[0], now);
  receiver.link_down(links[1], now);
  require(store.handles.empty(), "nothing stays open");
}

void to_sender(Script script) {
  Pair pair;
  const StreamNumber out =
      pair.add("ranks/00000/attempt-0/stdout.log", muster::store::StreamKind::kStdout, 400);
  pair.add("ranks/00000/attempt-0/stderr.log", muster::store::StreamKind::kStderr, 100);
  pair.add("outputs/model", muster::store::StreamKind::kFile, 300, true, 1);
  pair.sender.gap(out, {50, 80, "overflow"});
  pair.sender.freed(out, 40);
  pair.sender.ended(out, {400, "", true});
  pair.sender.ended(2, {300, "", true});
  pair.sender.deleted("outputs/model");
  pair.sender.link_up(LinkRole::kLive, pair.now);
  bool is_up = true;
  while (!script.is_over()) {
    const std::optional<std::string> bytes = next_bytes(script);
    if (!bytes) {
      pair.now += std::chrono::seconds(1);
      pair.sender.tick(pair.now);
      if (!is_up) pair.sender.link_up(LinkRole::kLive, pair.now);
      is_up = true;
      continue;
    }
    if (!pair.sender.receive(LinkRole::kLive, *bytes, pair.now)) {
      pair.sender.link_down(LinkRole::kLive, pair.now);
      is_up = false;
    }
    const std::string said = pair.sender.take_output(LinkRole::kLive, 1U << 16, pair.now);
    require(said.size() < 2U << 16, "no more is said than was asked for");
    require(pair.sender.watermarks(out).durable <= pair.sender.watermarks(out).received,
            "what is durable has been received");
    (void)pair.sender.take_events();
    (void)pair.sender.take_closed();
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Script script(muster::fuzz::text_of(data, size).substr(1));
  if (data[0] % 2 == 0) {
    to_receiver(script);
  } else {
    to_sender(script);
  }
  return 0;
}
