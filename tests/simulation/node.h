// A node of a run: its local store, which grows, and the process that sends it; that may be killed
// and started again, and the one before may still be about.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/site.h"

namespace muster::simulation {

struct LocalStream {
  replication::StreamDescription description;
  Payload payload;
  std::uint64_t size = 0;
  std::uint64_t target = 0;
  std::uint64_t freed = 0;    // durable at the receiver, and not here any more
  std::uint64_t dropped = 0;  // below it nothing is here: freed, or a gap
  std::vector<replication::StreamGap> gaps;
  std::optional<replication::StreamEnd> end;

  bool lacks(std::uint64_t offset) const;
};

class Node;

// One start of a node's sending process.
struct Process : Client, replication::StreamSource {
  Node* node = nullptr;
  std::uint64_t epoch = 0;
  std::vector<std::size_t> streams;  // by the sender's number: which of the node's

  Result<Piece> read(replication::StreamNumber stream, std::uint64_t offset,
                     std::span<char> into) override;
};

class Node {
 public:
  Node(std::string node_name, Site& node_site, Judge& judge, Random& random);

  // Kills the process (or leaves it behind) and starts the next.
  void start(bool leave_old);
  // What a launcher does with what it finds after one that was killed: streams get an unknown end.
  void give_up_rest();
  // Lets the local store grow, towards its end when `finishing`.
  void produce(bool finishing);
  void keep_bound();
  void take_events();

  bool is_produced() const;
  const std::vector<std::string>& deleted() const { return deleted_; }
  Process& current() { return *processes.back(); }
  const LocalStream* find(const replication::StreamDescription& stream) const;

  std::string name;
  Site& site;
  std::vector<LocalStream> streams;
  std::vector<std::shared_ptr<Process>> processes;
  std::uint64_t bound = 0;  // of bytes that lie here; 0: none
  std::uint64_t most_kept = 0;

 private:
  friend struct Process;

  std::size_t create(const std::string& path, store::StreamKind kind, std::uint64_t target,
                     std::uint64_t generation = 0);
  void announce(Process& process, std::size_t index);
  void end(std::size_t index, bool commit);
  void add_gap(std::size_t index, const replication::StreamGap& gap);
  replication::StreamNumber number_of(const Process& process, std::size_t index) const;
  std::uint64_t kept() const;

  void announce_deleted(Process& process, const std::string& path);

  // In the order in which they came: a stream's index, or the next of deleted_.
  std::vector<std::optional<std::size_t>> announced_;
  std::vector<std::string> deleted_;
  Judge& judge_;
  Random& random_;
  std::uint64_t epoch_ = 0;
  std::uint64_t files_left_ = 0;
  std::uint64_t generation_ = 0;
  bool last_made_ = false;
  std::int64_t clock_offset_ = 0;
};

}  // namespace muster::simulation
