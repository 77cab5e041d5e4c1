// FrameReader: any bytes from the node's socket, in pieces of any size.  The first byte of an input
// is the size of the pieces.

#include "protocol/frame.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

struct Seen {
  std::string frames;  // encoded again
  bool broken = false;
};

Seen read_in_pieces(std::string_view bytes, std::size_t piece) {
  using namespace muster::protocol;
  Seen seen;
  FrameReader reader(4096);
  while (!bytes.empty() && !seen.broken) {
    reader.append(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    while (true) {
      const auto frame = reader.next();
      if (!frame) seen.broken = true;
      if (!frame || !*frame) break;
      muster::fuzz::require((*frame)->payload.size() <= 4096, "no payload above the limit");
      seen.frames += encode(**frame);
    }
  }
  return seen;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using muster::fuzz::require;
  if (size == 0) return 0;
  const std::string_view bytes = muster::fuzz::text_of(data, size).substr(1);
  const Seen whole = read_in_pieces(bytes, bytes.size() + 1);
  const Seen pieces = read_in_pieces(bytes, std::size_t{1} + data[0]);
  require(whole.frames == pieces.frames && whole.broken == pieces.broken,
          "frames do not depend on how their bytes came");
  return 0;
}
