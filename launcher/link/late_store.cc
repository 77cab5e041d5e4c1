#include "launcher/link/late_store.h"

namespace muster::link {

using namespace replication;  // NOLINT: every type here is of it

namespace {

// kRunDirectory: not now; whoever sends tries again.
Failure not_yet() {
  return fail(ErrorCode::kRunDirectory, "the run has no directory yet");
}

}  // namespace

Result<> LateStore::admit(const store::Writer& writer) {
  return store_ ? store_->admit(writer) : not_yet();
}

void LateStore::attach(const store::Writer& writer) {
  if (store_) store_->attach(writer);
}

void LateStore::detach(const store::Writer& writer) {
  if (store_) store_->detach(writer);
}

Result<OpenedStream> LateStore::open(const store::Writer& writer, const StreamDescription& stream) {
  if (!store_) return not_yet();
  return store_->open(writer, stream);
}

Result<> LateStore::append(Handle stream, std::uint64_t offset, std::string_view bytes) {
  return store_ ? store_->append(stream, offset, bytes) : not_yet();
}

Result<> LateStore::append_zeros(Handle stream, std::uint64_t offset, std::uint64_t count) {
  return store_ ? store_->append_zeros(stream, offset, count) : not_yet();
}

Result<> LateStore::add_gap(Handle stream, const StreamGap& gap) {
  return store_ ? store_->add_gap(stream, gap) : not_yet();
}

Result<> LateStore::finish(Handle stream, const StreamEnd& end) {
  return store_ ? store_->finish(stream, end) : not_yet();
}

Result<> LateStore::tombstone(const store::Writer& writer, const std::string& path) {
  return store_ ? store_->tombstone(writer, path) : not_yet();
}

void LateStore::close(Handle stream) {
  if (store_) store_->close(stream);
}

bool LateStore::is_full() const {
  return store_ && store_->is_full();
}

void LateStore::sync(std::function<void(Result<std::vector<DurableMark>>)> done) {
  if (store_) return store_->sync(std::move(done));
  // Nothing was appended, so nothing asks for this; and if it did, nothing is durable.
  done(not_yet());
}

void LateStore::clock(const store::Writer& writer, const ClockOffset& offset) {
  if (store_) store_->clock(writer, offset);
}

}  // namespace muster::link
