// Sends the flood of tests/programs/flood to a collector, over Muster's own client and sender,
// without ranks and files: what is behind the launcher's last step alone, for the faults of the
// way.
//
//   send_flood COLLECTOR RUN_ID [--streams N] [--bytes B] [--rate R] [--epoch E] [--file PATH]
//              [--writer NAME] [--rank LOWEST]
//
// Streams are ranks/0000R/attempt-0/stdout.log of B bytes each, which come into being at R bytes a
// second [all at once]; with --file there is one file of the output folders instead, sent as a
// whole.  Only for receivers without a token.  Ends when the collector has everything on its disk
// (0), or has refused it (1), or a newer writer has come (3), with one line of JSON.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "collector/replication/client.h"
#include "collector/store/digest.h"
#include "tests/programs/flood_bytes.h"
#include "tests/programs/program.h"

namespace {

using namespace muster;
using namespace muster::replication;

struct Options {
  std::string collector;
  std::string run_id;
  std::uint32_t streams = 1;
  std::uint64_t bytes = 0;
  std::uint64_t rate = 0;
  std::uint64_t epoch = 1;
  std::string file;
  std::string writer = "node-0";
  std::uint32_t rank = 0;
};

Options parse(int argc, char** argv) {
  Options options;
  std::vector<std::string> words;
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    if (arguments.name() == "--streams") {
      options.streams = static_cast<std::uint32_t>(program::to_bytes(arguments.value()));
    } else if (arguments.name() == "--bytes") {
      options.bytes = program::to_bytes(arguments.value());
    } else if (arguments.name() == "--rate") {
      options.rate = program::to_bytes(arguments.value());
    } else if (arguments.name() == "--epoch") {
      options.epoch = program::to_bytes(arguments.value());
    } else if (arguments.name() == "--writer") {
      options.writer = arguments.value();
    } else if (arguments.name() == "--rank") {
      options.rank = static_cast<std::uint32_t>(program::to_bytes(arguments.value()));
    } else if (arguments.name() == "--file") {
      options.file = arguments.value();
    } else {
      words.emplace_back(arguments.name());
    }
  }
  if (words.size() != 2) program::die("needs COLLECTOR RUN_ID");
  options.collector = words[0];
  options.run_id = words[1];
  return options;
}

// Makes what it is asked for; nothing is stored.
class FloodSource : public StreamSource {
 public:
  Result<Piece> read(StreamNumber stream, std::uint64_t offset, std::span<char> into) override {
    const std::uint64_t begin = offset / 8 * 8;
    buffer_.resize((offset - begin + into.size() + 7) / 8 * 8);
    flood::Payload{stream, 0}.fill(buffer_, begin);
    std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(offset - begin), into.size(),
                into.begin());
    return Piece{into.size(), 0};
  }

 private:
  std::vector<char> buffer_;
};

std::string digest_of_flood(std::uint32_t rank, std::uint64_t bytes) {
  store::Digest digest;
  std::vector<char> block(1 << 20);
  for (std::uint64_t offset = 0; offset < bytes; offset += block.size()) {
    flood::Payload{rank, 0}.fill(block, offset);
    digest.update({block.data(), std::min<std::uint64_t>(block.size(), bytes - offset)});
  }
  return digest.hex();
}

StreamDescription describe(const Options& options, std::uint32_t rank) {
  StreamDescription description;
  if (options.file.empty()) {
    char path[64];
    std::snprintf(path, sizeof path, "ranks/%05u/attempt-0/stdout.log", rank);
    description.path = path;
    description.kind = store::StreamKind::kStdout;
    return description;
  }
  description.path = options.file;
  description.kind = store::StreamKind::kFile;
  description.generation = 1;
  description.whole = true;
  description.size_hint = options.bytes;
  description.owner_rank = static_cast<int>(options.rank);
  return description;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  auto address = parse_address(options.collector);
  if (!address) program::die(address.error().message);

  std::vector<std::string> digests;
  for (std::uint32_t rank = 0; rank < options.streams; ++rank) {
    digests.push_back(digest_of_flood(rank, options.bytes));
  }

  std::atomic<bool> complete = false;
  std::atomic<bool> superseded = false;
  std::atomic<bool> refused = false;
  std::atomic<bool> all_ended = false;
  SenderTotals totals;
  FloodSource source;
  ClientSettings settings;
  settings.collector = *address;
  settings.insecure = true;
  settings.writer = {options.run_id, options.writer, "chaos", static_cast<int>(options.rank),
                     options.epoch};
  auto client = SenderClient::start(settings, source, [&](Sender& sender) {
    for (const SenderEvent& event : sender.take_events()) {
      if (event.kind == SenderEvent::Kind::kRefused) {
        std::fprintf(stderr, "refused: %s\n", event.text.c_str());
        refused = true;
      }
    }
    totals = sender.totals();
    if (sender.superseded()) superseded = true;
    if (all_ended && sender.all_complete()) complete = true;
  });
  if (!client) program::die(client.error().message);

  (*client)->call([&](Sender& sender) {
    for (std::uint32_t rank = 0; rank < options.streams; ++rank)
      sender.add(describe(options, rank));
  });
  if (!options.file.empty()) (*client)->open_bulk();
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t size = 0; size < options.bytes;) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    size = options.rate == 0
               ? options.bytes
               : std::min(options.bytes, static_cast<std::uint64_t>(
                                             passed.count() * static_cast<double>(options.rate)));
    (*client)->call([&options, size](Sender& sender) {
      for (std::uint32_t rank = 0; rank < options.streams; ++rank) sender.grown(rank, size);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  (*client)->call([&](Sender& sender) {
    for (std::uint32_t rank = 0; rank < options.streams; ++rank) {
      sender.ended(rank, StreamEnd{options.bytes, digests[rank], true});
    }
    all_ended = true;
  });
  while (!complete && !superseded && getppid() != 1) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  client->reset();
  std::printf("{\"superseded\": %s, \"sent\": %llu, \"resent\": %llu, \"links\": %llu}\n",
              superseded ? "true" : "false", static_cast<unsigned long long>(totals.bytes_sent),
              static_cast<unsigned long long>(totals.bytes_resent),
              static_cast<unsigned long long>(totals.links));
  return superseded ? 3 : refused || !complete ? 1 : 0;
}
