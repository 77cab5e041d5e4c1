// send_streams ADDRESS TOKEN_FILE|- RUN_ID BYTES [PATH...]: a sender of replication that has its
// streams in memory.
//
// Sends the file of BYTES bytes "stdout.log" of rank 0 and, for each PATH, a stream of that name
// with the five bytes "evil\n"; \xNN in a PATH is a byte.  Prints "refused PATH: why" for what the
// collector does not take, "trouble: why" when it cannot connect, and "complete SECONDS" at the
// end.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "collector/replication/client.h"

namespace {

using namespace muster;
using namespace muster::replication;

// The same bytes for every offset, whoever asks.
class Pattern final : public StreamSource {
 public:
  Result<Piece> read(StreamNumber stream, std::uint64_t offset, std::span<char> into) override {
    const std::uint64_t left = sizes.at(stream) - offset;
    const std::size_t count = std::min<std::uint64_t>(left, into.size());
    if (stream > 0)
      return Piece{std::string_view("evil\n").substr(offset).copy(into.data(), count), 0};
    for (std::size_t done = 0; done < count;) {
      const std::size_t at = (offset + done) % block.size();
      done += std::string_view(block).substr(at).copy(into.data() + done, count - done);
    }
    return Piece{count, 0};
  }
  std::vector<std::uint64_t> sizes;
  std::string block = make_block();

 private:
  static std::string make_block() {
    std::string text;
    for (int i = 0; text.size() < 65'536; ++i) text += "line " + std::to_string(i) + " of rank 0\n";
    return text;
  }
};

std::string unescaped(const std::string& text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "\\x") == 0) {
      bytes += static_cast<char>(std::strtol(text.substr(i + 2, 2).c_str(), nullptr, 16));
      i += 3;
    } else {
      bytes += text[i];
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 64;
  ClientSettings settings;
  settings.collector = parse_address(argv[1]).value();
  settings.insecure = true;
  if (std::string(argv[2]) != "-") {
    settings.keys = std::make_shared<const TokenKeys>(read_token(argv[2]).value());
  }
  settings.writer = {
      .run_id = argv[3], .name = "node-0", .node = "here", .lowest_rank = 0, .epoch = 1};
  Pattern source;
  source.sizes.push_back(std::strtoull(argv[4], nullptr, 10));
  std::vector<std::string> paths{"ranks/00000/attempt-0/stdout.log"};
  for (int i = 5; i < argc; ++i) {
    paths.push_back(unescaped(argv[i]));
    source.sizes.push_back(5);
  }
  std::atomic<bool> complete = false;
  std::map<StreamNumber, bool> open;  // on the client's thread
  const auto begin = std::chrono::steady_clock::now();
  const auto client = SenderClient::start(std::move(settings), source, [&](Sender& sender) {
    for (const SenderEvent& event : sender.take_events()) {
      if (event.kind == SenderEvent::Kind::kRefused) {
        std::printf("refused %s: %s\n", argv[event.stream + 4], event.text.c_str());
        open.erase(event.stream);
      } else if (event.kind == SenderEvent::Kind::kSuperseded) {
        std::printf("superseded\n");
        complete = true;
      } else if (event.kind == SenderEvent::Kind::kProgress &&
                 sender.watermarks(event.stream).complete) {
        open.erase(event.stream);
      }
    }
    if (!paths.empty() || !open.empty()) return;
    complete = true;
  });
  if (!client) {
    std::printf("trouble: %s\n", client.error().message.c_str());
    return 64;
  }
  (*client)->call([&](Sender& sender) {
    for (const std::string& path : paths) {
      const bool file = path.starts_with("outputs/");
      const StreamNumber number = sender.add(
          {.path = path, .kind = file ? store::StreamKind::kFile : store::StreamKind::kStdout});
      open[number] = true;
      sender.grown(number, source.sizes[number]);
      sender.ended(number, {.length = source.sizes[number], .digest = "", .commit = true});
    }
    paths.clear();
  });
  std::string said;
  while (!complete) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const ClientState state = (*client)->state();
    if (!state.trouble || state.trouble->message == said) continue;
    said = state.trouble->message;
    std::printf("trouble: %s\n", said.c_str());
    std::fflush(stdout);
    if (state.refused) return 77;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("complete %.3f\n", took.count());
  return 0;
}
