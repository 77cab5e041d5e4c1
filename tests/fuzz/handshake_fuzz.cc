// Both sides of the replication's handshake: any bytes of a stranger, in pieces of any size.  The
// first byte of an input is the size of the pieces.

#include "collector/replication/handshake.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace muster::replication;

const TokenKeys& keys() {
  static const TokenKeys made = keys_of("a token that no input can know");
  return made;
}

HandshakeSettings settings() {
  HandshakeSettings made;
  made.keys = &keys();
  made.nonce = std::string(kKeySize, 'n');
  return made;
}

bool feed(Handshake& side, std::string_view bytes, std::size_t piece) {
  while (!bytes.empty()) {
    if (!side.receive(bytes.substr(0, piece))) return false;
    bytes.remove_prefix(std::min(piece, bytes.size()));
    muster::fuzz::require(side.take_output().size() <= 2 * Handshake::kMostBytes,
                          "a stranger makes it say little");
  }
  return true;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using muster::fuzz::require;
  if (size == 0) return 0;
  const std::string_view bytes = muster::fuzz::text_of(data, size).substr(1);
  const std::size_t piece = std::size_t{1} + data[0];
  ServerHandshake server(settings());
  feed(server, bytes, piece);
  require(!server.done(), "nobody gets in without the token");
  ClientHandshake client(settings(), PeerHello{.writer = {.run_id = "r", .name = "node-0"}});
  feed(client, bytes, piece);
  require(!client.done(), "no collector is believed without the token");
  // Where no token is asked for, what is believed is a name that can be a directory's.
  HandshakeSettings open = settings();
  open.keys = nullptr;
  open.must_authenticate = false;
  ServerHandshake trusting(std::move(open));
  if (feed(trusting, bytes, piece) && trusting.done()) {
    const auto& run = trusting.peer()->writer.run_id;
    require(!run.empty() && run.front() != '.' && run.find('/') == run.npos && run.size() <= 100,
            "a run's id is a name");
  }
  return 0;
}
