#include "tests/simulation/node.h"

#include <algorithm>
#include <cstring>

namespace muster::simulation {

using replication::SenderEvent;
using replication::StreamDescription;
using replication::StreamEnd;
using replication::StreamGap;
using replication::StreamNumber;
using store::StreamKind;

namespace {

constexpr std::size_t kNone = ~std::size_t{0};

}  // namespace

bool LocalStream::lacks(std::uint64_t offset) const {
  if (offset < freed) return true;
  return std::any_of(gaps.begin(), gaps.end(), [&](const StreamGap& gap) {
    return offset >= gap.from && (!gap.to || offset < *gap.to);
  });
}

Result<replication::StreamSource::Piece> Process::read(StreamNumber number, std::uint64_t offset,
                                                       std::span<char> into) {
  const LocalStream& stream = node->streams[streams.at(number)];
  const bool is_current = &node->current() == this;
  if (stream.lacks(offset)) {
    // One that was left behind does not know what its successor has freed.
    if (is_current) {
      node->judge_.violated(name + ": byte " + std::to_string(offset) + " of " +
                            stream.description.path +
                            " is asked for, which is gone: " + std::to_string(stream.freed) +
                            " are freed, " + std::to_string(stream.gaps.size()) + " gaps");
    }
    return fail(ErrorCode::kRunDirectory, "it is not here any more");
  }
  if (offset >= stream.size) {
    node->judge_.violated(name + ": reads beyond the end of " + stream.description.path);
  }
  Random& random = node->random_;
  if (random.once_in(200)) return Piece{0, 0};
  if (is_current && random.once_in(2000)) {
    return fail(ErrorCode::kRunDirectory, "a sector cannot be read");
  }
  const Payload& payload = stream.payload;
  if (offset >= payload.zeros_from && offset < payload.zeros_to) {
    return Piece{0, std::min(payload.zeros_to, stream.size) - offset};
  }
  std::uint64_t most = std::min<std::uint64_t>(into.size(), stream.size - offset);
  if (offset < payload.zeros_from) most = std::min(most, payload.zeros_from - offset);
  if (random.once_in(8)) most = random.between(1, most);
  for (std::uint64_t i = 0; i < most; ++i) {
    if (i > 0 && !stream.gaps.empty() && stream.lacks(offset + i)) {
      most = i;
      break;
    }
    into[static_cast<std::size_t>(i)] = payload.at(offset + i);
  }
  return Piece{static_cast<std::size_t>(most), 0};
}

Node::Node(std::string node_name, Site& node_site, Judge& judge, Random& random)
    : name(std::move(node_name)), site(node_site), judge_(judge), random_(random) {
  clock_offset_ = static_cast<std::int64_t>(random.below(7'200'000'000'000)) - 3'600'000'000'000;
  if (random.once_in(2)) bound = random.between(20'000, 200'000);
  files_left_ = random.below(12);
  const std::uint64_t ranks = random.between(1, 4);
  for (std::uint64_t rank = 0; rank < ranks; ++rank) {
    const std::string folder = "ranks/" + name + "-" + std::to_string(rank) + "/";
    const std::uint64_t large = random.once_in(3) ? 300'000 : 20'000;
    create(folder + "stdout.log", StreamKind::kStdout, random.below(large));
    create(folder + "stderr.log", StreamKind::kStderr, random.below(30'000));
    create(folder + "metrics.jsonl", StreamKind::kMetrics, random.below(5'000));
    create(folder + "stdout.log.index", StreamKind::kIndex, random.below(2'000));
  }
  start(false);
}

std::size_t Node::create(const std::string& path, StreamKind kind, std::uint64_t target,
                         std::uint64_t generation) {
  LocalStream stream;
  stream.description.path = path;
  stream.description.kind = kind;
  stream.description.whole = kind == StreamKind::kFile || kind == StreamKind::kControl;
  stream.description.generation = generation;
  stream.description.size_hint = target;
  stream.description.mtime_ns = static_cast<std::int64_t>(generation);
  stream.payload.seed = random_.next();
  stream.target = target;
  if (kind == StreamKind::kFile && target > 1000 && random_.once_in(3)) {
    stream.payload.zeros_from = random_.below(target);
    stream.payload.zeros_to = stream.payload.zeros_from + random_.below(target);
  }
  streams.push_back(std::move(stream));
  announced_.emplace_back(streams.size() - 1);
  return streams.size() - 1;
}

const LocalStream* Node::find(const StreamDescription& stream) const {
  for (const LocalStream& own : streams) {
    if (own.description.path == stream.path && own.description.generation == stream.generation) {
      return &own;
    }
  }
  return nullptr;
}

StreamNumber Node::number_of(const Process& process, std::size_t index) const {
  const auto it = std::find(process.streams.begin(), process.streams.end(), index);
  return static_cast<StreamNumber>(it - process.streams.begin());
}

void Node::announce(Process& process, std::size_t index) {
  const LocalStream& stream = streams[index];
  const StreamNumber number = process.sender->add(stream.description);
  process.streams.push_back(index);
  if (number + 1 != process.streams.size()) judge_.violated("numbers of streams are not in order");
  process.sender->freed(number, stream.freed);
  process.sender->grown(number, stream.size);
  for (const StreamGap& gap : stream.gaps) process.sender->gap(number, gap);
  if (stream.end) process.sender->ended(number, *stream.end);
}

void Node::announce_deleted(Process& process, const std::string& path) {
  process.sender->deleted(path);
  process.streams.push_back(kNone);  // it takes a number, too
}

void Node::start(bool leave_old) {
  if (!processes.empty() && !leave_old) processes.back()->alive = false;
  auto process = std::make_shared<Process>();
  process->node = this;
  process->epoch = ++epoch_;
  process->name = name + "/" + std::to_string(epoch_);
  process->has_bulk = !random_.once_in(3);
  const store::Writer writer{"run", name, "host-" + name, 0, epoch_};
  process->sender = std::make_unique<replication::Sender>(
      writer, *process, [this] { return Site::wall(judge_, clock_offset_); });
  processes.push_back(process);
  auto gone = deleted_.begin();
  for (const auto& index : announced_) {
    index ? announce(*process, *index) : announce_deleted(*process, *gone++);
  }
  judge_.trace([&] { return process->name + ": starts" + (leave_old ? ", beside the old" : ""); });
}

void Node::give_up_rest() {
  for (std::size_t i = 0; i < streams.size(); ++i) {
    LocalStream& stream = streams[i];
    if (stream.end || stream.description.whole) continue;
    stream.target = stream.size;
    add_gap(i, {stream.size, std::nullopt, "launcher_lost"});
    end(i, true);
  }
}

void Node::add_gap(std::size_t index, const StreamGap& gap) {
  streams[index].gaps.push_back(gap);
  current().sender->gap(number_of(current(), index), gap);
}

void Node::end(std::size_t index, bool commit) {
  LocalStream& stream = streams[index];
  std::string bytes(commit ? static_cast<std::size_t>(stream.size) : 0, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = stream.payload.at(i);
  stream.end = StreamEnd{stream.size, commit ? digest_of(bytes) : "", commit};
  current().sender->ended(number_of(current(), index), *stream.end);
}

void Node::produce(bool finishing) {
  for (std::size_t i = 0; i < streams.size(); ++i) {
    LocalStream& stream = streams[i];
    if (stream.end || (!finishing && !random_.once_in(6))) continue;
    if (stream.size < stream.target) {
      const std::uint64_t left = stream.target - stream.size;
      stream.size += finishing ? left : std::min(left, random_.between(1, 12'000));
      current().sender->grown(number_of(current(), i), stream.size);
      continue;
    }
    if (finishing || random_.once_in(40)) {
      end(i, finishing || !stream.description.whole || !random_.once_in(4));
    }
  }
  if (files_left_ > 0 && (finishing || random_.once_in(60))) {
    --files_left_;
    ++generation_;
    const std::string path =
        "outputs/" + name + "/" + (random_.once_in(2) ? "model" : std::to_string(generation_));
    if (random_.once_in(8)) {
      announced_.emplace_back();
      deleted_.push_back(path);
      announce_deleted(current(), path);
    }
    announce(current(), create(path, StreamKind::kFile,
                               random_.below(random_.once_in(4) ? 150'000 : 3'000), generation_));
  }
  if (finishing && files_left_ == 0 && !last_made_) {
    last_made_ = true;
    const std::size_t index = create("run-" + name + ".json", StreamKind::kControl, 500);
    streams[index].description.last = true;
    announce(current(), index);
  }
}

bool Node::is_produced() const {
  return last_made_ && std::all_of(streams.begin(), streams.end(),
                                   [](const LocalStream& stream) { return stream.end; });
}

std::uint64_t Node::kept() const {
  std::uint64_t bytes = 0;
  for (const LocalStream& stream : streams) {
    bytes += stream.size - std::min(stream.size, std::max(stream.freed, stream.dropped));
  }
  return bytes;
}

// As the launcher does: what is durable there goes first, then the oldest of the largest.
void Node::keep_bound() {
  Process& process = current();
  if (bound == 0) return;
  if (kept() > bound) {
    for (std::size_t i = 0; i < streams.size(); ++i) {
      LocalStream& stream = streams[i];
      if (stream.description.whole) continue;  // the bound is the streams'
      const StreamNumber number = number_of(process, i);
      const std::uint64_t durable = process.sender->watermarks(number).durable;
      if (durable <= stream.freed) continue;
      stream.freed = durable;
      process.sender->freed(number, durable);
      judge_.trace([&] {
        return name + ": frees " + std::to_string(durable) + " of " + stream.description.path;
      });
    }
  }
  while (kept() > bound) {
    std::size_t largest = streams.size();
    std::uint64_t most = 0;
    for (std::size_t i = 0; i < streams.size(); ++i) {
      const LocalStream& stream = streams[i];
      if (stream.description.whole) continue;
      const std::uint64_t from = std::max(stream.freed, stream.dropped);
      const std::uint64_t bytes = stream.size - std::min(stream.size, from);
      if (bytes > most) {
        most = bytes;
        largest = i;
      }
    }
    if (largest == streams.size()) break;  // only whole files are left
    LocalStream& stream = streams[largest];
    const std::uint64_t from = std::max(stream.freed, stream.dropped);
    const std::uint64_t to = std::min(stream.size, from + 1 + most / 2);
    stream.dropped = to;
    judge_.trace([&] {
      return name + ": drops " + std::to_string(from) + "-" + std::to_string(to) + " of " +
             stream.description.path;
    });
    add_gap(largest, {from, to, "overflow"});
  }
  most_kept = std::max(most_kept, kept());
}

void Node::take_events() {
  for (const auto& process : processes) {
    if (!process->alive) continue;
    const bool is_current = process == processes.back();
    for (const SenderEvent& event : process->sender->take_events()) {
      const std::size_t index =
          event.stream < process->streams.size() ? process->streams[event.stream] : kNone;
      switch (event.kind) {
        case SenderEvent::Kind::kProgress: {
          if (index == kNone) break;
          const LocalStream& stream = streams[index];
          const StoredFile* stored = site.disk.find(name, stream.description);
          const replication::Watermarks marks = process->sender->watermarks(event.stream);
          // What is given up is complete without anything on a disk.
          const bool kept_there = stored != nullptr && !stored->given_up && !stored->begun_again &&
                                  (!stream.end || stream.end->commit);
          if (marks.durable > 0 && kept_there && stored->durable < marks.durable) {
            judge_.violated(process->name + ": is told that " + std::to_string(marks.durable) +
                            " bytes of " + stream.description.path + " are durable, and " +
                            std::to_string(stored->durable) + " are");
          }
          if (marks.complete && kept_there && !stored->end_durable) {
            judge_.violated(process->name + ": is told that " + stream.description.path +
                            " is complete, and its end is not durable");
          }
          break;
        }
        case SenderEvent::Kind::kRefused:
          judge_.violated(process->name + ": a stream is refused: " + event.text);
          break;
        case SenderEvent::Kind::kSuperseded:
          judge_.trace([&] { return process->name + ": is superseded"; });
          if (is_current) judge_.violated(process->name + ": the newest writer is superseded");
          break;
        case SenderEvent::Kind::kRollback:
          if (is_current) judge_.violated(process->name + ": durable bytes were lost");
          break;
        case SenderEvent::Kind::kUnreadable: {
          if (!is_current || index == kNone) break;
          LocalStream& stream = streams[index];
          // Some bytes from where it failed on are given up; which, the owner decides.
          const std::uint64_t from = process->sender->watermarks(event.stream).durable;
          const std::uint64_t to = std::min(stream.size, from + random_.between(1, 50'000));
          if (stream.description.whole) {
            if (!stream.end) stream.target = stream.size;
            end(index, false);
          } else if (to > from) {
            add_gap(index, {from, to, "disk_error"});
          } else {
            process->sender->grown(event.stream, stream.size);
          }
          break;
        }
      }
    }
  }
}

}  // namespace muster::simulation
