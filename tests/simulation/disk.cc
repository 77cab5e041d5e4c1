#include "tests/simulation/disk.h"

#include <algorithm>

#include "collector/replication/planted_bugs.h"

namespace muster::simulation {
namespace {

using replication::DurableMark;
using replication::Handle;
using replication::OpenedStream;
using replication::StreamDescription;
using replication::StreamEnd;
using replication::StreamGap;

constexpr std::size_t kSector = 512;

std::string key_of(const std::string& writer, const StreamDescription& stream) {
  return writer + " " + stream.path + "@" + std::to_string(stream.generation);
}

}  // namespace

std::string digest_of(std::string_view bytes) {
  std::uint64_t hash = 0xcbf29ce484222325U + bytes.size();
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
  return std::to_string(hash);
}

bool Disk::has_tombstone(const std::string& writer, const std::string& path) const {
  const auto end = tombstones_.begin() + static_cast<std::ptrdiff_t>(durable_tombstones_);
  return std::any_of(tombstones_.begin(), end, [&](const Tombstone& one) {
    return one.writer == writer && one.path == path;
  });
}

const StoredFile* Disk::find(const std::string& writer, const StreamDescription& stream) const {
  const auto it = files_.find(key_of(writer, stream));
  return it == files_.end() ? nullptr : &it->second;
}

Result<> Disk::admit(const store::Writer& writer) {
  const auto it = admitted_.find(writer.name);
  if (it != admitted_.end() && writer.epoch < it->second.epoch) {
    return fail(ErrorCode::kPermission, "superseded by a newer start");
  }
  admitted_[writer.name] = writer;
  return {};
}

Result<OpenedStream> Disk::open(const store::Writer& writer, const StreamDescription& stream) {
  const std::string key = key_of(writer.name, stream);
  for (const auto& [handle, other] : handles_) {
    if (other.key == key) judge_.violated(name_ + ": " + key + " is open twice");
  }
  if (full && !files_.contains(key)) {
    return fail(ErrorCode::kRunDirectory, "no room for another file");
  }
  StoredFile& file = files_[key];
  file.writer = writer.name;
  file.description = stream;
  handles_[++last_handle_] = Open{key, writer.epoch, file.durable};
  judge_.trace([&] {
    return name_ + ": opens " + key + " at " + std::to_string(file.bytes.size()) + ", durable " +
           std::to_string(file.durable);
  });
  return OpenedStream{last_handle_, file.bytes.size(), file.durable, file.end_durable};
}

StoredFile* Disk::writing(Handle handle, const char* what) {
  const auto it = handles_.find(handle);
  if (it == handles_.end()) {
    judge_.violated(name_ + ": " + what + " of a stream that is closed");
    return nullptr;
  }
  StoredFile& file = files_[it->second.key];
  const auto writer = admitted_.find(file.writer);
  if (writer == admitted_.end() || it->second.epoch < writer->second.epoch) {
    judge_.violated(name_ + ": " + what + " of " + it->second.key +
                    " by a writer that a newer one has superseded");
    return nullptr;
  }
  return &file;
}

Result<> Disk::put(StoredFile& file, std::uint64_t offset, std::string_view bytes) {
  if (offset != file.bytes.size()) {
    judge_.violated(name_ + ": bytes of " + file.description.path + " are stored at " +
                    std::to_string(offset) + ", " + std::to_string(file.bytes.size()) + " is next");
    return fail(ErrorCode::kInternal, "not at its end");
  }
  const std::optional<Payload> payload = oracle_(file.writer, file.description);
  if (!payload) {
    judge_.violated(name_ + ": nobody wrote " + file.description.path);
    return fail(ErrorCode::kInternal, "nobody wrote it");
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == payload->at(offset + i)) continue;
    judge_.violated(name_ + ": byte " + std::to_string(offset + i) + " of " +
                    file.description.path + " is wrong");
    return fail(ErrorCode::kInternal, "a wrong byte");
  }
  const bool fails = full || (append_fails_once_in != 0 && random_.once_in(append_fails_once_in));
  if (fails) {
    const std::size_t part = full && random_.once_in(2) ? 0 : random_.below(bytes.size() + 1);
    file.bytes += bytes.substr(0, part);
    return fail(ErrorCode::kRunDirectory, full ? "no room" : "the disk failed");
  }
  file.bytes += bytes;
  if (rots_once_in != 0 && file.description.whole && !file.rotten && !bytes.empty() &&
      random_.once_in(rots_once_in)) {
    file.rotten = true;
    char& byte = file.bytes[static_cast<std::size_t>(random_.below(file.bytes.size()))];
    byte = static_cast<char>(byte ^ 1);
    judge_.trace([&] { return name_ + ": a bit of " + file.description.path + " changes"; });
  }
  return {};
}

Result<> Disk::append(Handle handle, std::uint64_t offset, std::string_view bytes) {
  StoredFile* file = writing(handle, "a write");
  if (file == nullptr) return fail(ErrorCode::kInternal, "refused by the judge");
  return put(*file, offset, bytes);
}

Result<> Disk::append_zeros(Handle handle, std::uint64_t offset, std::uint64_t count) {
  StoredFile* file = writing(handle, "zeros");
  if (file == nullptr || count > 1U << 24) return fail(ErrorCode::kInternal, "refused");
  return put(*file, offset, std::string(static_cast<std::size_t>(count), '\0'));
}

Result<> Disk::add_gap(Handle handle, const StreamGap& gap) {
  StoredFile* file = writing(handle, "a gap");
  if (file == nullptr) return fail(ErrorCode::kInternal, "refused by the judge");
  if (gap.from != file->bytes.size()) {
    judge_.violated(name_ + ": a gap of " + file->description.path + " is not at its end");
  }
  if (full) return fail(ErrorCode::kRunDirectory, "no room");
  // A gap without an end is told once more after a cut; one is enough.
  if (!gap.to && !file->gaps.empty() && !file->gaps.back().to) return {};
  file->gaps.push_back(gap);
  if (gap.to) file->bytes.resize(static_cast<std::size_t>(*gap.to), '?');
  return {};
}

Result<> Disk::finish(Handle handle, const StreamEnd& end) {
  StoredFile* file = writing(handle, "an end");
  if (file == nullptr) return fail(ErrorCode::kInternal, "refused by the judge");
  if (full) return fail(ErrorCode::kRunDirectory, "no room");
  judge_.trace([&] {
    return name_ + ": " + file->description.path + " ends with " + std::to_string(end.length) +
           (end.commit ? "" : ", given up");
  });
  if (!end.commit) {
    StoredFile nothing;
    nothing.writer = file->writer;
    nothing.description = file->description;
    nothing.given_up = true;
    *file = std::move(nothing);
    return {};
  }
  if (end.length != file->bytes.size()) {
    judge_.violated(name_ + ": " + file->description.path + " ends with another length");
  }
  if (!end.digest.empty() && end.digest != digest_of(file->bytes)) {
    if (!file->rotten || file->begun_again) {
      judge_.violated(name_ + ": " + file->description.path + " ends with another digest");
    }
    StoredFile nothing;
    nothing.writer = file->writer;
    nothing.description = file->description;
    nothing.rotten = nothing.begun_again = true;
    *file = std::move(nothing);
    return fail(ErrorCode::kData, "its digest is another");
  }
  if (end.digest.empty() && file->description.whole) {
    judge_.violated(name_ + ": " + file->description.path + " ends without a digest");
  }
  file->end = end;
  return {};
}

Result<> Disk::tombstone(const store::Writer& writer, const std::string& path) {
  if (full) return fail(ErrorCode::kRunDirectory, "no room");
  tombstones_.push_back({writer.name, path});
  return {};
}

void Disk::close(Handle handle) {
  handles_.erase(handle);
}

void Disk::sync(std::function<void(Result<std::vector<DurableMark>>)> done) {
  if (sync_) judge_.violated(name_ + ": two syncs at once");
  Sync sync;
  sync.at = judge_.now + std::chrono::milliseconds(random_.between(0, 300));
  sync.done = std::move(done);
  sync.tombstones = tombstones_.size();
  for (const auto& [key, file] : files_) {
    sync.files[key] = {file.bytes.size(), file.gaps.size(), file.end.has_value()};
  }
  sync_ = std::move(sync);
}

void Disk::make_durable(const Sync& sync) {
  durable_tombstones_ = std::max(durable_tombstones_, sync.tombstones);
  for (const auto& [key, snapshot] : sync.files) {
    const auto it = files_.find(key);
    // One that was given up since and begun anew.
    if (it == files_.end() || it->second.bytes.size() < snapshot.size) continue;
    StoredFile& file = it->second;
    file.durable = std::max(file.durable, snapshot.size);
    file.durable_gaps = std::max(file.durable_gaps, snapshot.gaps);
    file.end_durable = file.end_durable || (snapshot.ended && file.end);
  }
}

void Disk::step() {
  if (!sync_ || sync_->at > judge_.now) return;
  const Sync sync = *std::exchange(sync_, std::nullopt);
  if (sync_fails_once_in != 0 && random_.once_in(sync_fails_once_in)) {
    judge_.trace([&] { return name_ + ": a sync fails"; });
    back_to_durable();
    sync.done(fail(ErrorCode::kRunDirectory, "the disk failed"));
    return;
  }
  make_durable(sync);
  std::vector<DurableMark> marks;
  for (auto& [handle, open] : handles_) {
    const StoredFile& file = files_.at(open.key);
    if (file.durable <= open.said && !file.end_durable) continue;
    open.said = file.durable;
    marks.push_back({handle, file.durable, file.end_durable});
  }
  sync.done(std::move(marks));
}

void Disk::back_to_durable() {
  for (auto& [key, file] : files_) {
    file.bytes.resize(static_cast<std::size_t>(file.durable));
    file.gaps.resize(file.durable_gaps);
    if (!file.end_durable) file.end.reset();
  }
}

void Disk::process_ends() {
  handles_.clear();
  sync_.reset();
}

void Disk::machine_ends() {
  // The sync that was running may have got through without anybody hearing of it.
  if (sync_ && random_.once_in(2)) make_durable(*sync_);
  process_ends();
  for (auto& [key, file] : files_) lose_power(file);
  tombstones_.resize(
      static_cast<std::size_t>(random_.between(durable_tombstones_, tombstones_.size())));
  recover();
}

// Of what no sync has covered any part may be there: the length without the bytes, a gap's record
// without the hole, an end without either.
void Disk::lose_power(StoredFile& file) {
  const std::size_t kept =
      static_cast<std::size_t>(random_.between(file.durable, file.bytes.size()));
  file.bytes.resize(kept);
  for (std::size_t at = static_cast<std::size_t>(file.durable); at < kept; at += kSector) {
    if (!random_.once_in(3)) continue;
    const std::size_t end = std::min(kept, at + kSector);
    const std::size_t torn = at + static_cast<std::size_t>(random_.below(end - at));
    std::fill(file.bytes.begin() + static_cast<std::ptrdiff_t>(torn),
              file.bytes.begin() + static_cast<std::ptrdiff_t>(end), '\0');
  }
  file.gaps.resize(static_cast<std::size_t>(random_.between(file.durable_gaps, file.gaps.size())));
  if (!file.end_durable && random_.once_in(2)) file.end.reset();
}

void Disk::recover() {
  if (!replication::is_planted(replication::PlantedBug::kTrustsLengths)) return back_to_durable();
  for (auto& [key, file] : files_) {
    if (file.end && file.end->length != file.bytes.size()) file.end.reset();
    std::erase_if(file.gaps, [&](const StreamGap& gap) {
      return gap.to.value_or(gap.from) > file.bytes.size();
    });
  }
}

}  // namespace muster::simulation
