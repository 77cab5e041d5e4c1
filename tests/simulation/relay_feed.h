// What a relay sends on: its own disk, as the store of one writer.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "tests/simulation/site.h"

namespace muster::simulation {

struct RelayFeed : Client, replication::StreamSource {
  struct Known {
    replication::StreamNumber number = 0;
    std::size_t gaps = 0;
    bool ended = false;
  };

  RelayFeed(Site& site, const store::Writer& writer, Judge& judge)
      : relay(site), writer_name(writer.name) {
    name = site.name + ">" + writer.name;
    has_bulk = true;
    sender = std::make_unique<replication::Sender>(writer, *this,
                                                   [&judge] { return Site::wall(judge, 0); });
  }

  // Tells the sender what is new on the disk.  What must come last is added last.
  void follow() {
    for (const bool last : {false, true}) {
      for (const auto& [key, file] : relay.disk.files()) {
        if (file.writer == writer_name && file.description.last == last) follow(key, file);
      }
    }
  }

  Result<Piece> read(replication::StreamNumber stream, std::uint64_t offset,
                     std::span<char> into) override {
    const StoredFile& file = relay.disk.files().at(keys.at(stream));
    // A disk that failed may have less than it had; it comes again.
    if (offset >= file.bytes.size()) return Piece{0, 0};
    const std::size_t count =
        std::min<std::size_t>(into.size(), file.bytes.size() - static_cast<std::size_t>(offset));
    std::copy_n(file.bytes.data() + offset, count, into.data());
    return Piece{count, 0};
  }

  Site& relay;
  std::string writer_name;
  std::map<std::string, Known> known;
  std::vector<std::string> keys;  // by the sender's number

 private:
  void follow(const std::string& key, const StoredFile& file) {
    // A whole file is there for others once it is complete; what a dead sender began of one is not.
    if (file.description.whole && !file.end_durable) return;
    auto it = known.find(key);
    if (it == known.end()) {
      it = known.emplace(key, Known{sender->add(file.description)}).first;
      keys.push_back(key);
    }
    Known& its = it->second;
    if (its.ended) return;
    its.gaps = std::min(its.gaps, file.gaps.size());
    for (; its.gaps < file.gaps.size(); ++its.gaps) sender->gap(its.number, file.gaps[its.gaps]);
    sender->grown(its.number, file.bytes.size());
    if (file.end_durable) {
      sender->ended(its.number, *file.end);
      its.ended = true;
    }
  }
};

}  // namespace muster::simulation
