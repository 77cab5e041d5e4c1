// How far a transfer is: counted by its workers, told by one thread, which also notices that
// nothing moves any more.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace muster::data {

// What is said at one moment.
struct TransferState {
  enum class Phase { kListing, kWaiting, kCopying };

  Phase phase = Phase::kListing;
  std::uint64_t listed = 0;
  std::uint64_t files = 0;  // all that there are
  std::uint64_t bytes = 0;
  std::uint64_t files_done = 0;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_per_second = 0;
  std::string at;  // the file that was touched last; while waiting: whom it waits for
};

// "3,120 of 10,000 files, 1.2 of 4.0 GiB, 310 MiB/s"
std::string describe(const TransferState& state);

class TransferProgress {
 public:
  void phase(TransferState::Phase phase, std::string_view at = {});
  void total(std::uint64_t files, std::uint64_t bytes);
  void listed(std::string_view path);
  void at(std::string_view path);
  void file_done() { ++files_done_; }
  void bytes_done(std::uint64_t bytes) { bytes_done_ += bytes; }
  // What another program counts, which tells only sums.
  void done_so_far(std::uint64_t files, std::uint64_t bytes);
  void moved() { ++moves_; }  // a sign of life that no other number shows

  TransferState state() const;
  // Differs from before whenever anything moved.
  std::uint64_t marks() const { return listed_ + files_done_ + bytes_done_ + moves_; }

 private:
  std::atomic<TransferState::Phase> phase_ = TransferState::Phase::kListing;
  std::atomic<std::uint64_t> listed_ = 0, files_ = 0, bytes_ = 0;
  std::atomic<std::uint64_t> files_done_ = 0, bytes_done_ = 0, moves_ = 0;
  mutable std::mutex mutex_;  // of what follows
  std::string at_;
};

// The thread.  `say` gets the state now and then while something moves, and `stalled` once when
// nothing has for that long; waiting for others is no stall.
class TransferWatch {
 public:
  TransferWatch(const TransferProgress& progress, std::chrono::milliseconds stall_timeout,
                std::function<void(const TransferState&)> say,
                std::function<void(const TransferState&)> stalled);
  ~TransferWatch();

 private:
  void watch();

  const TransferProgress& progress_;
  std::chrono::milliseconds stall_timeout_;
  std::function<void(const TransferState&)> say_;
  std::function<void(const TransferState&)> stalled_;
  std::mutex mutex_;
  std::condition_variable end_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace muster::data
